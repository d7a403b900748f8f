"""The fence: who has the newest token of a shard may write its rows, and no other worker; a stop withholds intents.

All but one of the tests run with the simulated database of the simulation of several workers as well.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.worker_database import open_database
from rolecall.models import Outcome
from rolecall.store.base import FencedError, RunStoppedElsewhere
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import NewRun, create_run, finish_shard, take_shard
from rolecall.store.postgres.store import PostgresStore, open_store
from rolecall.store.records import Batch, Intent
from tests.support.postgres import Database
from tests.support.shared_database import KINDS, SharedDatabase, new_database
from tests.unit.store.contract.jobs import import_job, keys_by_line, reported
from tests.unit.store.values import intents, outcomes, row, settled

REMOVED, UNKNOWN, NOT_ATTEMPTED = Outcome.REMOVED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED
PAIRS = [(f"R{line // 2}", f"u{line}") for line in range(2, 10)]


@pytest.fixture(params=KINDS)
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> SharedDatabase:
    """Return a new database of each kind."""
    return new_database(request.param, tmp_path)


@pytest.fixture
async def run_id(shared: SharedDatabase) -> int:
    """Return a run with two shards of two rooms each."""
    return await shared.create_run(PAIRS, shard_rows=4)


async def leased(stack: AsyncExitStack, config: DatabaseConfig, run_id: int, lease: ShardLease) -> PostgresStore:
    """Take a shard and open its store."""
    connection = await connect(config)
    assert await take_shard(connection, config, lease) == run_id
    return await stack.enter_async_context(PostgresStore(connection, config, run_id, lease))


async def stop_run(config: DatabaseConfig, run_id: int, stop: str, detail: str) -> None:
    """Stop a run."""
    async with open_database(config, DatabaseClock()) as database:
        assert await database.stop_run(run_id, stop, detail)


async def test_a_worker_sees_and_writes_its_shard_only(shared: SharedDatabase, run_id: int) -> None:
    """Due rows, rooms, counts and sessions of a store with a lease are those of its shard; other keys change none."""
    one, other = await shared.shards()
    async with AsyncExitStack() as stack:
        store = await leased(stack, shared.config, run_id, ShardLease(one, 1, 1, "host-1"))
        neighbour = await leased(stack, shared.config, run_id, ShardLease(other, 2, 1, "host-2"))
        keys, others = await keys_by_line(store), await keys_by_line(neighbour)
        assert (sorted(keys), sorted(others)) == ([2, 3, 4, 5], [6, 7, 8, 9])
        assert await store.count_due(retry_failed=False) == (4, 2)
        assert await store.due_in_room("R3", 0, 9, retry_failed=False) == []
        assert len(await store.due_in_room("R2", 0, 9, retry_failed=False)) == 2
        assert len(await store.due_of_user("u4", 0, 9, retry_failed=False)) == 1
        await neighbour.open_session("bot-2", 1)
        assert await store.sessions() == []
        await store.commit(intents(*others.values()))
        assert [due.in_doubt for _, due in await neighbour.fetch_due(0, 9, retry_failed=False)] == [False] * 4
        await store.commit(outcomes(*map(settled, keys.values())))
        assert await store.counts() == [(REMOVED, "", 4)]
        assert await neighbour.counts() == [(NOT_ATTEMPTED, "killed", 4)]
    async with open_store(shared.config, run_id) as whole:
        assert [count.rows for count in await whole.counts()] == [4, 4]
        assert [line for line, *_ in await reported(whole)] == list(range(2, 10))


async def test_after_a_takeover_the_older_token_writes_nothing(shared: SharedDatabase, run_id: int) -> None:
    """A worker that was taken for dead is refused with all parts of its batch; the newer one goes on."""
    shard, *_ = await shared.shards()
    async with AsyncExitStack() as stack:
        older = await leased(stack, shared.config, run_id, ShardLease(shard, 1, 1))
        key, *_ = (await keys_by_line(older)).values()
        await older.commit(intents(key))
        newer = await leased(stack, shared.config, run_id, ShardLease(shard, 1, 2))
        for batch in (outcomes(settled(key)), intents(key, attempt=2), Batch()):
            with pytest.raises(FencedError, match="taken by another worker"):
                await older.commit(batch)
        assert (await newer.fetch_due(0, 1, retry_failed=False))[0][1].in_doubt
        await newer.commit(outcomes(settled(key)))
        assert (REMOVED, "", 1) in await newer.counts()


@pytest.mark.parametrize("token", [(1, 1), (0, 9), (5, 1), (5, 2)])
async def test_tokens_only_grow(shared: SharedDatabase, run_id: int, token: tuple[int, int]) -> None:
    """An older or the same token does not take a shard, so a worker that froze before its start gets nothing."""
    shard, *_ = await shared.shards()
    async with await connect(shared.config) as connection:
        assert await take_shard(connection, shared.config, ShardLease(shard, 5, 2)) == run_id
        assert await take_shard(connection, shared.config, ShardLease(shard, *token)) is None
        assert await take_shard(connection, shared.config, ShardLease(shard, 5, 3)) == run_id


async def test_a_shard_that_is_done_is_not_taken(shared: SharedDatabase, run_id: int) -> None:
    """Only who has the newest token can finish a shard; after that no worker takes it."""
    shard, *_ = await shared.shards()
    async with await connect(shared.config) as connection:
        await take_shard(connection, shared.config, ShardLease(shard, 5, 2))
        assert not await finish_shard(connection, shared.config, ShardLease(shard, 5, 1))
        assert await finish_shard(connection, shared.config, ShardLease(shard, 5, 2))
        assert await take_shard(connection, shared.config, ShardLease(shard, 6, 1)) is None


async def test_a_stopped_run_takes_outcomes_but_no_intents(shared: SharedDatabase, run_id: int) -> None:
    """After the stop of the run a batch is written without its intents, and the caller learns the reason."""
    shard, *_ = await shared.shards()
    async with AsyncExitStack() as stack:
        store = await leased(stack, shared.config, run_id, ShardLease(shard, 1, 1))
        one, other, *_ = (await keys_by_line(store)).values()
        await store.commit(intents(one))
        await stop_run(shared.config, run_id, "credentials", "the token was refused")
        with pytest.raises(RunStoppedElsewhere) as stopped:
            await store.commit(Batch([settled(one)], intents=[Intent(other, 1, 5)]))
        assert (stopped.value.stop, stopped.value.detail) == ("credentials", "the token was refused")
        assert await store.counts() == [(REMOVED, "", 1), (NOT_ATTEMPTED, "credentials", 3)]


@pytest.mark.parametrize("is_leased", [True, False])
async def test_a_commit_without_intents_reports_the_stop(shared: SharedDatabase, is_leased: bool) -> None:
    """A worker that only writes outcomes learns of the stop as well, by a callback."""
    run_id = await shared.create_run(PAIRS)
    await stop_run(shared.config, run_id, "outage", "")
    stops: list[tuple[str, str]] = []
    lease = ShardLease(1, 1, 1) if is_leased else None
    connection = await connect(shared.config)
    async with PostgresStore(
        connection, shared.config, run_id, lease, on_stop=lambda *stop: stops.append(stop)
    ) as store:
        if lease is not None:
            assert await take_shard(connection, shared.config, lease) == run_id
        await store.commit(outcomes(settled(1)))
    assert stops == [("outage", "")]


async def test_a_takeover_waits_for_a_commit_under_way(database: Database, config: DatabaseConfig) -> None:
    """While a commit with the older token is not ended the takeover waits; what it wrote is there after it."""
    async with await connect(config) as connection:
        run_id = await create_run(connection, config, NewRun("main", 1))
    async with open_store(config, run_id) as store:
        await import_job(store, [row(2), row(3)])
    ((shard,),) = database.execute("SELECT id FROM shard")
    assert isinstance(shard, int)
    async with AsyncExitStack() as stack:
        older = await leased(stack, config, run_id, ShardLease(shard, 1, 1))
        key, *_ = (await keys_by_line(older)).values()
        await older.connection.execute("BEGIN")
        await older.commit(outcomes(settled(key)))
        taking = asyncio.create_task(leased(stack, config, run_id, ShardLease(shard, 2, 1)))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE shard%'"
        while database.execute(waiting) == [(0,)]:
            assert not taking.done()
            await asyncio.sleep(0)
        await older.connection.execute("COMMIT")
        assert (REMOVED, "", 1) in await (await taking).counts()
