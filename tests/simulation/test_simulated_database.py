"""The simulated database beside the tests that it shares with the real one: its statements, transactions and locks."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any

import psycopg
import pytest

from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.worker_database import open_database
from rolecall.models import Outcome
from rolecall.store.base import FencedError, StoreError
from rolecall.store.postgres import sql
from rolecall.store.postgres.connection import connect
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import take_shard
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.records import Batch, Session
from tests.simulation.cluster.statements import STATEMENTS, UNSUPPORTED
from tests.simulation.loop import SimulationLoop
from tests.support.simulated_database import SimulatedDatabase
from tests.unit.store.values import outcomes, settled


def statements_of(module: ModuleType) -> dict[str, str]:
    """Return the statements of a module by their names: public texts that begin with a word of SQL."""
    texts = {name: text for name, text in vars(module).items() if name.isupper() and not name.startswith("_")}
    return {name: text for name, text in texts.items() if isinstance(text, str) and text.split()[0].isupper()}


@pytest.mark.parametrize("is_shard", [True, False])
def test_every_statement_is_supported_or_listed(is_shard: bool) -> None:
    """The list of what is not supported is exact: it has no statement that is, and no other one is missing."""
    every = {**statements_of(sql), **statements_of(worker_sql)}
    texts = {name: {text, sql.in_scope(text, is_shard=is_shard).decode()} for name, text in every.items()}
    assert {name for name in texts if not texts[name] & set(STATEMENTS)} == set(UNSUPPORTED)


async def test_a_transaction_ends_with_its_connection() -> None:
    """What a worker changed in a transaction is undone where it dies before the end, and not after it."""
    simulated = SimulatedDatabase()
    store, again = await simulated.open_store(), await simulated.open_store()
    await store.set_meta(one="old")
    await store.open_session("bot", 1)
    connection, close_session = store.connection, sql.in_scope(sql.CLOSE_SESSION, is_shard=False)

    async def die_within() -> None:
        async with connection.transaction():
            await connection.execute(sql.SET_META.encode(), {"name": "one", "value": "new"})
            await connection.execute(sql.SET_META.encode(), {"name": "two", "value": "new"})
            await connection.execute(close_session, {"shard": None, "stop": "outage", "at": 5})
            simulated.break_connection(connection)

    with pytest.raises(psycopg.OperationalError):
        await die_within()
    assert await again.get_meta() == {"one": "old"}
    assert await again.sessions() == [Session(1, None, "", "bot")]
    await again.close_session("", 6)
    simulated.break_connection(again.connection)
    assert await (await simulated.open_store()).sessions() == [Session(1, 6, "", "bot")]


def run_in_virtual_time(test: Coroutine[Any, Any, None]) -> None:
    """Run a test on the event loop of the simulation."""
    loop = SimulationLoop()
    try:
        loop.run_until_complete(test)
    finally:
        loop.shut_down()


async def take_over_during_a_commit() -> None:
    """Let a worker take a shard while another one commits to it; see `test_a_takeover_waits_for_a_commit_under_way`."""
    simulated = SimulatedDatabase(commit_time=1.0)
    config = simulated.config
    run_id = await simulated.create_run([("R", "u")])
    older, newer = ShardLease(1, 1, 1), ShardLease(1, 2, 1)
    connection = await connect(config)
    assert await take_shard(connection, config, older) == run_id
    async with PostgresStore(connection, config, run_id, older) as store:
        ((_, due),) = await store.fetch_due(0, 1, retry_failed=False)
        commit = asyncio.create_task(store.commit(outcomes(settled(due.key))))
        await asyncio.sleep(0.001)
        other = await connect(config)
        assert not commit.done()
        taking = asyncio.create_task(take_shard(other, config, newer))
        await asyncio.wait([commit, taking], return_when=asyncio.FIRST_COMPLETED)
        assert commit.done()
        assert await taking == run_id
        with pytest.raises(FencedError):
            await store.commit(Batch())
    async with PostgresStore(other, config, run_id, newer) as store:
        assert await store.counts() == [(Outcome.REMOVED, "", 1)]


def test_a_takeover_waits_for_a_commit_under_way() -> None:
    """While a commit with the older token is not ended the takeover waits; what it wrote is there after it."""
    run_in_virtual_time(take_over_during_a_commit())


async def die_while_a_lock_is_requested() -> None:
    """Let a worker die between the request of a lock and its arrival; another worker requests it later."""
    simulated = SimulatedDatabase(latency=0.1)
    async with AsyncExitStack() as stack:
        dead, other = [
            await stack.enter_async_context(open_database(simulated.config, DatabaseClock())) for _ in range(2)
        ]
        request = asyncio.create_task(dead.lock_egress("main", "nat"))
        await asyncio.sleep(0.001)
        simulated.break_connection(dead.connection)
        with pytest.raises(StoreError):
            await request
        await asyncio.sleep(1.0)
        assert await other.lock_egress("main", "nat")


def test_a_lock_ends_with_its_connection_also_where_it_was_on_its_way() -> None:
    """A server that carries out the statement of a dead client releases its locks behind it."""
    run_in_virtual_time(die_while_a_lock_is_requested())
