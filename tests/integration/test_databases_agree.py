"""The simulated database against the real one: the same calls of workers, in any order, have the same results.

A difference is an error of the simulated database, in which runs of several workers are simulated.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rolecall.app.observer import NullLogger
from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.job_queue import QueuedJob
from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.worker_database import WorkerDatabase, open_database
from rolecall.cluster.worker import upkeep
from rolecall.engine.settings import FailureThreshold
from rolecall.models import Outcome, Prior, PriorState
from rolecall.store.base import RunStoppedElsewhere, StoreError
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import take_shard
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.records import Batch, Intent, IntentRollback, Pause, PauseKind, PriorRecord
from tests.support.cluster import PLAIN, WORKSPACE
from tests.support.shared_database import SIMULATED, SharedDatabase, new_database
from tests.unit.store.values import settled

PAIRS = [(f"room{number // 3}", f"user{number % 4}") for number in range(12)]
SETTINGS = PLAIN.__class__(max_failures=FailureThreshold.parse("3"))
CALLS = 150
CONNECTIONS, SHARDS = 3, (1, 2, 3)
SECONDS = (4, 11, 601)
LOG = NullLogger()
UNSETTLED = Prior(PriorState.HAS_ROLE, 5, "anna", ("bot",))


class Side:
    """One of the databases, with the numbers and jobs that it has given."""

    def __init__(self, shared: SharedDatabase, run: int, databases: list[WorkerDatabase]) -> None:
        self.shared, self.run, self.databases = shared, run, databases
        self.workers: list[int] = []
        self.begun: list[QueuedJob] = []

    def job(self, number: int) -> QueuedJob:
        """Return a job that was begun."""
        return self.begun[number % len(self.begun)]

    def worker(self, number: int) -> int:
        """Return the number of a worker that was registered."""
        return self.workers[number % len(self.workers)]

    def store(self, database: WorkerDatabase, job: QueuedJob) -> PostgresStore:
        """Return the store of the shard of a job."""
        lease = ShardLease(job.arguments["shard"], *job.token, "me")
        return PostgresStore(database.connection, database.config, self.run, lease)

    async def state(self) -> object:
        """Return what must be the same in both databases after each call."""
        database = self.databases[0]
        infos = [await database.shard(number) for number in SHARDS]
        shards = [(each.account, each.stop, each.stop_detail, each.is_done, each.rows) for each in infos if each]
        has_ended = await database.fetch(worker_sql.HAS_ENDED, run=self.run)
        return sorted(map(str, await self.shared.jobs())), shards, has_ended


Step = Callable[[Side, WorkerDatabase, int], Awaitable[object]]
"""A call: the connection, and a number that chooses among what there is."""


async def register(side: Side, database: WorkerDatabase, number: int) -> object:
    """Register a worker."""
    side.workers.append(await database.jobs.register())
    return None


async def fetch(side: Side, database: WorkerDatabase, number: int) -> object:
    """Begin a job."""
    job = await database.jobs.fetch(WORKSPACE, side.worker(number))
    if job is not None:
        side.begun.append(job)
    return job and job.arguments


async def stalled(side: Side, database: WorkerDatabase, number: int) -> object:
    """Look for jobs of dead workers."""
    return sorted(str(job.arguments) for job in await database.jobs.stalled())


async def take_over(side: Side, database: WorkerDatabase, number: int) -> object:
    """Put back the jobs of dead workers, in one of the orders in which a real database may return them."""
    for job in sorted(await database.jobs.stalled(), key=lambda job: job.token):
        await database.jobs.put_back(job, failed=True)
    return None


async def take(side: Side, database: WorkerDatabase, number: int) -> object:
    """Take the shard of a job."""
    job = side.job(number)
    lease = ShardLease(job.arguments["shard"], *job.token, "me")
    return await take_shard(database.connection, database.config, lease) is not None


async def commit(side: Side, database: WorkerDatabase, number: int) -> object:
    """Commit a batch of any kinds of entries for some due rows of a shard."""
    chance = random.Random(number)
    store = side.store(database, side.job(number))
    rows = [due for _, due in await store.fetch_due(0, chance.randrange(1, 5), retry_failed=chance.random() < 0.3)]
    outcomes, rollbacks, intents, priors = [], [], [], []
    for due in rows:
        kind = chance.randrange(5)
        if kind < 2:
            end = chance.choice((Outcome.REMOVED, Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_LEADER))
            in_doubt = end is Outcome.UNKNOWN and chance.random() < 0.5
            outcomes.append(settled(due.key, end, reason=chance.choice(("", "why")), in_doubt=in_doubt))
        elif kind == 2:
            intents.append(Intent(due.key, due.attempts + 1, number, UNSETTLED))
        elif kind == 3:
            earlier = (due.outcome, due.reason) if chance.random() < 0.5 else (None, "")
            rollbacks.append(IntentRollback(due.key, max(due.attempts - 1, 0), chance.random() < 0.3, None, *earlier))
        else:
            priors.append(PriorRecord(due.key, Prior(PriorState.MEMBER, number, "berta")))
    pauses = [Pause(PauseKind.OUTAGE, number)] if chance.random() < 0.2 else []
    await store.commit(Batch(outcomes, rollbacks, intents, pauses, priors))
    return [due.line for due in rows]


async def read(side: Side, database: WorkerDatabase, number: int) -> object:
    """Read everything of a shard."""
    store = side.store(database, side.job(number))
    results = [result async for page in store.results() for result in page]
    due = await store.fetch_due(0, 99, retry_failed=True)
    pauses = [pause for _, pause in await store.pauses(0, 99)]
    return results, due, pauses, await store.open_pauses(0), await store.sessions(), await store.counts()


async def open_session(side: Side, database: WorkerDatabase, number: int) -> object:
    """Open a session of a shard."""
    await side.store(database, side.job(number)).open_session("bot", number)
    return None


async def close_session(side: Side, database: WorkerDatabase, number: int) -> object:
    """Close the latest session of a shard."""
    await side.store(database, side.job(number)).close_session(("", "outage")[number % 2], number)
    return None


async def finish_shard(side: Side, database: WorkerDatabase, number: int) -> object:
    """End the shard of a job."""
    job = side.job(number)
    info = await database.shard(job.arguments["shard"])
    assert info is not None
    return await database.finish_shard(info, job.token)


async def claim_account(side: Side, database: WorkerDatabase, number: int) -> object:
    """Make an account that of the run."""
    info = await database.shard(1)
    assert info is not None
    return await database.claim_account(info, str(number))


async def stop_if_failing(side: Side, database: WorkerDatabase, number: int) -> object:
    """Stop the run where too many rows failed."""
    info = await database.shard(1)
    assert info is not None
    await upkeep.stop_failing_runs(database, [(info, number % 2)], LOG)
    return await database.run_stop(side.run), await database.fetch(worker_sql.FAILURES, run=side.run)


def egress(number: int) -> tuple[str, str]:
    """Return a workspace and an address."""
    return ("main", "other")[number % 2], ("nat", "host")[number // 2 % 2]


STEPS: Mapping[str, tuple[int, Step]] = {
    "register": (1, register),
    "heartbeat": (1, lambda side, db, number: db.jobs.send_heartbeat(side.worker(number))),
    "unregister": (1, lambda side, db, number: db.jobs.unregister(side.worker(number))),
    "time passes": (1, lambda side, db, number: side.shared.age_heartbeats(SECONDS[number % len(SECONDS)])),
    "stalled": (1, stalled),
    "take over": (1, take_over),
    "bring back": (1, lambda side, db, number: upkeep.bring_back_shards(db, LOG)),
    "end runs": (1, lambda side, db, number: upkeep.end_runs(db)),
    "stop if failing": (1, stop_if_failing),
    "stop": (1, lambda side, db, number: db.stop_run(side.run, "interrupted", str(number))),
    "resume": (2, lambda side, db, number: side.shared.resume()),
    "waiting queues": (1, lambda side, db, number: db.fetch(worker_sql.WAITING_QUEUES, names=[WORKSPACE])),
    "lock": (1, lambda side, db, number: db.lock_egress(*egress(number))),
    "unlock": (1, lambda side, db, number: db.unlock_egress(*egress(number))),
    "account": (1, claim_account),
    "fetch": (6, fetch),
    "put back": (1, lambda side, db, number: db.jobs.put_back(side.job(number), failed=number % 2 == 0)),
    "finish": (1, lambda side, db, number: db.jobs.finish(side.job(number))),
    "take": (4, take),
    "commit": (6, commit),
    "read": (3, read),
    "open session": (1, open_session),
    "close session": (1, close_session),
    "finish shard": (2, finish_shard),
}
"""Each call, and how often it is chosen."""


async def open_side(stack: AsyncExitStack, kind: str, folder: Path) -> Side:
    """Return a database with a run and the connections of workers."""
    shared = new_database(kind, folder)
    run = await shared.create_run(PAIRS, SETTINGS, shard_rows=4)
    assert await shared.shards() == list(SHARDS)
    databases = [
        await stack.enter_async_context(open_database(shared.config, DatabaseClock())) for _ in range(CONNECTIONS)
    ]
    side = Side(shared, run, databases)
    await register(side, databases[0], 0)
    await fetch(side, databases[0], 0)
    return side


async def result_of(step: Step, side: Side, connection: int, number: int) -> object:
    """Return what a call returned, or the kind of its error."""
    try:
        return await step(side, side.databases[connection], number)
    except (StoreError, RunStoppedElsewhere) as error:
        return type(error).__name__


@pytest.mark.parametrize("seed", range(5))
async def test_the_same_calls_have_the_same_results(tmp_path: Path, seed: int) -> None:
    """Calls of workers, chosen at random, return the same, raise the same, and leave the same."""
    chance = random.Random(seed)
    history: list[Any] = []
    async with AsyncExitStack() as stack:
        real, simulated = [await open_side(stack, kind, tmp_path) for kind in ("wheel", SIMULATED)]
        for _ in range(CALLS):
            (name,) = chance.choices(list(STEPS), [weight for weight, _ in STEPS.values()])
            connection, number = chance.randrange(CONNECTIONS), chance.randrange(1000)
            expected, found = [await result_of(STEPS[name][1], side, connection, number) for side in (real, simulated)]
            history.append((name, connection, number, expected))
            assert found == expected, history[-8:]
            assert await simulated.state() == await real.state(), history[-8:]
