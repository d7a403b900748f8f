"""A connection to the database: its address, what its server must be able to do, and its errors as one line."""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import NamedTuple, Self, TypeAlias

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from rolecall.store.base import FencedError, InvalidStoreError, StoreError

Connection: TypeAlias = psycopg.AsyncConnection[tuple[object, ...]]

SCHEMA = "rolecall"
"""The schema of our tables and of those of the job queue."""
MIN_SERVER = 130000
"""The oldest version of PostgreSQL that the job queue supports."""
VARIABLE = "ROLECALL_DATABASE_URL"
ENCODING = "UTF8"
FENCED = "RC001"
"""The SQLSTATE of `commit_batch` for a shard that another worker has taken."""
_ENCRYPTED = {"require", "verify-ca", "verify-full"}
_PROBE = """
    SELECT pg_backend_pid(), current_setting('server_version_num')::integer, current_setting('search_path'),
        current_setting('server_encoding'), current_setting('synchronous_commit')
"""
# What a server, a database or a user may have set otherwise, and would end an import, let a commit see old values, or
# make times unreadable or inexact.
_OPTIONS = (
    f"-c search_path={SCHEMA} -c default_transaction_isolation=read\\ committed -c statement_timeout=0 "
    "-c idle_in_transaction_session_timeout=0 -c DateStyle=ISO -c IntervalStyle=postgres -c extra_float_digits=1"
)
_WAIT_FOR_DISK = b"SET synchronous_commit = on"
# A peer that vanished is noticed after some 20 seconds; without these a read could wait for hours.
_DEFAULTS = {
    "connect_timeout": "10",
    "application_name": "rolecall",
    "client_encoding": "utf8",
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_LOST = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow)


class DatabaseError(StoreError):
    """The database failed, or could not be reached; the text is one line for a person."""


class InvalidDatabaseError(InvalidStoreError):
    """The database cannot be used as it is, or its address is wrong; the text is one line for a person."""


async def _open(conninfo: str) -> Connection:
    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True)


class DatabaseConfig(NamedTuple):
    """How to connect to a database."""

    conninfo: str
    """With the password: never in a message."""
    place: str
    """Database, host and user for messages, without the password."""
    user: str
    """Empty where the system decides it."""
    role: str = "rolecall_worker"
    """The group role whose rights the command needs; empty where the owner of the tables must do it."""
    open: Callable[[str], Awaitable[Connection]] = _open
    """Opens a connection in autocommit mode; a simulation has its own. Raises psycopg.Error."""

    @property
    def missing_role(self) -> str:
        """Return what an administrator can do where the user lacks a right."""
        if not self.role:
            return "the owner of the database must do it"
        return f"an administrator can allow it with: GRANT {self.role} TO {self.user or 'the user'}"

    def __repr__(self) -> str:
        """Return it without the password."""
        return f"DatabaseConfig({self.place})"

    @classmethod
    def parse(cls, url: str, role: str = "rolecall_worker") -> Self:
        """Parse `postgresql://user@host/database`. Raises InvalidDatabaseError, also for plain text over a network."""
        if not url.startswith(("postgresql://", "postgres://")):
            raise InvalidDatabaseError(f"{VARIABLE} must be an address such as postgresql://user@host/database.")
        try:
            values = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        except psycopg.ProgrammingError:  # its text may have the password
            raise InvalidDatabaseError(f"{VARIABLE} is not a valid address of a database.") from None
        host = values.get("hostaddr") or values.get("host") or os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST")
        if "@" in (host or "")[1:]:  # the end of a password; not shown
            raise InvalidDatabaseError(f"{VARIABLE} is not a valid address: write '@' in a password as '%40'.")
        mode = values.get("sslmode") or os.environ.get("PGSSLMODE", "")
        away = [each for each in (host or "").split(",") if not _is_local(each)]
        service = values.get("service") or os.environ.get("PGSERVICE")
        if (away or service) and mode not in _ENCRYPTED:
            where = away[0] if away else f"the service {service}"
            raise InvalidDatabaseError(
                f"The connection to the database at {where} would not be encrypted for certain: "
                f"add sslmode=verify-full (or require) to {VARIABLE}."
            )
        user = values.get("user") or os.environ.get("PGUSER", "")
        database = values.get("dbname") or os.environ.get("PGDATABASE") or user
        port = values.get("port") or os.environ.get("PGPORT", "")
        at = f"{host or 'the local socket'}{f':{port}' if port else ''}"
        options = f"{values.pop('options', '')} {_OPTIONS}".strip()
        conninfo = make_conninfo("", **{**_DEFAULTS, **values, "options": options})
        return cls(conninfo, f'"{database}" at {at}' + (f" as {user}" if user else ""), user, role)


def _is_local(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def connect(config: DatabaseConfig) -> Connection:
    """Return a connection in autocommit mode with our schema in front.

    Raises DatabaseError, and InvalidDatabaseError for a connection pooler or a server that is too old.
    """
    try:
        connection = await config.open(config.conninfo)
    except psycopg.Error as error:
        reason = _last_line(error)
        if "unsupported startup parameter" in reason:
            raise _pooled(config) from None
        raise DatabaseError(f"Cannot connect to the database {config.place}: {reason}.") from None
    try:
        await _require_usable(connection, config)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _require_usable(connection: Connection, config: DatabaseConfig) -> None:
    with database_errors(config):
        ((process, version, path, encoding, commits),) = await (await connection.execute(_PROBE)).fetchall()
    if process != connection.info.backend_pid or path != SCHEMA:
        raise _pooled(config)
    if not isinstance(version, int) or version < MIN_SERVER:
        raise InvalidDatabaseError(
            f"The server of the database {config.place} is older than PostgreSQL {MIN_SERVER // 10000}."
        )
    if encoding != ENCODING:
        raise InvalidDatabaseError(
            f"The database {config.place} has the encoding {encoding}, which cannot store every name: "
            f"create one with the encoding {ENCODING}."
        )
    if commits == "off":
        with database_errors(config):
            await connection.execute(_WAIT_FOR_DISK)


def _pooled(config: DatabaseConfig) -> InvalidDatabaseError:
    return InvalidDatabaseError(
        f"The database {config.place} is behind a connection pooler such as PgBouncer, which loses locks and "
        f"notifications between statements: name the server itself in {VARIABLE}."
    )


@contextmanager
def database_errors(config: DatabaseConfig) -> Iterator[None]:
    """Raise StoreError with one line for every error of the database, and for values that it cannot store."""
    try:
        yield
    except psycopg.Error as error:
        raise _to_store_error(error, config) from None
    except (OverflowError, UnicodeEncodeError, OSError) as error:
        raise DatabaseError(f"The database {config.place} failed: {error}.") from None


def _to_store_error(error: psycopg.Error, config: DatabaseConfig) -> StoreError:
    reason = _last_line(error) if error.sqlstate is None else error.diag.message_primary or _last_line(error)
    if error.sqlstate == FENCED:
        return FencedError(f"The database {config.place} refused the commit: {reason}.")
    if isinstance(error, errors.InsufficientPrivilege):
        return DatabaseError(f"The database {config.place} refused it: {reason}; {config.missing_role}.")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return DatabaseError(
            f"The database {config.place} is read-only, as a standby is ({reason}): name the primary server in "
            f"{VARIABLE}, or all servers with target_session_attrs=read-write."
        )
    if isinstance(error, errors.DiskFull):
        return DatabaseError(f"The disk of the database {config.place} is full: {reason}.")
    if isinstance(error, _LOST) or (error.sqlstate is None and isinstance(error, psycopg.OperationalError)):
        return DatabaseError(f"The connection to the database {config.place} was lost: {reason}.")
    return DatabaseError(f"The database {config.place} failed: {reason}.")


def _last_line(error: psycopg.Error) -> str:
    """Return what was said: the last line, which follows the attempts at other addresses; hints are indented."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith((" ", "\t"))]
    return lines[-1].removeprefix("connection failed: ").rstrip(".") if lines else type(error).__name__
