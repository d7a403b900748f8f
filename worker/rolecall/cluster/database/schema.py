"""The tables in the database, of Rolecall and of the job queue: created, upgraded, checked."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from rolecall.store.postgres.connection import (
    SCHEMA,
    Connection,
    DatabaseConfig,
    InvalidDatabaseError,
    connect,
    database_errors,
)
from rolecall.store.postgres.schema_version import (
    CREATE_TABLE,
    MIGRATIONS,
    OURS,
    ROLES_SQL,
    fetch_versions,
    require_version,
)

QUEUE = "procrastinate"
"""The job queue's component in the table of migrations."""
ROLES = ("rolecall_worker", "rolecall_submit", "rolecall_report")
_LOCK = "SELECT pg_advisory_lock(hashtext('rolecall.migration'))"
_RECORD = f"INSERT INTO {SCHEMA}.migration (component, version) VALUES (%s, %s)"  # noqa: S608 # a constant
_DURABLE = "SELECT current_setting('fsync') = 'on'"
_ROLES = "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)"


class DatabaseReport(NamedTuple):
    """What is in a database."""

    place: str
    server: str
    """Version of PostgreSQL."""
    schema: int
    """Version of our schema."""
    queue: str
    """The latest migration of the job queue."""
    applied: tuple[str, ...]
    """The migrations that this call has applied."""
    missing_roles: tuple[str, ...]
    """The group roles that do not exist: the user may not create them."""
    is_durable: bool
    """Whether the server waits for its disk with each commit."""


class QueueSchema(NamedTuple):
    """The tables of the installed procrastinate."""

    whole: str
    """The SQL for a new database."""
    migrations: Mapping[str, str]
    """The SQL of each migration, in their order."""


async def initialise_database(config: DatabaseConfig) -> DatabaseReport:
    """Create all tables and roles, where there are none. Raises InvalidDatabaseError for another version."""
    queue = await read_queue_schema()
    async with _locked(config) as connection:
        versions = await fetch_versions(connection, config)
        if versions:
            require_version(versions, config)
            require_queue(versions, queue, config)
        return await _migrate(connection, config, versions, queue)


async def upgrade_database(config: DatabaseConfig) -> DatabaseReport:
    """Apply the migrations that are missing. Raises InvalidDatabaseError for one that is newer or not initialised."""
    queue = await read_queue_schema()
    async with _locked(config) as connection:
        versions = await fetch_versions(connection, config)
        known = {str(version) for version in MIGRATIONS}
        if not versions or versions[OURS] - known:
            require_version(versions, config)
        _require_known_queue(versions, queue, config)
        return await _migrate(connection, config, versions, queue)


async def check_database(config: DatabaseConfig) -> DatabaseReport:
    """Return what is in a database. Raises InvalidDatabaseError where this Rolecall cannot work with it."""
    queue = await read_queue_schema()
    async with await connect(config) as connection:
        versions = await fetch_versions(connection, config)
        require_version(versions, config)
        require_queue(versions, queue, config)
        return await _report(connection, config, versions, ())


def require_queue(versions: Mapping[str, set[str]], queue: QueueSchema, config: DatabaseConfig) -> None:
    """Raise InvalidDatabaseError unless the job queue has exactly the tables of the installed procrastinate."""
    _require_known_queue(versions, queue, config)
    if set(queue.migrations) - versions.get(QUEUE, set()):
        raise InvalidDatabaseError(
            f"The job queue in the database {config.place} is older than the installed procrastinate: stop the "
            "workers, then 'rolecall database upgrade'."
        )


def _require_known_queue(versions: Mapping[str, set[str]], queue: QueueSchema, config: DatabaseConfig) -> None:
    if versions.get(QUEUE, set()) - set(queue.migrations):
        raise InvalidDatabaseError(
            f"The job queue in the database {config.place} is newer than the installed procrastinate: install the "
            "version that the other machines have."
        )


@asynccontextmanager
async def _locked(config: DatabaseConfig) -> AsyncIterator[Connection]:
    """Connect as the only one that changes the schema."""
    async with await connect(config) as connection:
        with database_errors(config):
            await connection.execute(_LOCK.encode())
        yield connection


async def _migrate(
    connection: Connection, config: DatabaseConfig, versions: dict[str, set[str]], queue: QueueSchema
) -> DatabaseReport:
    applied = []
    with database_errors(config):
        async with _all_or_nothing(connection, is_new=QUEUE not in versions):
            await connection.execute(CREATE_TABLE.encode())
            for component, version, statements in _pending(versions, queue):
                async with connection.transaction():
                    await connection.execute(statements.encode())
                    await connection.execute(_RECORD.encode(), (component, version))
                versions.setdefault(component, set()).add(version)
                applied.append(f"{component} {version}")
            await connection.execute(ROLES_SQL.encode())
    return await _report(connection, config, versions, tuple(applied))


@asynccontextmanager
async def _all_or_nothing(connection: Connection, *, is_new: bool) -> AsyncIterator[None]:
    """Make a new database complete or not at all; an upgrade is a transaction for each migration."""
    if not is_new:
        yield
        return
    async with connection.transaction():
        yield


def _pending(versions: Mapping[str, set[str]], queue: QueueSchema) -> list[tuple[str, str, str]]:
    """Return the migrations that are missing: component, version, SQL. A new queue is created by its whole schema."""
    ours = [(OURS, str(version), statements) for version, statements in MIGRATIONS.items()]
    theirs = [(QUEUE, version, statements) for version, statements in queue.migrations.items()]
    if QUEUE not in versions:
        theirs = [(QUEUE, version, "" if place else queue.whole) for place, (_, version, _) in enumerate(theirs)]
    return [each for each in [*ours, *theirs] if each[1] not in versions.get(each[0], set())]


async def read_queue_schema() -> QueueSchema:
    """Return the SQL of the job queue from its package."""

    def read() -> QueueSchema:
        from procrastinate.schema import SchemaManager

        files = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
        return QueueSchema(SchemaManager.get_schema(), {file.stem: file.read_text("utf-8") for file in files})

    return await asyncio.to_thread(read)


async def _report(
    connection: Connection, config: DatabaseConfig, versions: Mapping[str, set[str]], applied: tuple[str, ...]
) -> DatabaseReport:
    with database_errors(config):
        found = {str(name) for (name,) in await (await connection.execute(_ROLES.encode(), [list(ROLES)])).fetchall()}
        ((is_durable,),) = await (await connection.execute(_DURABLE.encode())).fetchall()
    number = connection.info.server_version
    return DatabaseReport(
        config.place,
        f"{number // 10000}.{number % 10000}",
        max(int(version) for version in versions[OURS]),
        max(versions[QUEUE]),
        applied,
        tuple(role for role in ROLES if role not in found),
        bool(is_durable),
    )
