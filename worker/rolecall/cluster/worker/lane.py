"""A lane: the work of one worker for one workspace, one shard at a time and the next one where it ends.

Of the workers behind one address, one is active for a workspace, and the others stand by.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rolecall.app.connection import AppContext
from rolecall.app.errors import OperatorError
from rolecall.app.observer import NullObserver
from rolecall.cluster.database.job_queue import PROCESS_SHARD, QueuedJob
from rolecall.cluster.database.lease import HeartbeatLease
from rolecall.cluster.database.worker_database import StoreConnections, WorkerDatabase
from rolecall.cluster.schedules.make_run import make_run
from rolecall.cluster.schedules.schedules import MAKE_RUN
from rolecall.cluster.worker.shard_run import LaneState, ShardRun
from rolecall.cluster.worker.shard_work import ShardEnd, ShardStop
from rolecall.cluster.worker.workspace_session import WorkspaceSessions
from rolecall.cluster.workspaces_file import OtherWorkspaceError, WorkspaceEntry
from rolecall.engine.events import EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.admission import AdmissionStatus
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.operations import OPERATIONS
from rolecall.store.base import StoreError
from rolecall.store.completion import complete

MAX_SHARDS = 2
"""Shards at once: one, and where it is nearly done the next one."""
STANDBY_PAUSE = 2.0
"""Seconds between two attempts to become active."""
AWAY_PAUSE, MAX_AWAY_PAUSE = 2.0, 30.0
"""Seconds until a workspace that is away is tried again: longer the longer it is away."""
ELSEWHERE = 10.0
"""Seconds of an outage after which a shard is left to workers that get answers."""
LAST_CALLS = 5.0
"""Seconds for the calls in flight of a shard where the database failed for another one."""
RECORD_ANSWERS = 5.0
"""Seconds between two records of a workspace that answers."""
WORKER_STOPS = "the worker stops"
REFUSED_PAUSE = 10.0
"""Seconds in which a lane leaves a shard to workers whose account is that of the run."""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who this worker is."""

    worker_id: str
    host: str
    egress: str
    """The address from which its calls come."""


@dataclass(frozen=True, slots=True)
class LaneConfig:
    """What the lanes of a worker have in common."""

    identity: WorkerIdentity
    lease: HeartbeatLease
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    concurrency: int | None = None
    """Calls in flight; None for what each run says."""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Of the connections to workspaces, see ConnectionConfig."""
    now: Callable[[], float] = time.monotonic
    """The monotonic clock, in seconds."""
    open_client: Callable[[ConnectionConfig, Credentials], Client] = Client
    """Opens an HTTP session with a workspace."""


class Lane:
    """The work for one workspace in this process."""

    def __init__(self, entry: WorkspaceEntry, config: LaneConfig, log: EventLogger) -> None:
        self.name = entry.name
        self.wake = asyncio.Event()
        """Set where a job may wait, or the next one may be begun."""
        self.is_active = False
        """True while it is the active one behind its address."""
        self.runs: dict[asyncio.Task[None], ShardRun] = {}
        """The shards that are processed."""
        self._config = config
        self._log = log.bind(workspace=entry.name)
        self._sessions = WorkspaceSessions(
            entry, config.environ, config.warn, config.concurrency, config.timeouts, config.open_client
        )
        self._shared = LaneState()
        self._pause = 0.0
        self._is_reported_standby = False
        self._calls = 0
        self._rows = 0

    @property
    def entry(self) -> WorkspaceEntry:
        """The workspace, as the file of workspaces has it."""
        return self._sessions.entry

    @property
    def has_other_url(self) -> bool:
        """True while the runs of the workspace are for another URL than its entry."""
        return self._shared.has_other_url

    @property
    def is_busy(self) -> bool:
        """True while a shard is processed."""
        return bool(self.runs)

    @property
    def rows(self) -> int:
        """Rows that were finished since the start."""
        return self._rows + sum(run.rows for run in self.runs.values())

    async def serve(self, database: WorkerDatabase, worker: int, draining: asyncio.Event) -> None:
        """Work until drained: on one job after the other. Raises StoreError where the database is away."""
        leasing = [asyncio.create_task(leaser.run(database)) for leaser in self._sessions.leasers.values()]
        connections = StoreConnections(database.config)
        try:
            while not draining.is_set():
                await self._next(database, connections, worker, draining)
            self.request_stop(WORKER_STOPS)
            while self.runs:
                await self._wait()
        except StoreError as error:
            self.request_stop(str(error))
            if self.runs:
                await asyncio.wait(self.runs, timeout=LAST_CALLS)
            raise
        finally:
            await complete(asyncio.ensure_future(self._clean_up(leasing, connections)))

    async def _clean_up(self, leasing: Sequence[asyncio.Task[None]], connections: StoreConnections) -> None:
        """Cancel what is left, so that the lane can be served again."""
        await cancel([*leasing, *self.runs])
        self.runs.clear()
        self.is_active = False
        await connections.close()

    async def close(self) -> None:
        """Close the HTTP session."""
        await self._sessions.retire()

    def request_stop(self, detail: str) -> None:
        """End the work on the present shards: the calls in flight are awaited."""
        for run in self.runs.values():
            run.stop.request(StopReason.INTERRUPTED, detail)

    async def look_for_stop(self, database: WorkerDatabase, notified: str) -> None:
        """End the work on the shards of a run where it is stopped. Raises StoreError.

        `notified`: the id of the run, or any text: each user of the database may send one.
        """
        runs = [(run.info.run_id, run) for run in self.runs.values() if run.info is not None]
        runs = [(run_id, run) for run_id, run in runs if str(run_id) == notified]
        if not runs:
            return
        word, detail = await database.run_stop(runs[0][0])
        for _, run in runs if word else ():
            run.stop.request_by_word(word, detail)

    def has_answered(self) -> bool:
        """Return whether calls left since the last look, and the workspace is reachable."""
        status = next((status for run in self.runs.values() if (status := _status(run))), None)
        if status is None or status.outage is not None:
            return False
        calls, self._calls = self._calls, status.calls
        return status.calls != calls

    async def leave_if_others_get_answers(self, database: WorkerDatabase) -> None:
        """End the work on shards where the workspace is away for this worker alone. Raises StoreError."""
        for run in list(self.runs.values()):
            status = _status(run)
            if status is None or status.outage is None or status.outage.seconds < ELSEWHERE:
                continue
            if await database.answered_within(self.name, status.outage.seconds - RECORD_ANSWERS):
                run.stop.request(StopReason.OUTAGE, "the workspace does not answer to this worker; others go on")

    async def _next(
        self, database: WorkerDatabase, connections: StoreConnections, worker: int, draining: asyncio.Event
    ) -> None:
        """Begin the next job, or wait for something to do."""
        self.wake.clear()
        if self._pause and not self.runs:
            pause, self._pause = self._pause, 0.0
            await self._wait(draining.wait(), asyncio.sleep(pause))
            return
        if not self.is_active and not await self._become_active(database):
            await self._wait(draining.wait(), asyncio.sleep(STANDBY_PAUSE))
            return
        is_free = len(self.runs) < MAX_SHARDS and all(run.is_nearly_done for run in self.runs.values())
        if is_free and not self._pause and self._config.lease.is_fresh:
            job = await database.jobs.fetch(self.name, worker)
            if job is not None:
                await self._begin(job, database, connections)
                return
        await self._wait(draining.wait(), self.wake.wait())

    async def _begin(self, job: QueuedJob, database: WorkerDatabase, connections: StoreConnections) -> None:
        if job.task not in (PROCESS_SHARD, MAKE_RUN):
            self._log.warning("unknown job", task=job.task, detail="a newer version of Rolecall has put it there")
            await database.jobs.finish(job, failed=True)
            return
        run = ShardRun(
            job=job,
            database=database,
            worker_id=self._config.identity.worker_id,
            sessions=self._sessions,
            connections=connections,
            stop=ShardStop(self._config.lease),
            shared=self._shared,
            log=self._log,
            wake=self.wake,
        )
        self.runs[asyncio.create_task(self._run(run), name=f"shard of {self.name}")] = run

    async def _wait(self, *others: Coroutine[Any, Any, object]) -> None:
        """Wait for one of the others, or for the end of a shard. Raises what a shard raises."""
        tasks = [asyncio.ensure_future(other) for other in others]
        try:
            done, _ = await asyncio.wait([*tasks, *self.runs], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(tasks)
        for task in [task for task in self.runs if task in done]:
            self._rows += self.runs.pop(task).rows
            task.result()

    async def _become_active(self, database: WorkerDatabase) -> bool:
        self.is_active = await database.lock_egress(self.name, self._config.identity.egress)
        if not self.is_active and not self._is_reported_standby:
            self._log.warning(
                "standing by",
                egress=self._config.identity.egress,
                detail="another worker behind the same address works for this workspace; "
                "--egress names an address of its own",
            )
        self._is_reported_standby = not self.is_active
        return self.is_active

    async def _run(self, run: ShardRun) -> None:
        """Process a job, and end it. Raises StoreError."""
        jobs = run.database.jobs
        try:
            end = await (self._make_run(run) if run.job.task == MAKE_RUN else run.run())
        except StoreError:
            raise
        except Exception as error:  # of any kind: it comes back later, and other shards go on
            run.log.warning("shard failed", detail=f"{type(error).__name__}: {error}")
            await jobs.finish(run.job, failed=True)
            return
        if end in (ShardEnd.PUT_BACK, ShardEnd.AWAY, ShardEnd.REFUSED):
            await jobs.put_back(run.job)
        else:
            await jobs.finish(run.job)
        if end is ShardEnd.AWAY:
            since = self._shared.away_since
            away = asyncio.get_running_loop().time() - since if since else 0.0
            self._pause = min(AWAY_PAUSE + away, MAX_AWAY_PAUSE)
        elif end is ShardEnd.REFUSED:
            self._pause = REFUSED_PAUSE

    async def _make_run(self, run: ShardRun) -> ShardEnd:
        """Make the rows of a scheduled run; later, where the workspace is away or this worker stops.

        A run that this worker cannot make is left to others; the reason is logged once.
        """
        entry, run_id = self.entry, int(run.job.arguments["run"])
        log = self._log.bind(run=run_id)
        try:
            credentials = entry.load_credentials(self._config.environ, self._config.warn)
            context = AppContext(
                entry.connection(**self._config.timeouts), credentials, Settings(), NullObserver(log), run.stop
            )
            is_made = await make_run(run.database.config, run_id, entry, context)
        except OperatorError as error:  # no token, or that of another workspace
            self._shared.has_other_url = isinstance(error, OtherWorkspaceError)
            if self._shared.is_new_refusal(run_id, str(error)):
                log.warning("run not made", detail=str(error))
            return ShardEnd.REFUSED
        return ShardEnd.DONE if is_made else ShardEnd.AWAY


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait for their ends."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _status(run: ShardRun) -> AdmissionStatus | None:
    """Return the state of a shard's changing calls; None before they begin."""
    if run.info is None or run.context is None:
        return None
    return run.context.admission.status(OPERATIONS[run.info.operation].path)
