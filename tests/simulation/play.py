"""Plays one scenario to its end: sessions, verification, undo; the judge looks at everything."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rolecall.app.undo_run import rows_to_undo
from rolecall.engine.context import Caller, RunContext
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.directory.role_verify import RoleVerification, VerifiedRow, VerifyHooks
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.files.doubt_columns import RunTarget
from rolecall.files.output.report import belongs_in_retry_csv
from rolecall.models import Evidence, Result, Row
from rolecall.rocketchat.operations import Operation
from rolecall.sandbox import ACCOUNT
from rolecall.store.records import Identity
from tests.simulation.client import SimulatedClient
from tests.simulation.interruptions import Interruption
from tests.simulation.judge import Judge
from tests.simulation.loop import SimulationLoop, Timeline
from tests.simulation.network import URL, Network, Sent
from tests.simulation.others import Others
from tests.simulation.process import Process
from tests.simulation.retry_file import retry_rows
from tests.simulation.scenario import Scenario, draw
from tests.simulation.session_rules import SessionRecord, SessionWatch, patience
from tests.simulation.verdict import violation_of
from tests.simulation.violation import Violation, require
from tests.simulation.workspace import Pair
from tests.support.engine import SilentLog
from tests.support.memory_store import MemoryStore

MAX_CALM_SESSIONS = 3
"""Sessions without faults after which the run must be complete: the first one may leave rows in doubt."""
AFTER_THE_LAST_ARRIVAL = 300.0
RESTARTED_AFTER = 31.0
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Played:
    """One simulation."""

    seed: int
    violation: Violation | None
    faults: tuple[str, ...]
    """The names of the faults that happened."""
    trace: list[tuple[Any, ...]]
    rows: int = 0
    rows_drawn: int = 0
    """Rows of the job before any was left out."""
    requests: int = 0
    sessions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    workers: int = 0
    """Workers at once; 0 for a scenario with one process after the other."""
    takeovers: int = 0
    """Shards that one worker took from another that had not ended its work on them."""
    fences: int = 0
    """Commits that were refused because another worker had taken the shard."""

    @property
    def digest(self) -> str:
        """A hash of everything that happened."""
        return hashlib.sha256(repr(self.trace).encode()).hexdigest()


def simulate(seed: int, without: Iterable[str] = ()) -> Played:
    """Play the scenario of a seed; `without`: names of faults that do not happen, and of rows that the job lacks."""
    loop = SimulationLoop()
    play = Play(seed, draw(seed), loop, frozenset(without))
    violation = violation_of(seed, loop, play.scenario.knobs, play.run)
    names = tuple(play.network.faults)
    sent, sessions = len(play.network.sent), len(play.records)
    rows, drawn = len(play.pairs), len(play.scenario.pairs)
    return Played(seed, violation, names, play.trace, rows, drawn, sent, sessions, play.outcomes)


def rows_of(pairs: Iterable[Pair]) -> list[Row]:
    """Return the rows of a job of these pairs."""
    return [Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2)]


@dataclass
class Play:
    """One scenario that is being played."""

    seed: int
    scenario: Scenario
    loop: SimulationLoop
    without: frozenset[str]
    records: list[SessionRecord] = field(default_factory=list)
    trace: list[tuple[Any, ...]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        scenario = self.scenario
        self.pairs = [pair for place, pair in enumerate(scenario.pairs) if f"row {place}" not in self.without]
        self.timeline = Timeline(self.loop)
        self.network = Network(
            scenario.server, self.timeline, scenario.weather, self.without, on_send=self._check_intent, note=self.note
        )
        self.judge = Judge(scenario, self.pairs, self.network)
        self._others = Others(scenario, self.timeline, self.note)
        self._random = random.Random(self.seed)
        self._store = MemoryStore()
        self._finished: list[Result] = []
        """The rows of a run that a new run has not."""
        self._process: Process | None = None

    def note(self, *what: object) -> None:
        """Add an entry to the trace."""
        self.trace.append((round(self.loop.time(), 6), *what))

    async def run(self) -> None:
        """Play everything. Raises Violation."""
        scenario = self.scenario
        before = scenario.world.pairs_with_role(scenario.operation.role)
        await self._import(self._store, rows_of(self.pairs), scenario.operation)
        self._others.begin(self.network)
        for number, interruption in enumerate([*scenario.interruptions, None]):
            await self._session(number, interruption)
            await self._wait(scenario.gaps[number] if number < len(scenario.gaps) else 1.0)
        self.network.is_calm = True
        self._others.end()
        if scenario.restarts:
            await self._wait(RESTARTED_AFTER)
        if scenario.verifies_early:
            await self._verify()
        if scenario.is_new_run:
            await self._begin_new_run()
        await self._finish()
        results = sorted([*self._finished, *await self._results()], key=lambda result: result.line or 0)
        self.judge.final(results)
        self.outcomes.update(f"{result.outcome} {result.evidence}".strip() for result in results)
        if scenario.verifies:
            await self._verify()
        if scenario.undoes:
            await self._wait(AFTER_THE_LAST_ARRIVAL)
            await self._undo(before)

    async def _import(self, store: MemoryStore, rows: Sequence[Row], operation: Operation) -> None:
        async def pages() -> Any:
            yield rows

        await store.import_rows(Identity(URL, operation.name, "job"), pages())

    async def _results(self) -> list[Result]:
        return [result async for page in self._store.results() for result in page]

    async def _begin_new_run(self) -> None:
        """Go on with a new run of the rows that are worth one, as `retry.csv` has them."""
        results, operation = await self._results(), self.scenario.operation
        rows = retry_rows(results, RunTarget(URL, operation.name))
        if not rows:
            return
        self._finished = [result for result in results if not belongs_in_retry_csv(result)]
        self._store = MemoryStore()
        await self._import(self._store, rows, operation)

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _finish(self) -> None:
        """Run sessions without faults until the job is done."""
        for _ in range(MAX_CALM_SESSIONS):
            due, _ = await self._store.count_due(retry_failed=False)
            last = self.records[-1]
            if not due or (last.is_calm and last.stop is None):
                break
            await self._session(len(self.records), None)
        last = self.records[-1]
        if last.is_calm and last.stop is not None:
            raise Violation("liveness", f"a session without faults stopped: {last.stop} {last.failure}")

    async def _session(self, number: int, interruption: Interruption | None) -> None:
        scenario, accounts = self.scenario, self.scenario.accounts
        settings = scenario.settings
        if scenario.retries_failed and number:
            settings = replace(settings, retry_failed=True)
        process = Process(
            self.network,
            self._store,
            (number, accounts[min(number, len(accounts) - 1)]),
            interruption,
            loop=self.loop,
            skew=scenario.own_skew,
            watch=SessionWatch(scenario, set(self.pairs)),
            commit_time=lambda: self._random.uniform(0.0, 2 * scenario.commit_time) if scenario.commit_time else 0.0,
        )
        self._process = process
        due = {(row.room_id, row.user_id) for _, row in await self._due(settings.retry_failed)}
        self.note("session", number, len(due))
        began, sent = self.loop.time(), len(self.network.sent)
        most = patience(scenario, len(due))
        try:
            async with asyncio.timeout(most):
                await process.live(process.run(scenario.operation, settings, scenario.timeout))
        except TimeoutError:
            raise Violation("liveness", f"the session did not end within {most:.0f} s") from None
        self._store = process.store
        stop = process.stop.reason or ("preflight" if process.failure else None)
        stop = stop if process.line.is_alive else StopReason.KILLED
        record = SessionRecord(
            number,
            due,
            began,
            self.loop.time(),
            stop,
            process.failure or process.stop.detail,
            was_cut_off=process.was_cut_off,
            is_calm=self.network.is_calm,
            sent=self.network.sent[sent:],
        )
        self.note("ended", number, stop or "")
        self.records.append(record)
        if process.watch.violation is not None:
            raise process.watch.violation
        self.judge.after_session(record, self._store)

    async def _due(self, retry_failed: bool) -> Any:
        return await self._store.fetch_due(0, 10**9, retry_failed=retry_failed)

    def _check_intent(self, sent: Sent) -> None:
        assert self._process is not None
        self._process.watch.at_send(sent, self._process.store)

    async def _reading(self) -> tuple[Process, SimulatedClient, RunContext]:
        process = Process(
            self.network, self._store, (-1, ACCOUNT), None, loop=self.loop, skew=self.scenario.own_skew,
            commit_time=lambda: 0.0, watch=SessionWatch(self.scenario, set()),
        )  # fmt: skip
        client = SimulatedClient(self.network, process.line, self.loop, self.scenario.timeout)
        caller = Caller(ACCOUNT.user_id, None)
        context = RunContext.create(
            self.scenario.settings, SilentLog(), clock=process.clock, stop=process.stop, caller=caller
        )
        return process, client, context

    async def _verify(self) -> None:
        process, client, context = await self._reading()
        operation, began = self.scenario.operation, self._others.server_time()

        async def on_rows(rows: Sequence[VerifiedRow]) -> None:
            self.judge.at_verify(rows, began)

        async def verify() -> None:
            async with client:
                reader = RoleReader(ReadClient(client, context), operation)
                work = RoleVerification(self._store, reader, operation, context.settings, process.clock)
                await work.run(VerifyHooks(on_rows))

        await process.live(verify())
        await self._wait(AFTER_THE_LAST_ARRIVAL)
        await self.judge.after_verify(self._store)

    async def _undo(self, before: set[Pair]) -> None:
        """Undo the run with a run of its own."""
        scenario = self.scenario
        pages = rows_to_undo(self._store, scenario.operation.done, inferred=False)
        rows = [row async for page in pages for row in page]
        pairs = [(row.room_id, row.user_id) for row in rows]
        results = await self._results()
        if pairs:
            for result in results:
                pair = (result.room_id, result.user_id)
                is_sure = result.evidence != Evidence.INFERRED
                require("undo", pair not in pairs or is_sure, "{} is undone, although it is only inferred", result)
            store, inverse = MemoryStore(), scenario.operation.inverse
            await self._import(store, rows_of(pairs), inverse)
            process = Process(
                self.network, store, (-2, ACCOUNT), None, loop=self.loop, skew=scenario.own_skew,
                commit_time=lambda: 0.0, watch=SessionWatch(scenario, set(pairs)),
            )  # fmt: skip
            self._process = process
            await process.live(process.run(inverse, scenario.settings, scenario.timeout))
        self.judge.after_undo(before, results)
