"""The lanes that a worker serves over one connection to the database; they come and go with the file of workspaces."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rolecall.cluster.database.worker_database import WorkerDatabase
from rolecall.cluster.worker.lane import WORKER_STOPS, Lane, cancel

NOT_SERVED = "the file of workspaces does not have the workspace any more"
END_SECONDS = 1.0
"""Seconds for the end of a shard after its last call."""


@dataclass(eq=False)
class _ServedLane:
    """A lane and its task; once the lane is removed, the task is the one that ends it."""

    lane: Lane
    task: asyncio.Task[None]
    draining: asyncio.Event


class LaneTasks:
    """The lanes as tasks. Methods raise StoreError where the database is away."""

    def __init__(self, database: WorkerDatabase, number: int, egress: str, grace: float) -> None:
        """Serve no lane yet. `number`: of the worker in the queue; `grace`: seconds for calls in flight."""
        self._database = database
        self._number = number
        self._egress = egress
        self._grace = grace
        self._served: dict[str, _ServedLane] = {}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks; one that is done is to be reported to `remove_ended`."""
        return [served.task for served in self._served.values()]

    @property
    def shards(self) -> int:
        """The shards that are processed."""
        return sum(len(served.lane.runs) for served in self._served.values())

    def update(self, lanes: Mapping[str, Lane]) -> None:
        """Serve these lanes by name, and end the others in stages; one that replaces another begins after its end."""
        for served in self._served.values():
            if lanes.get(served.lane.name) is not served.lane and not served.draining.is_set():
                served.draining.set()
                served.lane.request_stop(NOT_SERVED)
                served.task = asyncio.create_task(self._end(served.lane, served.task), name=f"end {served.lane.name}")
        for name, lane in lanes.items():
            if name not in self._served:
                draining = asyncio.Event()
                work = lane.serve(self._database, self._number, draining)
                self._served[name] = _ServedLane(lane, asyncio.create_task(work, name=f"lane {name}"), draining)

    def remove_ended(self, done: Iterable[asyncio.Task[Any]]) -> None:
        """Forget the lanes that have ended; `done`: tasks, also others. Raises what one of them raised."""
        for task in done:
            self._served = {name: served for name, served in self._served.items() if served.task is not task}
            task.result()

    async def drain(self) -> None:
        """End the work on all shards: no new rows, and calls in flight have the grace."""
        for served in self._served.values():
            served.draining.set()
            served.lane.request_stop(WORKER_STOPS)
        if self._served:
            await asyncio.wait(self.tasks, timeout=self._grace + END_SECONDS)

    async def close(self) -> None:
        """Cancel what is left."""
        await cancel(self.tasks)

    async def _end(self, lane: Lane, serving: asyncio.Task[None]) -> None:
        """End a lane that is drained: after the grace its shards go to other workers. Raises what the lane raises."""
        try:
            await asyncio.wait([serving], timeout=self._grace + END_SECONDS)
            jobs = [run.job for run in lane.runs.values()]
        finally:
            await cancel([serving])
            await lane.close()
        if not serving.cancelled():
            serving.result()
        for job in jobs:  # this worker lives, so nothing else brings them back
            await self._database.jobs.put_back(job)
        await self._database.unlock_egress(lane.name, self._egress)
