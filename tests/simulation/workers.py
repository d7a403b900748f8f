"""Several workers over a shared store with a fence, in virtual time: killed, frozen, stopped, without the database.

The engine, its leases, stops and fences are the real ones; the database and the choice of shards are played.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome, Result
from rolecall.sandbox import ACCOUNT
from rolecall.store.records import Identity
from tests.simulation.fates import LATE
from tests.simulation.judge import Judge
from tests.simulation.knobs import turned
from tests.simulation.loop import SimulationLoop, Timeline
from tests.simulation.network import URL, Network, Sent
from tests.simulation.play import Played, rows_of
from tests.simulation.scenario import Scenario, draw
from tests.simulation.violation import Violation, require
from tests.simulation.worker_process import Database, Shard, SimulatedWorker
from tests.simulation.workspace import Pair
from tests.support.memory_store import MemoryStore
from tests.unit.engine.virtual import Stuck

MAX_SECONDS = 3 * 3600.0
"""Virtual seconds within which everything is done."""


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
            await cancel(self.workers.values())
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
        deeds = (
            self._kill, self._freeze, self._freeze, self._lose_heartbeats, self._lose_heartbeats, self._end,
            self._lose_database, self._stop_run,
        )  # fmt: skip
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
        """End a process: its tasks are cancelled, and nothing that they do then has an effect."""
        taken = [shard for shard in self.database.shards if shard.holder is worker]
        before = [(shard, entries_of(shard)) for shard in taken]
        task = self.workers.pop(worker)
        self.database.is_away, was_away = True, self.database.is_away
        await cancel([task])
        self.database.is_away = was_away
        for shard, entries in before:
            require("kill", entries_of(shard) == entries, "a dead worker has written")

    async def _freeze(self, worker: SimulatedWorker) -> None:
        worker.freeze(self.random.choice((0.5, 4.0, 9.5, 11.0, 30.0)))

    async def _lose_heartbeats(self, worker: SimulatedWorker) -> None:
        worker.lose_heartbeats(self.random.choice((5.0, 9.0, 11.0, 30.0)))

    async def _end(self, worker: SimulatedWorker) -> None:
        worker.is_ending = True
        if worker.stop is not None:
            worker.stop.request(StopReason.INTERRUPTED)
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


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: a store that is away, or a fence, may hide a cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=1.0)
        for task in done:
            if not task.cancelled():
                task.exception()


def entries_of(shard: Shard) -> list[object]:
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
