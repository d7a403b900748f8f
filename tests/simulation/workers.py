"""Several workers over a shared store with a fence, in virtual time: killed, frozen, stopped, without the database.

The engine, its leases, stops and fences are the real ones; the database and the choice of shards are played. A frozen
worker's timers go on, but nothing reaches it and nothing that it waits for comes.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from rolecall.cluster.lease import HEARTBEAT, STALLED, HeartbeatLease
from rolecall.cluster.shard_work import ShardStop
from rolecall.engine.clock import Clock
from rolecall.engine.context import Caller, RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.stop_signal import StopReason
from rolecall.models import MAX_RESPONSE_SIZE, NoReply, Outcome, Reply, Result
from rolecall.sandbox import ACCOUNT
from rolecall.store.base import FencedError, RunStoppedElsewhere, StoreError
from rolecall.store.records import Batch, Identity
from tests.simulation.client import SimulatedClient
from tests.simulation.fates import LATE
from tests.simulation.judge import Judge
from tests.simulation.knobs import turned
from tests.simulation.loop import SimulationLoop, Timeline
from tests.simulation.network import URL, Line, Network, Sent
from tests.simulation.play import Played, rows_of
from tests.simulation.scenario import Scenario, draw
from tests.simulation.violation import Violation, require
from tests.simulation.workspace import Pair
from tests.support.engine import SilentLog
from tests.support.memory_contents import apply_batch
from tests.support.memory_store import MemoryStore
from tests.unit.engine.virtual import EPOCH, Stuck

MAX_SECONDS = 6 * 3600.0
"""Virtual seconds within which everything is done."""
LOOK = 1.0
"""Seconds between two looks of a worker for a shard."""
PREFLIGHT_PAUSE = 5.0


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

    def __init__(self, play: "WorkersPlay", number: int) -> None:
        self.database = play.database
        self.number = number
        self.stop: ShardStop | None = None
        self.is_ending = False
        self._play = play
        self._loop = play.loop
        self._lease = HeartbeatLease(now=play.loop.time)
        self._frozen_until = 0.0
        self.line: Line | None = None
        self.is_alive = True

    def freeze(self, seconds: float) -> None:
        """Let nothing reach it for some time."""
        self._frozen_until = max(self._frozen_until, self._loop.time() + seconds)

    async def thaw(self) -> None:
        """Return once it is not frozen."""
        while (seconds := self._frozen_until - self._loop.time()) > 0:
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

    async def _beat(self) -> None:
        while True:
            await self.thaw()
            sent_at = self._lease.start()
            await asyncio.sleep(0.001)
            if not self.database.is_away:
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
        if self.database.is_away or shard.token != token:
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


@dataclass
class WorkersPlay:
    """One scenario with several workers."""

    seed: int
    scenario: Scenario
    loop: SimulationLoop
    trace: list[tuple[Any, ...]] = field(default_factory=list)
    sessions: dict[int, tuple[Shard, int]] = field(default_factory=dict)
    """The shard and the token of each session."""
    workers: dict[SimulatedWorker, asyncio.Task[None]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._numbers: Iterator[int] = count(1)
        self.timeline = Timeline(self.loop)
        self.network = Network(
            self.scenario.server, self.timeline, self.scenario.weather, frozenset(), self._check_send, self.note
        )
        self.judge = Judge(self.scenario, self.scenario.pairs, self.network)

    def note(self, *what: object) -> None:
        """Add an entry to the trace."""
        self.trace.append((round(self.loop.time(), 6), *what))

    def commit_time(self) -> float:
        """Return the seconds of a commit."""
        return self.random.uniform(0.0, 2 * self.scenario.commit_time)

    def begin_session(self, worker: SimulatedWorker, shard: Shard) -> int:
        """Return the number of a new session."""
        number = len(self.sessions)
        for earlier, (other, _) in self.sessions.items():
            if other is shard:  # of a worker that was killed, or is not known to be fenced yet
                self._leave_open(earlier, shard)
        self.sessions[number] = (shard, shard.token)
        self.note("took", worker.number, self.database.shards.index(shard), shard.token)
        return number

    def end_session(self, session: int, shard: Shard, *, is_cut_off: bool) -> None:
        """Check a session that has left its shard."""
        if is_cut_off:
            self._leave_open(session, shard)

    def _leave_open(self, session: int, shard: Shard) -> None:
        entries = shard.contents.contents.entries.values()
        open_now = {(entry.room_id, entry.user_id) for entry in entries if entry.outcome in (None, Outcome.UNKNOWN)}
        self.judge.leave_open(session, open_now)

    def _check_send(self, sent: Sent) -> None:
        """Check that a call leaves by the session that has the shard, with its intent in the database."""
        shard, token = self.sessions[sent.session]
        require("fence", shard.token == token, "{} is called by a session that has lost its shard", sent.pair)
        contents = shard.contents.contents
        entry = contents.entries[contents.keys[sent.pair]]
        is_intended = entry.in_doubt and entry.recorded is None and entry.attempts > 0
        require("intent", is_intended, "a call of {} leaves without an intent in the database: {}", sent.pair, entry)

    async def run(self) -> None:
        """Play everything. Raises Violation."""
        self.database = Database([await self._shard(pairs) for pairs in self._split()])
        for _ in range(self.random.choice((2, 2, 3, 4))):
            self._start()
        try:
            async with asyncio.timeout(MAX_SECONDS):
                await self._disturb()
                self.network.is_calm = True
                await self._until_done()
        except TimeoutError:
            undone = [shard for shard in self.database.shards if not shard.is_done]
            raise Violation("liveness", f"shards are not done: {undone}, stop {self.database.stop!r}") from None
        finally:
            for task in self.workers.values():
                task.cancel()
            await asyncio.gather(*self.workers.values(), return_exceptions=True)
        results = await self._results()
        self.outcomes.update(f"{result.outcome} {result.evidence}".strip() for result in results)
        self.judge.final(results)

    def _split(self) -> list[list[Pair]]:
        """Return the rows of each shard: whole rooms."""
        rooms: dict[str, list[Pair]] = {}
        for pair in self.scenario.pairs:
            rooms.setdefault(pair[0], []).append(pair)
        number = min(len(rooms), self.random.choice((1, 2, 3, 5)))
        shards: list[list[Pair]] = [[] for _ in range(number)]
        for place, pairs in enumerate(rooms.values()):
            shards[place % number] += pairs
        return shards

    async def _shard(self, pairs: list[Pair]) -> Shard:
        store = MemoryStore()
        lines = {pair: line for line, pair in enumerate(self.scenario.pairs, start=2)}
        rows = [row._replace(line=lines[row.room_id, row.user_id]) for row in rows_of(pairs)]

        async def pages() -> Any:
            yield rows

        await store.import_rows(Identity(URL, self.scenario.operation.name, "job"), pages())
        return Shard(store, frozenset(pairs))

    def _start(self) -> None:
        worker = SimulatedWorker(self, next(self._numbers))
        self.workers[worker] = asyncio.create_task(worker.live(), name=f"worker {worker.number}")

    async def _disturb(self) -> None:
        """Do something to a worker or the database, a few times."""
        deeds = (self._kill, self._freeze, self._freeze, self._freeze, self._end, self._lose_database, self._stop_run)
        for _ in range(self.random.choice((0, 1, 2, 3, 5, 8))):
            await asyncio.sleep(self.random.choice((0.05, 0.5, 2.0, 8.0)) * self.random.random())
            self._raise_failures()
            worker = self.random.choice(list(self.workers))
            deed = self.random.choice(deeds)
            self.note(deed.__name__, worker.number)
            await deed(worker)

    async def _kill(self, worker: SimulatedWorker) -> None:
        if worker.line is not None:
            worker.line.is_alive = False
        await self._cancel(worker)
        self._start()

    async def _cancel(self, worker: SimulatedWorker) -> None:
        """End a process: its tasks are cancelled, and nothing that they do then reaches anybody."""
        held = [shard for shard in self.database.shards if shard.holder is worker]
        before = [(shard, replace_entries(shard)) for shard in held]
        task = self.workers.pop(worker)
        self.database.is_away, was_away = True, self.database.is_away
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.database.is_away = was_away
        for shard, entries in before:
            require("kill", replace_entries(shard) == entries, "a dead worker has written")

    async def _freeze(self, worker: SimulatedWorker) -> None:
        worker.freeze(self.random.choice((0.5, 4.0, 9.5, 11.0, 30.0)))

    async def _end(self, worker: SimulatedWorker) -> None:
        worker.is_ending = True
        if worker.stop is not None:
            worker.stop.request(StopReason.INTERRUPTED)
        self.database.heartbeats.pop(worker, None)
        self._start()

    async def _lose_database(self, worker: SimulatedWorker) -> None:
        self.database.is_away = True
        await asyncio.sleep(self.random.choice((0.1, 2.0, 12.0)))
        self.database.is_away = False

    async def _stop_run(self, worker: SimulatedWorker) -> None:
        self.database.stop = StopReason.INTERRUPTED
        await asyncio.sleep(self.random.choice((0.1, 3.0)))
        self.database.stop = ""

    def _raise_failures(self) -> None:
        for worker, task in list(self.workers.items()):
            if task.done():
                task.result()
                require("liveness", worker.is_ending, "a worker has ended by itself")
                if len(self.workers) > 1:
                    del self.workers[worker]

    async def _until_done(self) -> None:
        while not all(shard.is_done for shard in self.database.shards):
            self._raise_failures()
            self.database.stop = ""
            await asyncio.sleep(5.0)
            if all(worker.is_ending for worker in self.workers):
                self._start()

    async def _results(self) -> list[Result]:
        results = [
            result for shard in self.database.shards async for page in shard.contents.results() for result in page
        ]
        return sorted(results, key=lambda result: result.line or 0)


def replace_entries(shard: Shard) -> list[object]:
    """Return a copy of what is recorded of the rows of a shard."""
    return list(shard.contents.contents.entries.values())


def calm_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed without what only concerns one machine, and without late arrivals."""
    scenario = draw(seed)
    weather = scenario.weather
    kinds = [kind for kind in weather.kinds if kind != LATE] or [LATE]
    weather = replace(weather, kinds=kinds, chance=weather.chance if kinds != [LATE] else 0.0)
    weather = replace(weather, reading_chance=weather.reading_chance if kinds != [LATE] else 0.0)
    return replace(
        scenario, weather=weather, interruptions=[], accounts=[ACCOUNT], own_skew=0.0, other_changes=[],
        other_clients=[], restarts=[], revocations=[], retries_failed=False, is_new_run=False,
    )  # fmt: skip


def simulate_workers(seed: int) -> Played:
    """Play the scenario of a seed with several workers."""
    random.seed(seed)
    loop = SimulationLoop()
    play = WorkersPlay(seed, calm_scenario(seed), loop)
    violation: Violation | None = None
    try:
        with turned(play.scenario.knobs):
            loop.run_until_complete(play.run())
    except Violation as found:
        violation = found
    except Stuck:
        violation = Violation("liveness", "nothing is ready and no timer is set: the run waits for ever")
    finally:
        loop.shut_down()
    if violation is None and loop.problems:
        violation = Violation("crash", loop.problems[0])
    rows, sent = len(play.scenario.pairs), len(play.network.sent)
    faults = tuple(play.network.faults)
    return Played(seed, violation, faults, play.trace, rows, rows, sent, len(play.sessions), play.outcomes)
