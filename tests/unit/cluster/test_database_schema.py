"""The tables of the database: created once, upgraded, checked, and the rights of the group roles."""

import asyncio
from collections.abc import Mapping

import psycopg
import pytest

from rolecall.cluster.database import schema as database_schema
from rolecall.cluster.database.schema import (
    ROLES,
    QueueSchema,
    check_database,
    initialise_database,
    read_queue_schema,
    upgrade_database,
)
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.postgres import schema_version
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import NewRun, add_workspace, create_run, take_shard
from rolecall.store.postgres.schema_version import MIGRATIONS
from rolecall.store.postgres.store import PostgresStore, open_store
from rolecall.store.records import Batch, Pause, PauseKind
from tests.support.postgres import Database, PostgresServer, all_binaries, shared_server
from tests.unit.store.contract.jobs import import_lines, keys_by_line
from tests.unit.store.values import intents, outcomes, settled

LATER = f"{max(MIGRATIONS) + 1}"


@pytest.fixture(params=all_binaries())
def empty(request: pytest.FixtureRequest) -> Database:
    """Return an empty database."""
    return shared_server(request.param).create_database()


@pytest.fixture(params=all_binaries())
def database(request: pytest.FixtureRequest) -> Database:
    """Return a database with the schema of Rolecall."""
    return shared_server(request.param).initialised_database()


def config_of(database: Database, role: str = "") -> DatabaseConfig:
    """Return how to connect as the owner."""
    return DatabaseConfig.parse(database.url, role)


def add_migration(monkeypatch: pytest.MonkeyPatch, statements: str) -> None:
    """Let Rolecall know one more migration."""
    migrations: Mapping[int, str] = {**MIGRATIONS, int(LATER): statements}
    for module in (schema_version, database_schema):
        monkeypatch.setattr(module, "MIGRATIONS", migrations)
    monkeypatch.setattr(schema_version, "SCHEMA_VERSION", int(LATER))


async def test_a_database_is_initialised_once(empty: Database) -> None:
    """The first call creates everything, a second one changes nothing, and the check agrees."""
    config = config_of(empty)
    first = await initialise_database(config)
    queue = await read_queue_schema()
    assert len(first.applied) == len(MIGRATIONS) + len(queue.migrations)
    assert (first.schema, first.missing_roles) == (max(MIGRATIONS), ())
    again = await initialise_database(config)
    assert again == first._replace(applied=()) == await check_database(config) == await upgrade_database(config)
    assert empty.execute("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert empty.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


async def test_a_server_that_does_not_wait_for_its_disk_is_reported() -> None:
    """The report has whether a crash of the server's machine can lose a commit."""
    server = await asyncio.to_thread(PostgresServer, all_binaries()["wheel"], {})
    try:
        careful = await asyncio.to_thread(server.initialised_database)
        assert (await check_database(config_of(careful))).is_durable
    finally:
        await asyncio.to_thread(server.stop)
    assert not (await check_database(config_of(shared_server().initialised_database()))).is_durable


async def test_two_that_initialise_at_once(empty: Database) -> None:
    """One of them creates the tables; the other one waits for it and finds them."""
    reports = await asyncio.gather(*(initialise_database(config_of(empty)) for _ in range(3)))
    assert sorted(bool(report.applied) for report in reports) == [False, False, True]


async def test_a_failure_leaves_nothing(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one of the tables cannot be created, none is; the next call creates all."""
    with monkeypatch.context() as patch:
        add_migration(patch, "SELECT 1 / 0")
        with pytest.raises(StoreError, match="division by zero"):
            await initialise_database(config_of(empty))
    assert empty.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'rolecall'") == [(0,)]
    await initialise_database(config_of(empty))


async def test_an_upgrade_applies_what_is_missing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an older schema only the upgrade works; it keeps the rows; after it the older Rolecall is refused."""
    config = config_of(database)
    with monkeypatch.context() as patch:
        add_migration(patch, "ALTER TABLE workspace ADD COLUMN colour text")
        for call in (check_database, initialise_database):
            with pytest.raises(InvalidStoreError, match="'rolecall database upgrade'"):
                await call(config)
        assert (await upgrade_database(config)).applied == (f"rolecall {LATER}",)
        assert (await check_database(config)).schema == int(LATER)
    for call in (check_database, initialise_database, upgrade_database):
        with pytest.raises(InvalidStoreError, match="newer than this Rolecall"):
            await call(config)


async def test_an_upgrade_needs_an_initialised_database(empty: Database) -> None:
    """An upgrade does not create the tables: the address may be the wrong one."""
    with pytest.raises(InvalidStoreError, match="is not initialised"):
        await upgrade_database(config_of(empty))


async def test_the_job_queue_is_upgraded_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer procrastinate brings migrations; one that is older than the tables is refused."""
    config = config_of(database)
    queue = await read_queue_schema()

    async def newer() -> QueueSchema:
        return queue._replace(migrations={**queue.migrations, "99.00.00_01_pre_x": "CREATE TABLE extra (id int)"})

    with monkeypatch.context() as patch:
        patch.setattr(database_schema, "read_queue_schema", newer)
        with pytest.raises(InvalidStoreError, match="older than the installed procrastinate"):
            await check_database(config)
        assert (await upgrade_database(config)).queue == "99.00.00_01_pre_x"
    for call in (check_database, upgrade_database):
        with pytest.raises(InvalidStoreError, match="newer than the installed procrastinate"):
            await call(config)


@pytest.fixture
def logins(database: Database) -> dict[str, DatabaseConfig]:
    """Return how to connect as a user with each of the group roles."""
    configs = {}
    for role in ROLES:
        user = f"user_{role}"
        database.execute(f"DROP ROLE IF EXISTS {user}; CREATE ROLE {user} LOGIN PASSWORD 'x'; GRANT {role} TO {user}")
        configs[role] = DatabaseConfig.parse(database.server.tcp_url(database.name, user, "x"), role)
    return configs


async def test_each_role_can_do_its_work(logins: Mapping[str, DatabaseConfig]) -> None:
    """`submit` makes runs, a worker takes a shard and writes its rows, `report` reads."""
    submit, worker, report = (logins[f"rolecall_{role}"] for role in ("submit", "worker", "report"))
    async with await connect(submit) as connection:
        await add_workspace(connection, submit, "main", "https://chat.example.org")
        run = await create_run(connection, submit, NewRun("main", 1))
    async with open_store(submit, run) as store:
        await import_lines(store, 2, 3)
        await store.set_meta(note="x")
        await store.reset_outcomes()
    connection = await connect(worker)
    ((shard,),) = await (await connection.execute(b"SELECT id FROM shard")).fetchall()
    lease = ShardLease(int(str(shard)), 1, 1)
    assert await take_shard(connection, worker, lease) == run
    async with PostgresStore(connection, worker, run, lease) as store:
        one, other = (await keys_by_line(store)).values()
        await store.open_session("bot", 1)
        await store.commit(intents(one, other))
        await store.commit(Batch([settled(one)], pauses=[Pause(PauseKind.OUTAGE, 5)]))
        await store.close_session("", 2)
        await store.set_meta(note="y")
    async with open_store(report, run) as store:
        assert sum(count.rows for count in await store.counts()) == 2
        assert len([page async for page in store.results()]) == 1


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("rolecall_worker", "UPDATE pair SET outcome = 'removed'"),
        ("rolecall_worker", "SELECT commit_batch(1, NULL, 0, 0, '{}', NULL, NULL, NULL, NULL, NULL)"),
        ("rolecall_worker", "DELETE FROM run"),
        ("rolecall_worker", "CREATE TABLE more (id int)"),
        ("rolecall_worker", "UPDATE workspace SET url = 'https://evil.example.org'"),
        ("rolecall_submit", "CREATE TABLE more (id int)"),
        ("rolecall_submit", "DELETE FROM migration"),
        ("rolecall_report", "UPDATE run SET stop = ''"),
        ("rolecall_report", "SELECT commit_batch(1, NULL, 0, 0, '{}', NULL, NULL, NULL, NULL, NULL)"),
        ("rolecall_report", "INSERT INTO procrastinate_jobs (task_name) VALUES ('x')"),
    ],
)
async def test_no_role_can_do_more(logins: Mapping[str, DatabaseConfig], role: str, statement: str) -> None:
    """A worker writes outcomes only through the function with the fence; only the owner changes tables."""
    async with await connect(logins[role]) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


async def test_a_user_that_may_not_create_roles(empty: Database) -> None:
    """Where the roles cannot be created the tables are; the report names the roles. Elsewhere they exist already."""
    await initialise_database(config_of(empty))
    database = empty.server.create_database()
    database.execute(
        "DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN PASSWORD 'x';"
        f'ALTER DATABASE "{database.name}" OWNER TO plain;'
        "ALTER ROLE rolecall_report RENAME TO rolecall_elsewhere"
    )
    try:
        config = DatabaseConfig.parse(database.server.tcp_url(database.name, "plain", "x"), "")
        assert (await initialise_database(config)).missing_roles == ("rolecall_report",)
    finally:
        database.execute("ALTER ROLE rolecall_elsewhere RENAME TO rolecall_report")
    assert (await upgrade_database(config)).missing_roles == ()


async def test_a_user_that_may_not_create_tables(empty: Database) -> None:
    """The line says that the owner must do it."""
    empty.execute("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'x'")
    config = DatabaseConfig.parse(empty.server.tcp_url(empty.name, "guest", "x"), "")
    with pytest.raises(StoreError, match=r"permission denied .*; the owner of the database must do it"):
        await initialise_database(config)


async def test_an_outcome_of_nobody_is_refused(database: Database) -> None:
    """Without a lease a batch of a run that is not there is refused."""
    async with open_store(config_of(database), 4711) as store:
        with pytest.raises(StoreError):
            await store.commit(outcomes(settled(1)))
