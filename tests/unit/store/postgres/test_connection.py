"""The connection: what is accepted as an address, and one clear line for everything that can be wrong."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from rolecall.models import Outcome
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.runs import NewRun, create_run
from rolecall.store.postgres.schema_version import SCHEMA_VERSION, connect_current
from rolecall.store.postgres.store import open_store
from tests.support.pooler import has_pgbouncer, pgbouncer, stand_in_pooler
from tests.support.postgres import PASSWORD, Database, PostgresServer, all_binaries
from tests.unit.store.contract.jobs import import_job, import_lines, reported
from tests.unit.store.values import intents, outcomes, row, settled


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///rolecall",
        "postgres://me@localhost/rolecall",
        "postgresql://me:secret@127.0.0.1:5433/rolecall",
        "postgresql://me@[::1]/rolecall",
        "postgresql://me@/rolecall?host=/run/postgresql",
        "postgresql://me@db.example.org/rolecall?sslmode=require",
        "postgresql://me@db.example.org/rolecall?sslmode=verify-full",
        "postgresql://me@one.example.org,two.example.org/rolecall?sslmode=verify-ca",
    ],
)
def test_addresses_that_are_accepted(url: str) -> None:
    """Loopback and sockets need no TLS; all others must ask for it."""
    config = DatabaseConfig.parse(url)
    assert "secret" not in repr(config) + config.place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be an address"),
        ("rolecall", "must be an address"),
        ("mysql://me:secret@host/db", "must be an address"),
        ("postgresql://me:secret@host:port/db", "not encrypted|not a valid address|encrypted"),
        ("postgresql://me:sec%ret@localhost/db", "not a valid address"),
        ("postgresql://me:secret@localhost/db?nonsense=1", "not a valid address"),
        ("postgresql://me:pass@secret@db.example.org/rolecall", "as .%40."),
        ("postgresql://me:secret@db.example.org/rolecall", "db.example.org would not be encrypted .* sslmode="),
        ("postgresql://me:secret@db.example.org/rolecall?sslmode=prefer", "would not be encrypted"),
        ("postgresql://me:secret@10.0.0.5/rolecall?sslmode=disable", "10.0.0.5 would not be encrypted"),
        ("postgresql://me:secret@localhost,db.example.org/rolecall", "db.example.org would not be encrypted"),
        ("postgresql://me:secret@localhost/db?hostaddr=10.0.0.5", "10.0.0.5 would not be encrypted"),
        ("postgresql://me:secret@/db?service=prod", "the service prod would not be encrypted"),
    ],
)
def test_addresses_that_are_refused(url: str, words: str) -> None:
    """The line says what is wrong, and never has the password."""
    with pytest.raises(InvalidStoreError, match=words) as refused:
        DatabaseConfig.parse(url)
    assert "secret" not in str(refused.value)
    assert "sec%ret" not in str(refused.value)


def test_the_environment_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that libpq reads from PGHOST is as remote as one in the address; PGSSLMODE is as good as sslmode."""
    monkeypatch.setenv("PGHOST", "db.example.org")
    with pytest.raises(InvalidStoreError, match=r"db\.example\.org would not be encrypted"):
        DatabaseConfig.parse("postgresql:///rolecall")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert "db.example.org" in DatabaseConfig.parse("postgresql:///rolecall").place


async def why_not(url: str) -> str:
    """Return the line with which a connection is refused."""
    with pytest.raises((StoreError, InvalidStoreError)) as refused:
        await connect_current(DatabaseConfig.parse(url, "rolecall_report"))
    text = str(refused.value)
    assert "\n" not in text
    assert PASSWORD not in text
    assert quote(PASSWORD, safe="") not in text
    return text


async def test_a_server_that_is_not_there(database: Database) -> None:
    """A port on which nothing listens is named."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        line = await why_not(f"postgresql://me:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/rolecall")
    assert re.search(rf'Cannot connect to the database "rolecall" at 127.0.0.1:{port} as me: .*refused', line)


async def test_a_wrong_password(database: Database) -> None:
    """The line names the user and not the password."""
    line = await why_not(database.server.tcp_url(database.name, password="guessed"))
    assert re.search(r"Cannot connect .* password authentication failed for user", line)
    assert "guessed" not in line


async def test_a_database_that_does_not_exist(database: Database) -> None:
    """The line names it."""
    assert 'database "nowhere" does not exist' in await why_not(database.server.tcp_url("nowhere"))


async def test_an_encoding_without_all_characters_is_refused(database: Database) -> None:
    """A database that was made in the locale C can have the encoding SQL_ASCII: it is named, and not used."""
    name = f"{database.name}_ascii"
    database.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    assert "has the encoding SQL_ASCII" in await why_not(database.server.url(name))


async def test_a_database_without_our_tables(database: Database) -> None:
    """The line says how they are created."""
    empty = database.server.create_database()
    assert "is not initialised; 'rolecall database init'" in await why_not(empty.url)


@pytest.mark.parametrize(("change", "words"), [(-1, "needs .* 'rolecall database upgrade'"), (1, "newer than this")])
async def test_another_version_of_the_schema(database: Database, change: int, words: str) -> None:
    """An older schema is to be upgraded, a newer one needs a newer Rolecall; neither is used."""
    database.execute(f"UPDATE migration SET version = '{SCHEMA_VERSION + change}' WHERE component = 'rolecall'")
    if SCHEMA_VERSION + change == 0:
        database.execute("UPDATE migration SET version = '0' WHERE component = 'rolecall'")
        words = "is not initialised"
    assert re.search(words, await why_not(database.url))


async def test_a_role_without_rights(database: Database) -> None:
    """A user without any right learns which role an administrator has to grant."""
    database.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN PASSWORD 'x'")
    line = await why_not(database.server.tcp_url(database.name, "stranger", "x"))
    assert "permission denied" in line
    assert line.endswith("an administrator can allow it with: GRANT rolecall_report TO stranger.")


async def test_settings_of_the_server_do_not_count(database: Database) -> None:
    """Timeouts, another isolation and commits that do not wait for the disk are the server's, not this session's."""
    database.execute(
        f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'repeatable read';"
        f"ALTER DATABASE {database.name} SET statement_timeout = 5;"
        f"ALTER DATABASE {database.name} SET idle_in_transaction_session_timeout = 5;"
        f"ALTER DATABASE {database.name} SET synchronous_commit = off;"
        f"ALTER DATABASE {database.name} SET search_path = elsewhere"
    )
    timeouts = ("statement_timeout", "idle_in_transaction_session_timeout")
    names = ("transaction_isolation", *timeouts, "synchronous_commit", "search_path")
    async with await connect(DatabaseConfig.parse(database.url)) as connection:
        values = [(await (await connection.execute(f"SHOW {name}".encode())).fetchall())[0][0] for name in names]
    assert values == ["read committed", "0", "0", "on", "rolecall"]


async def test_times_are_read_in_any_style_of_the_server(database: Database) -> None:
    """Dates, intervals and numbers arrive in the one form that is read, whole."""
    database.execute(
        f"ALTER DATABASE {database.name} SET datestyle = 'SQL, DMY';"
        f"ALTER DATABASE {database.name} SET intervalstyle = 'iso_8601';"
        f"ALTER DATABASE {database.name} SET extra_float_digits = -10"
    )
    query = b"SELECT to_timestamp(0), interval '6 hours', 1790000000.123456::double precision"
    async with await connect(DatabaseConfig.parse(database.url)) as connection:
        (row,) = await (await connection.execute(query)).fetchall()
    assert row == (datetime.fromtimestamp(0, UTC), timedelta(hours=6), 1790000000.123456)


async def test_a_pooler_is_refused(database: Database) -> None:
    """A server that answers with another process id than it has is behind a pooler."""
    async with stand_in_pooler(database) as url:
        assert "behind a connection pooler such as PgBouncer" in await why_not(url)


@pytest.mark.parametrize("more", ["", "ignore_startup_parameters = options"])
async def test_pgbouncer_is_refused(database: Database, more: str) -> None:
    """PgBouncer in transaction mode is refused with one line, whether it knows our parameters or not."""
    if not has_pgbouncer():
        pytest.skip("PgBouncer is not installed; the stand-in is tested")
    with pgbouncer(database, more) as url:
        assert "behind a connection pooler such as PgBouncer" in await why_not(url)


async def test_a_full_disk_there(database: Database, config: DatabaseConfig) -> None:
    """A commit for which the server has no room raises StoreError, which says so; nothing of it is written."""
    async with await connect(config) as connection:
        run = await create_run(connection, config, NewRun("main", 1))
    async with open_store(config, run) as store:
        one, _ = await import_lines(store, 2, 3)
        database.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;"
            "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON group_count EXECUTE FUNCTION full_disk()"
        )
        with pytest.raises(StoreError, match=r"The disk of the database .* is full: .*No space left on device\.$"):
            await store.commit(intents(one))
        assert [outcome for _, outcome, _ in await reported(store)] == [Outcome.NOT_ATTEMPTED] * 2
        database.execute("DROP TRIGGER full_disk ON group_count")
        await store.commit(outcomes(settled(one)))


@pytest.fixture(params=all_binaries())
async def own_server(request: pytest.FixtureRequest) -> AsyncIterator[PostgresServer]:
    """Return a server of its own, which waits for the disk with each commit."""
    server = await asyncio.to_thread(PostgresServer, all_binaries()[request.param], {})
    yield server
    await asyncio.to_thread(server.stop)


async def test_a_server_that_crashes_in_the_middle(own_server: PostgresServer) -> None:
    """What was committed is there after the restart; what was not is refused with one line, and so is the next call."""
    database = await asyncio.to_thread(own_server.initialised_database)
    database.execute("INSERT INTO workspace (name, url) VALUES ('main', 'u')")
    config = DatabaseConfig.parse(database.url)
    async with await connect(config) as connection:
        run = await create_run(connection, config, NewRun("main", 1))
    async with open_store(config, run) as store:
        await import_job(store, [row(2), row(3), row(4)])
        one, two, three = [due.key for _, due in await store.fetch_due(0, 9, retry_failed=False)]
        await store.commit(outcomes(settled(one)))
        await store.commit(intents(two))
        await asyncio.to_thread(own_server.crash)
        for _ in range(2):
            with pytest.raises(StoreError, match=r"The connection to the database .* was lost"):
                await store.commit(intents(three))
    await asyncio.to_thread(own_server.start)
    async with open_store(config, run) as again:
        assert [outcome for _, outcome, _ in await reported(again)] == [
            Outcome.REMOVED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED
        ]  # fmt: skip


async def test_a_connection_that_an_administrator_ends(database: Database, config: DatabaseConfig) -> None:
    """A call whose connection was ended raises StoreError with the server's words."""
    async with await connect(config) as connection:
        run = await create_run(connection, config, NewRun("main", 1))
    async with open_store(config, run) as store:
        pid = store.connection.info.backend_pid
        database.execute(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(StoreError, match=r"The connection to the database .* was lost: .*terminat"):
            await store.counts()
