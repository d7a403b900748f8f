"""Plays one scenario of several workers to its end; the judge looks at everything."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rolecall.cluster.runs.settings import ENGINE, settings_to_json
from rolecall.store.records import Identity
from tests.simulation.cluster.database import Database
from tests.simulation.cluster.fleet import Fleet
from tests.simulation.cluster.judge import ClusterJudge
from tests.simulation.cluster.process_loop import ProcessLoop
from tests.simulation.cluster.scenario import ClusterScenario, draw
from tests.simulation.cluster.statements import execute_of
from tests.simulation.cluster.tables import make_run
from tests.simulation.cluster.watch import ClusterWatch
from tests.simulation.loop import Timeline
from tests.simulation.network import URL, Network, Sent
from tests.simulation.others import Others
from tests.simulation.play import Played, rows_of
from tests.simulation.verdict import violation_of
from tests.simulation.violation import Violation, require

CHECK = 1.0
"""Seconds between two looks whether the run has ended."""
RESUME = 15.0
"""Seconds after which a person resumes a run that was stopped."""
PATIENCE = 900.0
"""Seconds without faults in which a run must end, beside the waits for windows of the server and its own rate."""


def simulate(seed: int, without: Iterable[str] = ()) -> Played:
    """Play the scenario of a seed; `without`: names of faults that do not happen, and of rows that the job lacks."""
    loop = ProcessLoop()
    play = ClusterPlay(seed, draw(seed), loop, frozenset(without))
    violation = violation_of(seed, loop, play.scenario.base.knobs, play.run, play.fleet.end_trouble)
    return play.played(play.watch.violation or violation)


@dataclass
class ClusterPlay:
    """One scenario that is being played."""

    seed: int
    scenario: ClusterScenario
    loop: ProcessLoop
    without: frozenset[str]
    trace: list[tuple[Any, ...]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        scenario, base = self.scenario, self.scenario.base
        self.pairs = [pair for place, pair in enumerate(base.pairs) if f"row {place}" not in self.without]
        self.timeline = Timeline(self.loop)
        self.watch = ClusterWatch(base, self.note)
        self.network = Network(
            base.server, self.timeline, base.weather, self.without, on_send=self._at_send, note=self.note
        )
        self.judge = ClusterJudge(base, self.pairs, self.network, self.watch)
        identity = Identity(URL, base.operation.name, "job")
        settings = {ENGINE: settings_to_json(base.settings)}
        self.tables = make_run(rows_of(self.pairs), identity, settings, scenario.shard_rows)
        self.database = Database(
            self.tables,
            execute_of,
            self.watch,
            self.timeline,
            self.loop,
            random.Random(f"{self.seed} database"),
            skew=base.own_skew,
            latency=scenario.database_latency,
            commit_time=base.commit_time,
        )
        self.database.lost_notifications = scenario.lost_notifications
        self.fleet = Fleet(scenario, self.loop, self.database, self.network, self.without)
        self._others = Others(base, self.timeline, self.note)

    def note(self, *what: object) -> None:
        """Add an entry to the trace."""
        self.trace.append((round(self.loop.time(), 6), *what))

    def _at_send(self, sent: Sent) -> None:
        self.watch.at_send(self.fleet.processes[sent.session], sent, self.tables)

    async def run(self) -> None:
        """Play everything. Raises Violation."""
        self._others.begin(self.network)
        living = asyncio.ensure_future(self.fleet.run())
        await self._until_ended(self.scenario.trouble, living)
        self.note("no more trouble")
        self.fleet.end_trouble()
        self._others.end()
        await self._until_ended(self._patience(), living)
        require("liveness", self.tables.ended_at is not None, "the run has not ended: {}", self.tables.stop)
        self.fleet.end()
        await asyncio.wait([living], timeout=self.scenario.grace + 60.0)
        require("liveness", living.done(), "a worker does not end within {} s", self.scenario.grace)
        living.result()
        self.fleet.raise_failure()
        self._check_report()

    def _check_report(self) -> None:
        results = [entry.to_result("") for entry in self.tables.entries()]
        self.outcomes.update(f"{result.outcome} {result.evidence}".strip() for result in results)
        self.judge.final(results)

    async def _until_ended(self, seconds: float, living: "asyncio.Future[None]") -> None:
        """Wait until the run has ended, at most so long; a person resumes it where it was stopped."""
        end, stopped_at = self.loop.time() + seconds, math.inf
        while self.tables.ended_at is None and self.loop.time() < end:
            await asyncio.wait([living], timeout=CHECK)
            if self.watch.violation is not None:
                raise self.watch.violation
            self.fleet.raise_failure()
            if living.done():
                living.result()
            stopped_at = min(stopped_at, self.loop.time()) if self.tables.stop else math.inf
            if self.loop.time() - stopped_at >= RESUME:
                self.fleet.resume()

    def _patience(self) -> float:
        base = self.scenario.base
        calls = 8 * len(self.pairs) + 20
        limits = base.server.limits
        windows = 0.0 if limits is None else calls / limits.calls * (limits.seconds + 1)
        own = 0.0 if base.settings.rate is None else calls / base.settings.rate
        return PATIENCE + windows + own + calls * 2 * base.weather.latency

    def played(self, violation: Violation | None) -> Played:
        """Return what was found."""
        names = tuple(self.network.faults)
        return Played(
            self.seed,
            violation,
            names,
            self.trace,
            len(self.pairs),
            len(self.scenario.base.pairs),
            len(self.network.sent),
            len(self.fleet.processes),
            self.outcomes,
            len(self.scenario.hosts),
            self.watch.takeovers,
            self.watch.fences,
        )
