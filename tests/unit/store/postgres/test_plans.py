"""Plans: a commit looks up each of its rows by key, however little is known of the tables or however full they are."""

import re
from collections.abc import AsyncIterator

import pytest

from rolecall.models import Prior, PriorState, Row
from rolecall.store.postgres.connection import Connection, DatabaseConfig
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import NewRun, create_run, take_shard
from rolecall.store.postgres.store import PostgresStore, open_store
from rolecall.store.records import Batch, Intent, IntentRollback, PriorRecord
from tests.support.postgres import Database
from tests.unit.store.contract.jobs import import_job
from tests.unit.store.values import RUN, settled

EXPLAIN = b"""
    LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
    SET client_min_messages = log
"""


async def fill(database: Database, connection: Connection, config: DatabaseConfig, others: int = 0) -> int:
    """Create a run with rows in many rooms, beside as many rows of another run, and return its id."""
    run_id = await create_run(connection, config, NewRun("main", 1))
    other = await create_run(connection, config, NewRun("main", 1))
    database.execute(
        "INSERT INTO pair (run_id, shard_id, room_id, user_id, place) "
        f"SELECT {other}, n / 200 + 1000, 'R' || n / 50, 'u' || n, n FROM generate_series(1, {others}) AS n"
    )
    async with open_store(config, run_id, shard_rows=50) as store:
        await import_job(store, [Row(line, f"R{line % 97}", f"u{line}", {}) for line in range(1, 201)])
    return run_id


def batch(keys: list[int]) -> Batch:
    """Return a batch with every kind of entry."""
    one, two, three, four, *rest = keys
    return Batch(
        [settled(one)],
        [IntentRollback(two, 0, False)],
        [Intent(key, 1, 5) for key in [three, *rest]],
        priors=[PriorRecord(four, Prior(PriorState.MEMBER))],
    )


@pytest.fixture
async def plans(connection: Connection) -> list[str]:
    """Return the plans of the statements on pairs that the connection executes from now on."""
    found: list[str] = []
    connection.add_notice_handler(
        lambda notice: found.append(text) if "pair" in (text := notice.message_primary or "") else None
    )
    return found


def scans(plans: list[str]) -> set[str]:
    """Return how the plans of UPDATE statements and of groups_of_pairs read the table of pairs."""
    texts = [plan for plan in plans if re.search(r"UPDATE pair|array_agg\(ROW", plan)]
    assert texts
    return {scan.strip() for text in texts for scan in re.findall(r"->\s+([^(\n]* on pair\b)", text)}


@pytest.mark.parametrize("is_analysed", [False, True])
@pytest.mark.parametrize("others", [0, 20_000])
@pytest.mark.parametrize("is_leased", [False, True])
async def test_a_commit_reads_along_the_keys(
    database: Database,
    config: DatabaseConfig,
    connection: Connection,
    plans: list[str],
    others: int,
    is_analysed: bool,
    is_leased: bool,
) -> None:
    """With and without statistics, in a small and in a full table, each row is found by its key alone."""
    run_id = await fill(database, connection, config, others)
    if is_analysed:
        database.execute("ANALYZE")
    lease = None
    if is_leased:
        ((shard,),) = database.execute(f"SELECT min(id) FROM shard WHERE run_id = {run_id}")
        lease = ShardLease(int(str(shard)), 1, 1)
        assert await take_shard(connection, config, lease) == run_id
    store = PostgresStore(connection, config, run_id, lease)
    keys = [due.key for _, due in await store.fetch_due(0, 40, retry_failed=False)]
    await connection.execute(EXPLAIN)
    await store.commit(batch(keys))
    assert scans(plans) == {"Index Scan using pair_pkey on pair"}


async def test_a_plan_that_was_made_for_an_empty_table_is_good_for_a_full_one(
    config: DatabaseConfig, connection: Connection, plans: list[str]
) -> None:
    """A worker that has been connected since the table was empty has the same plan when it is full."""
    run_id = await create_run(connection, config, NewRun("main", 1))
    store = PostgresStore(connection, config, run_id)
    await connection.execute(EXPLAIN)
    for _ in range(10):
        await store.commit(batch([1, 2, 3, 4, 5]))
    await store.import_rows(RUN, _pages())
    plans.clear()
    keys = [due.key for _, due in await store.fetch_due(0, 40, retry_failed=False)]
    await store.commit(batch(keys))
    assert scans(plans) == {"Index Scan using pair_pkey on pair"}


async def _pages() -> AsyncIterator[list[Row]]:
    for start in range(0, 5000, 500):
        yield [Row(line, f"R{line % 97}", f"u{line}", {}) for line in range(start, start + 500)]


async def test_updates_stay_in_their_page(database: Database, config: DatabaseConfig, connection: Connection) -> None:
    """Intents and outcomes change no index: nearly all new versions of a row are in the page of the older one."""
    run_id = await fill(database, connection, config)
    async with open_store(config, run_id) as store:
        due = await store.fetch_due(0, 200, retry_failed=False)
        for _, row in due:
            await store.commit(Batch(intents=[Intent(row.key, 1, 5)]))
            await store.commit(Batch([settled(row.key)]))
    ((updates, in_page),) = database.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'pair'"
    )
    assert (int(str(updates)), int(str(in_page)) > 390) == (400, True)
