"""The version of the schema in a database, and the migrations that lead to the version of this Rolecall."""

import re
from importlib import resources
from types import MappingProxyType

from psycopg import errors

from rolecall.store.postgres.connection import (
    SCHEMA,
    Connection,
    DatabaseConfig,
    InvalidDatabaseError,
    connect,
    database_errors,
)

OURS = "rolecall"
"""Our component in the table of migrations; the job queue has another one."""
CREATE_TABLE = f"""
    CREATE SCHEMA IF NOT EXISTS {SCHEMA};
    CREATE TABLE IF NOT EXISTS {SCHEMA}.migration (
        component text NOT NULL,
        version text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (component, version)
    )
"""
_HAS_RIGHT = b"SELECT has_table_privilege(%s, %s)"
_PROBES = MappingProxyType(
    {"rolecall_worker": ("rolecall.worker", "INSERT"), "rolecall_submit": ("rolecall.run", "INSERT")}
)
"""For group roles a right that every command of theirs needs: without it the command would fail halfway."""
_VERSIONS = f"SELECT component, version FROM {SCHEMA}.migration"  # noqa: S608 # the schema is a constant


def _read_migrations() -> MappingProxyType[int, str]:
    files = resources.files(f"{__package__}.migrations").iterdir()
    numbered = {int(file.name[:3]): file for file in files if re.fullmatch(r"\d{3}_\w+\.sql", file.name)}
    return MappingProxyType({version: numbered[version].read_text("utf-8") for version in sorted(numbered)})


MIGRATIONS = _read_migrations()
"""The SQL of each version of our schema."""
SCHEMA_VERSION = max(MIGRATIONS)
"""The version of the schema that this Rolecall works with."""
ROLES_SQL = (resources.files(f"{__package__}.migrations") / "roles.sql").read_text("utf-8")
"""Creates the group roles and grants their rights."""


async def fetch_versions(connection: Connection, config: DatabaseConfig) -> dict[str, set[str]]:
    """Return the versions that were applied, by component; empty for a database without our schema."""
    versions: dict[str, set[str]] = {}
    with database_errors(config):
        try:
            rows = await (await connection.execute(_VERSIONS.encode())).fetchall()
        except (errors.UndefinedTable, errors.InvalidSchemaName):
            return {}
    for component, version in rows:
        versions.setdefault(str(component), set()).add(str(version))
    return versions


def require_version(versions: dict[str, set[str]], config: DatabaseConfig) -> None:
    """Raise InvalidDatabaseError unless the database has exactly the schema of this Rolecall."""
    found = max((int(version) for version in versions.get(OURS, ())), default=0)
    if not found:
        raise InvalidDatabaseError(
            f"The database {config.place} is not initialised; 'rolecall database init' creates the tables."
        )
    if found < SCHEMA_VERSION:
        raise InvalidDatabaseError(
            f"The database {config.place} has schema version {found}, and this Rolecall needs {SCHEMA_VERSION}: stop "
            "the workers, then 'rolecall database upgrade'."
        )
    if found > SCHEMA_VERSION:
        raise InvalidDatabaseError(
            f"The database {config.place} has schema version {found}, which is newer than this Rolecall "
            f"({SCHEMA_VERSION}): install the version of Rolecall that the other machines have."
        )


async def _require_role(connection: Connection, config: DatabaseConfig) -> None:
    """Raise InvalidDatabaseError where the user has not even the one right that stands for those of the role."""
    if config.role not in _PROBES:
        return
    with database_errors(config):
        ((has_right,),) = await (await connection.execute(_HAS_RIGHT, _PROBES[config.role])).fetchall()
    if not has_right:
        raise InvalidDatabaseError(f"The database {config.place} permits too little: {config.missing_role}.")


async def connect_current(config: DatabaseConfig) -> Connection:
    """Return a connection to a database with the schema of this Rolecall, for a user with the role that is needed.

    Raises as `connect`.
    """
    connection = await connect(config)
    try:
        require_version(await fetch_versions(connection, config), config)
        await _require_role(connection, config)
    except BaseException:
        await connection.close()
        raise
    return connection
