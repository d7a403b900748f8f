"""One worker of a simulation with several, and the database that they share.

A frozen worker's timers go on, but nothing reaches it and nothing that it waits for comes.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from rolecall.cluster.lease import HEARTBEAT, STALLED, HeartbeatLease
from rolecall.cluster.shard_work import ShardStop
from rolecall.engine.clock import Clock
from rolecall.engine.context import Caller, RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.stop_signal import StopReason
from rolecall.models import MAX_RESPONSE_SIZE, NoReply, Reply
from rolecall.sandbox import ACCOUNT
from rolecall.store.base import FencedError, RunStoppedElsewhere, StoreError
from rolecall.store.records import Batch
from tests.simulation.client import SimulatedClient
from tests.simulation.loop import SimulationLoop
from tests.simulation.network import Line, Network
from tests.simulation.scenario import Scenario
from tests.simulation.violation import require
from tests.simulation.workspace import Pair
from tests.support.engine import SilentLog
from tests.support.memory_contents import apply_batch
from tests.support.memory_store import MemoryStore
from tests.unit.engine.virtual import EPOCH

LOOK = 1.0
"""Seconds between two looks of a worker for a shard."""


class Surroundings(Protocol):
    """What a worker needs of the simulation."""

    scenario: Scenario
    network: Network
    database: "Database"
    loop: SimulationLoop

    def note(self, *what: object) -> None:
        """Add an entry to the trace."""

    def commit_time(self) -> float:
        """Return the seconds of a commit."""

    def begin_session(self, worker: "SimulatedWorker", shard: "Shard") -> int:
        """Return the number of a new session."""

    def end_session(self, session: int, shard: "Shard", *, is_cut_off: bool) -> None:
        """Check a session that has left its shard."""


@dataclass(eq=False)
class Shard:
    """One shard in the database."""

    contents: MemoryStore
    pairs: frozenset[Pair]
    token: int = 0
    holder: "SimulatedWorker | None" = None
    is_done: bool = False


@dataclass(eq=False)
class Database:
    """What all workers share."""

    shards: Sequence[Shard]
    stop: str = ""
    is_away: bool = False
    heartbeats: dict["SimulatedWorker", float] = field(default_factory=dict)

    def require_there(self) -> None:
        """Raise StoreError while the database is away."""
        if self.is_away:
            raise StoreError("the database is away")

    def take(self, worker: "SimulatedWorker", now: float) -> Shard | None:
        """Give a worker a shard that no live worker has."""
        self.require_there()
        for shard in () if self.stop else self.shards:
            holder = shard.holder
            is_dead = holder is not None and now - self.heartbeats.get(holder, -STALLED) >= STALLED
            if not shard.is_done and (holder is None or is_dead):
                shard.token += 1
                shard.holder = worker
                return shard
        return None


class ShardView(MemoryStore):
    """The store of a shard for one session of a worker: each write looks at the fence and at the run's stop."""

    def __init__(self, worker: "SimulatedWorker", shard: Shard, commit_time: Callable[[], float]) -> None:
        super().__init__(shard.contents.contents)
        self._worker = worker
        self._shard = shard
        self._token = shard.token
        self._commit_time = commit_time

    @property
    def is_current(self) -> bool:
        """True until another session has taken the shard."""
        return self._shard.token == self._token

    def _require_current(self) -> None:
        self._worker.database.require_there()
        if not self.is_current:
            raise FencedError("another worker has taken the shard")

    async def commit(self, batch: Batch) -> None:
        """Write a batch in one step, after what a commit takes."""
        await self._worker.thaw()
        await asyncio.sleep(self._commit_time())
        self._require_current()
        stop = self._worker.database.stop
        apply_batch(self.contents, batch._replace(intents=()) if stop else batch)
        await asyncio.sleep(0)
        await self._worker.thaw()
        if stop and batch.intents:
            raise RunStoppedElsewhere(stop)

    async def open_session(self, account: str, at: int) -> None:
        """Record a session, behind the fence."""
        self._require_current()
        await super().open_session(account, at)

    async def close_session(self, stop: str, at: int) -> None:
        """Record the end of a session, behind the fence."""
        await self._worker.thaw()
        self._require_current()
        await super().close_session(stop, at)


class FreezingClient(SimulatedClient):
    """A client whose process may be frozen when a response comes."""

    worker: "SimulatedWorker"

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: dict[str, str] | None = None,
        limit: int = MAX_RESPONSE_SIZE,
    ) -> Reply | NoReply:
        reply = await super()._call(method, path, body, query, limit)
        await self.worker.thaw()
        return reply


class SimulatedWorker:
    """One worker process."""

    def __init__(self, play: Surroundings, number: int) -> None:
        self.database = play.database
        self.number = number
        self.stop: ShardStop | None = None
        self.is_ending = False
        self._play = play
        self._loop = play.loop
        self._lease = HeartbeatLease(now=play.loop.time)
        self._frozen_until = self._silent_until = 0.0
        self.line: Line | None = None
        self.is_alive = True

    def freeze(self, seconds: float) -> None:
        """Let nothing reach it for some time."""
        self._frozen_until = max(self._frozen_until, self._loop.time() + seconds)

    def lose_heartbeats(self, seconds: float) -> None:
        """Let no heartbeat of it reach the database for some time, while everything else does."""
        self._silent_until = self._loop.time() + seconds

    async def thaw(self) -> None:
        """Return once it is not frozen."""
        while (seconds := self._frozen_until - self._loop.time()) > 0:  # noqa: ASYNC110 - it may be frozen again
            await asyncio.sleep(seconds)

    async def live(self) -> None:
        """Work until it is ended or cancelled."""
        beating = asyncio.create_task(self._beat())
        try:
            while not self.is_ending:
                await self.thaw()
                shard = None
                with suppress(StoreError):
                    shard = self.database.take(self, self._loop.time()) if self._lease.is_fresh else None
                if shard is None:
                    await asyncio.sleep(LOOK)
                else:
                    await self._process(shard)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            if self.is_ending:
                self.database.heartbeats.pop(self, None)

    async def _beat(self) -> None:
        while True:
            await self.thaw()
            sent_at = self._lease.start()
            await asyncio.sleep(0.001)
            if not self.database.is_away and self._loop.time() >= self._silent_until:
                self.database.heartbeats[self] = self._loop.time()
                self._lease.renew(sent_at)
            await asyncio.sleep(HEARTBEAT)

    async def _process(self, shard: Shard) -> None:
        """Work on a shard as the cluster does, and leave it."""
        play = self._play
        session = play.begin_session(self, shard)
        view = ShardView(self, shard, play.commit_time)
        self.line, self.stop = Line(session, ACCOUNT, lambda _: None), ShardStop(self._lease)
        token, reason = shard.token, ""
        try:
            await self._run(view, self.line, self.stop)
            reason = self.stop.reason or ""
        except FencedError:
            reason = "fenced"
        except StoreError:
            reason = "store"
        play.note("left", self.number, session, reason)
        play.end_session(session, shard, is_cut_off=reason in ("fenced", StopReason.STORE, "store"))
        self.stop = None
        while self.database.is_away:  # noqa: ASYNC110 - it sends no sign when it is back
            await asyncio.sleep(LOOK)
        if shard.token != token:
            return
        shard.holder = None
        if reason == "":
            left = [entry for entry in view.contents.entries.values() if entry.recorded is None]
            require("every row", not left, "the shard reached its end without {}", left)
            shard.is_done = True
        elif reason not in (StopReason.INTERRUPTED, StopReason.STORE, "store") and not self.database.stop:
            self.database.stop = reason
        await asyncio.sleep(LOOK)

    async def _run(self, view: ShardView, line: Line, stop: ShardStop) -> None:
        play = self._play
        scenario = play.scenario
        clock = Clock(now=self._loop.time, wall=lambda: EPOCH + self._loop.time())
        async with FreezingClient(play.network, line, self._loop, scenario.timeout) as client:
            client.worker = self
            caller = Caller(ACCOUNT.user_id, clock.wall_ms())
            context = RunContext.create(scenario.settings, SilentLog(), clock=clock, stop=stop, caller=caller)
            await view.open_session("bulk.bot", clock.wall_ms())
            await process_rows(view, client, scenario.operation, context)
            if stop.reason is not StopReason.STORE:
                await view.close_session(stop.reason or "", clock.wall_ms())
