"""Defects of the distributed mode, each a function with a wrong one in its place: the judge must find them all.

Where the right one is a statement of the database, its part of the simulated database is replaced.
"""

import math
from contextlib import suppress
from typing import Any

from rolecall.cluster.database.job_queue import JobExistsError, JobQueue
from rolecall.cluster.database.lease import HeartbeatLease
from rolecall.cluster.worker import shard_work, upkeep
from rolecall.engine.stop_signal import StopSignal
from rolecall.store.base import RunStoppedElsewhere
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.postgres.store import PostgresStore
from tests.simulation.cluster import job_tables, statements, store_statements
from tests.simulation.cluster.process import WorkerProcess
from tests.simulation.defects.registry import Defect, Replacement, added_to

CLUSTER_DEFECTS: list[Defect] = []
defect = added_to(CLUSTER_DEFECTS)


@defect
def _no_fence() -> list[Replacement]:
    """Commit without the fence."""
    return [(store_statements, "may_write", lambda shard, token: True)]


@defect
def _plain_counter() -> list[Replacement]:
    """Give a shard to each worker that starts it, with a plain counter in the place of (job, attempt)."""
    return [(store_statements, "may_take", lambda shard, token: not shard.is_done)]


@defect
def _token_used_again() -> list[Replacement]:
    """Let a takeover use the token of the dead worker again."""

    async def put_back(self: JobQueue, queued: Any, *, failed: bool = False) -> None:
        with self._errors():
            await self._connection.execute("RETRY", {"job": queued.job.id})

    def retry(database: Any, connection: Any, values: Any, reply: Any) -> None:
        job = database.tables.jobs[values["job"]]
        if job.status == "doing":
            job.status, job.worker = "todo", None
        reply([])

    return [
        (JobQueue, "put_back", put_back),
        (statements, "STATEMENTS", {**statements.STATEMENTS, "RETRY": retry}),
        (store_statements, "may_take", lambda shard, token: shard.token <= token and not shard.is_done),
    ]


@defect
def _lease_not_looked_at() -> list[Replacement]:
    """Send without a look at the lease."""
    return [(shard_work.ShardStop, "raise_if_requested", StopSignal.raise_if_requested)]


@defect
def _lease_from_the_answer() -> list[Replacement]:
    """Let a lease begin when the answer to the heartbeat arrives, not when the heartbeat is sent."""

    def renew(self: HeartbeatLease, sent_at: float) -> None:
        self._sent_at = self._now()

    return [(HeartbeatLease, "renew", renew)]


@defect
def _lease_on_a_clock_that_stops() -> list[Replacement]:
    """Measure the lease by a clock that stands still with the process."""
    right = WorkerProcess.freeze, WorkerProcess.thaw, WorkerProcess.boot_time

    def freeze(self: WorkerProcess) -> None:
        self.frozen_at = right[2](self)  # type: ignore[attr-defined]
        right[0](self)

    def thaw(self: WorkerProcess) -> None:
        if self.is_frozen:
            away = right[2](self) - self.frozen_at  # type: ignore[attr-defined]
            self.away = getattr(self, "away", 0.0) + away  # type: ignore[attr-defined]
        right[1](self)

    def boot_time(self: WorkerProcess) -> float:
        return right[2](self) - getattr(self, "away", 0.0)

    return [(WorkerProcess, "freeze", freeze), (WorkerProcess, "thaw", thaw), (WorkerProcess, "boot_time", boot_time)]


@defect
def _stop_not_looked_at_in_the_commit() -> list[Replacement]:
    """Commit intents after the run was stopped."""
    return [(store_statements, "is_stopping", lambda stop: False)]


@defect
def _stop_ignored_by_the_store() -> list[Replacement]:
    """Send although the commit said that the run is stopped and the intent was not written."""
    right = PostgresStore.commit

    async def commit(self: PostgresStore, batch: Any) -> None:
        try:
            await right(self, batch)
        except RunStoppedElsewhere:
            return

    return [(PostgresStore, "commit", commit)]


@defect
def _old_job_ended_first() -> list[Replacement]:
    """End the old job before the new one is there."""

    async def put_back(self: JobQueue, queued: Any, *, failed: bool = False) -> None:
        await self.finish(queued, failed=failed)
        job = queued.job.evolve(id=None, status=None, scheduled_at=None, attempts=0, worker_id=None)
        with suppress(JobExistsError):
            await self.defer([job])

    return [(JobQueue, "put_back", put_back)]


@defect
def _finished_with_rows_left() -> list[Replacement]:
    """End a shard that has rows left."""

    async def end(self: shard_work.ShardWork, context: Any) -> shard_work.ShardEnd:
        await self.database.finish_shard(self.info, self.token)
        return shard_work.ShardEnd.DONE

    return [(shard_work.ShardWork, "_end", end), (store_statements, "is_complete", lambda shard: True)]


@defect
def _no_takeover() -> list[Replacement]:
    """Leave the shards of dead workers alone."""

    async def take_over_stalled(database: Any, log: Any) -> None:
        return None

    return [(upkeep, "take_over_stalled", take_over_stalled)]


@defect
def _shards_not_brought_back() -> list[Replacement]:
    """Bring no shard back after a resume."""

    async def bring_back_shards(database: Any, log: Any) -> None:
        return None

    return [(upkeep, "bring_back_shards", bring_back_shards)]


@defect
def _taken_too_early() -> list[Replacement]:
    """Take over from workers whose lease lasts."""
    right = job_tables.JOB_STATEMENTS

    def stalled(database: Any, connection: Any, values: Any) -> Any:
        soon = {**values, "seconds_since_heartbeat": 4.0}
        return next(answer for text, answer in right.items() if "stalled_workers AS" in text)(
            database, connection, soon
        )

    key = next(text for text in right if "stalled_workers AS" in text)
    return [(statements, "STATEMENTS", {**statements.STATEMENTS, key: statements.at_once(stalled)})]


@defect
def _doubt_forgotten_at_a_takeover() -> list[Replacement]:
    """Forget at a takeover that a row is in doubt."""
    right = BatchWriter.fetch_due

    async def fetch_due(self: BatchWriter, *what: Any, **how: Any) -> Any:
        return [(place, row._replace(in_doubt=False)) for place, row in await right(self, *what, **how)]

    return [(BatchWriter, "fetch_due", fetch_due)]


@defect
def _failed_heartbeat_believed() -> list[Replacement]:
    """Believe for ever in one heartbeat."""

    def renew(self: HeartbeatLease, sent_at: float) -> None:
        self._sent_at = math.inf

    return [(HeartbeatLease, "renew", renew)]
