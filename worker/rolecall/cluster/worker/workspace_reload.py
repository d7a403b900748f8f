"""Read the file of workspaces, at the start and each time that this is requested, and let the worker serve them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rolecall.cluster.worker.lane import Lane, LaneConfig
from rolecall.cluster.worker.worker import Worker
from rolecall.cluster.workspaces_file import Workspaces
from rolecall.engine.events import EventLogger


class WorkspaceSource(NamedTuple):
    """Where a worker reads which workspaces it serves."""

    read: Callable[[], Workspaces]
    """Reads the file. Raises OperatorError."""
    requested: asyncio.Event
    """Set when it is to be read again."""


class LaneSource:
    """Makes the lanes of the file of workspaces."""

    def __init__(self, source: WorkspaceSource, config: LaneConfig, open_log: Callable[[str], EventLogger]) -> None:
        """`open_log` returns the logger for a token that no event may show."""
        self._source = source
        self._config = config
        self._open_log = open_log

    def lanes(self, former: Mapping[str, Lane]) -> list[Lane]:
        """Read the file and return its lanes; one of `former` whose entry is the same stays. Raises OperatorError."""
        lanes = []
        for name, entry in self._source.read().items():
            lane = former.get(name)
            if lane is None or lane.entry != entry:
                token = entry.load_credentials(self._config.environ, self._config.warn).token
                lane = Lane(entry, self._config, self._open_log(token).bind(worker=self._config.identity.worker_id))
            lanes.append(lane)
        return lanes

    async def follow(self, worker: Worker, log: EventLogger) -> None:
        """Read the file each time that this is requested, until cancelled. With a broken file the old list stays."""
        while True:
            await self._source.requested.wait()
            self._source.requested.clear()
            former = {lane.name: lane for lane in worker.lanes}
            try:
                lanes = self.lanes(former)
            except Exception as error:  # of any kind: the worker goes on
                log.warning("workspaces not read", detail=str(error))
                continue
            kept = {lane.name for lane in lanes if lane in worker.lanes}
            await worker.replace_lanes(lanes)
            log.info(
                "workspaces read",
                workspaces=len(lanes),
                begun=", ".join(lane.name for lane in lanes if lane.name not in kept),
                ended=", ".join(name for name in former if name not in kept),
            )
