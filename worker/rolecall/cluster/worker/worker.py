"""A worker: one process that serves the workspaces of which it has credentials, until it is stopped.

While the database is away, no call leaves; the worker connects again with growing pauses.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.job_queue import JOBS_CHANGED, channels_of
from rolecall.cluster.database.lease import HEARTBEAT, DatabaseClock
from rolecall.cluster.database.worker_database import WorkerDatabase, listen, open_database
from rolecall.cluster.worker import upkeep
from rolecall.cluster.worker.lane import RECORD_ANSWERS, Lane, LaneConfig, cancel
from rolecall.cluster.worker.lane_tasks import LaneTasks
from rolecall.engine.events import EventLogger
from rolecall.engine.stop_signal import StopSignal
from rolecall.store.base import StoreError
from rolecall.store.postgres.connection import DatabaseConfig
from rolecall.version import __version__

SWEEP = 1.0
"""Seconds between two looks for dead workers, waiting jobs and failing runs."""
RECONCILE = 10.0
"""Seconds between two looks for shards without a job."""
FIRST_PAUSE, MAX_PAUSE = 0.5, 5.0
"""Seconds until a database that is away is tried again: doubled each time, until it could be used for a while."""

Tick = Callable[[WorkerDatabase], Awaitable[object]]
"""Does something that each worker does from time to time. Raises StoreError."""


class Worker:
    """One worker process."""

    def __init__(self, lanes: Sequence[Lane], config: LaneConfig, database: DatabaseConfig, log: EventLogger) -> None:
        self._lanes = {lane.name: lane for lane in lanes}
        self._config = config
        self._database = database
        self._log = log
        self._clock = DatabaseClock(config.now)
        self._former: int | None = None
        """The number under which it worked before the connection was lost; its lanes have ended since."""
        self._recorded: list[str] = []
        """The workspaces that the database knows it to serve."""
        self._changed = asyncio.Event()
        self._away = ""
        """Why the database cannot be used, as it was logged; empty while it can."""
        self._usable_since: float | None = None
        """Since when it can be used, or could the last time, by the monotonic clock; None before the first time."""
        self.ticks: list[tuple[float, Tick]] = [
            (SWEEP, self._sweep),
            (RECONCILE, self._reconcile),
            (RECORD_ANSWERS, self._record_answers),
        ]
        """What else is done, and the seconds between two times."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes that it serves."""
        return list(self._lanes.values())

    async def replace_lanes(self, lanes: Iterable[Lane]) -> None:
        """Serve these lanes from now on; those that are not among them end in stages."""
        former, self._lanes = self.lanes, {lane.name: lane for lane in lanes}
        self._changed.set()
        for lane in former:
            if lane not in self.lanes:
                await lane.close()  # its shards, if any, keep the session to their ends

    async def run(self, stop: StopSignal, grace: float = 10.0) -> None:
        """Work until the stop is requested; calls in flight then have `grace` seconds.

        Raises StoreError and InvalidStoreError where the database cannot be used at the start.
        """
        pause = FIRST_PAUSE
        try:
            while stop.reason is None:
                try:
                    async with (
                        open_database(self._database, self._clock) as database,
                        open_database(self._database, self._clock) as for_heartbeats,
                    ):
                        await self._serve(database, for_heartbeats, stop, grace)
                except StoreError as error:
                    if self._usable_since is None:
                        raise
                    if not self._away and self._config.now() - self._usable_since > MAX_PAUSE:
                        pause = FIRST_PAUSE
                    self._record_away(str(error), pause)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), pause)
                    pause = min(2 * pause, MAX_PAUSE)
        finally:
            for lane in self._lanes.values():
                await lane.close()

    def _record_away(self, detail: str, pause: float) -> None:
        """Record why the database cannot be used; log it where that is new."""
        if detail != self._away:
            self._log.warning("database away", detail=detail, seconds=pause)
        self._away = detail

    def _record_usable(self) -> None:
        """Record that the database can be used: it can also be written to."""
        if self._away:
            self._log.info("database back")
        self._away, self._usable_since = "", self._config.now()

    async def _serve(
        self, database: WorkerDatabase, for_heartbeats: WorkerDatabase, stop: StopSignal, grace: float
    ) -> None:
        """Work until the stop is requested or a connection is lost. Raises StoreError.

        Heartbeats have a connection of their own: a statement that waits must not delay them.
        """
        number = await self._register(database)
        lanes = LaneTasks(database, number, self._config.identity.egress, grace)
        serving = asyncio.create_task(self._serve_lanes(lanes, database), name="lanes")
        others = [
            asyncio.create_task(self._send_heartbeats(for_heartbeats, number), name="heartbeat"),
            *(asyncio.create_task(_repeat(seconds, tick, database)) for seconds, tick in self.ticks),
        ]
        requested = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([serving, *others, requested], return_when=asyncio.FIRST_COMPLETED)
            await cancel([serving])
            if lanes.shards and stop.reason is not None:
                self._log.info("stopping", shards=lanes.shards, shutdown_timeout=grace)
            await lanes.drain()
            for task in done:
                task.result()
        finally:
            await cancel([serving])
            await lanes.close()
            await cancel([requested, *others])
        await self._unregister(database, number)

    async def _serve_lanes(self, lanes: LaneTasks, database: WorkerDatabase) -> None:
        """Serve the lanes, also after they were replaced, until cancelled. Raises StoreError."""
        while True:
            self._changed.clear()
            lanes.update(self._lanes)
            channels = channels_of(list(self._lanes))
            listening = listen(
                self._database,
                [worker_sql.RUN_STOPPED, JOBS_CHANGED, *channels],
                partial(self._on_notify, database, channels),
            )
            others = [asyncio.create_task(listening, name="listen"), asyncio.create_task(self._changed.wait())]
            try:
                done, _ = await asyncio.wait([*others, *lanes.tasks], return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel(others)
            lanes.remove_ended(done)

    async def _register(self, database: WorkerDatabase) -> int:
        sent_at = self._config.lease.start()
        if self._former is not None:
            await database.jobs.unregister(self._former)
            await database.fetch(worker_sql.RELEASE_SHARDS, worker=self._config.identity.worker_id)
        self._former = number = await database.jobs.register()
        await self._record(database)
        await database.fetch(worker_sql.FORGET_WORKERS)
        self._config.lease.renew(sent_at)
        self._record_usable()
        egress = self._config.identity.egress
        self._log.info("worker started", egress=egress, workspaces=len(self._lanes), version=__version__)
        return number

    async def _record(self, database: WorkerDatabase) -> None:
        """Record the worker with the workspaces that it can serve."""
        names = self._names()
        identity = self._config.identity
        await database.record_time(
            worker_sql.ADD_WORKER,
            id=identity.worker_id,
            host=identity.host,
            egress=identity.egress,
            version=__version__,
            workspaces=names,
        )
        self._recorded = names

    def _names(self) -> list[str]:
        """Return the workspaces that it can serve: not those whose runs are for another URL."""
        return [lane.name for lane in self._lanes.values() if not lane.has_other_url]

    async def _unregister(self, database: WorkerDatabase, number: int) -> None:
        await database.jobs.unregister(number)
        self._former = None
        await database.fetch(worker_sql.DELETE_WORKER, id=self._config.identity.worker_id)
        self._log.info("worker ended")

    async def _send_heartbeats(self, database: WorkerDatabase, number: int) -> None:
        """Send heartbeats for ever. Raises StoreError where others have taken over: the worker then starts anew."""
        lease = self._config.lease
        while True:
            await asyncio.sleep(HEARTBEAT)
            was_lost, sent_at = lease.is_lost, lease.start()
            await database.jobs.send_heartbeat(number)
            is_known = await database.record_time(worker_sql.SEE_WORKER, id=self._config.identity.worker_id)
            if was_lost or not is_known:
                raise StoreError("No heartbeat was sent for too long; other workers may have taken over.")
            lease.renew(sent_at)

    async def _on_notify(self, database: WorkerDatabase, channels: Mapping[str, str], channel: str, text: str) -> None:
        """Look for work or for a stop; `channels`: the workspaces by the channels of their queues."""
        if channel == worker_sql.RUN_STOPPED:
            for lane in self._lanes.values():
                await lane.look_for_stop(database, text)
            return
        name = text if channel == JOBS_CHANGED else channels.get(channel, "")
        if name in self._lanes:
            self._lanes[name].wake.set()

    async def _sweep(self, database: WorkerDatabase) -> None:
        await upkeep.take_over_stalled(database, self._log)
        if self._recorded != self._names():
            await self._record(database)
        waiting = await database.fetch(worker_sql.WAITING_QUEUES, names=list(self._lanes))
        for lane in [self._lanes[name] for (name,) in waiting if name in self._lanes]:
            lane.wake.set()
        runs = [run for lane in self._lanes.values() for run in lane.runs.values()]
        shards = [(run.info, run.unknown) for run in runs if run.info is not None]
        await upkeep.stop_failing_runs(database, shards, self._log)
        for lane in self._lanes.values():
            await lane.leave_if_others_get_answers(database)

    async def _reconcile(self, database: WorkerDatabase) -> None:
        await upkeep.bring_back_shards(database, self._log)
        await upkeep.end_runs(database)

    async def _record_answers(self, database: WorkerDatabase) -> None:
        for lane in self._lanes.values():
            if lane.has_answered():
                await database.record_answer(lane.name)


async def _repeat(seconds: float, tick: Tick, database: WorkerDatabase) -> None:
    """Call a function again and again. Raises StoreError."""
    while True:
        await tick(database)
        await asyncio.sleep(seconds)
