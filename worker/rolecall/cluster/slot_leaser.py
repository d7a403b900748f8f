"""Leases slots of a workspace's own rate from the database, for the calls of one kind in this process."""

import asyncio

from rolecall.cluster import sql
from rolecall.cluster.database import WorkerDatabase
from rolecall.cluster.lease import lease_moments
from rolecall.engine.throttle.admission import CallKind
from rolecall.engine.throttle.rate_slots import LeasedSlots


class SlotLeaser:
    """The slots of one kind of calls to a workspace. Without the database no slot is leased, and no call leaves."""

    def __init__(self, workspace: str, kind: CallKind) -> None:
        self._workspace = workspace
        self._kind = kind
        self._wanted = asyncio.Event()
        self.slots = LeasedSlots(self._wanted.set)

    async def run(self, database: WorkerDatabase) -> None:
        """Lease slots whenever calls wait for them, until cancelled. Raises StoreError."""
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if count := self.slots.wanted:
                self.slots.add(await self._lease(database, count))

    async def _lease(self, database: WorkerDatabase, count: int) -> list[float]:
        interval = self.slots.interval
        found = await database.fetch(
            sql.LEASE_SLOTS, workspace=self._workspace, kind=self._kind.name.lower(), count=count, interval=interval
        )
        ((first, now),) = found
        database.record_clock(now)
        return lease_moments(first, count, interval, database.clock)
