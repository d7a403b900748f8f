"""Many simulations, one after the other, and the search for defects."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from tests.simulation.defects import Defect, with_defect
from tests.simulation.play import Played
from tests.simulation.simulators import Simulate


@dataclass(frozen=True)
class Totals:
    """The figures of many simulations."""

    simulations: int = 0
    rows: int = 0
    requests: int = 0
    sessions: int = 0
    faults: int = 0
    cluster: int = 0
    """Simulations of several workers."""
    takeovers: int = 0
    fences: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def plus(self, played: Played) -> "Totals":
        """Return the totals with one more simulation."""
        return Totals(
            self.simulations + 1,
            self.rows + played.rows,
            self.requests + played.requests,
            self.sessions + played.sessions,
            self.faults + len(played.faults),
            self.cluster + bool(played.workers),
            self.takeovers + played.takeovers,
            self.fences + played.fences,
            self.outcomes + played.outcomes,
        )

    def describe(self) -> str:
        """Return the figures in one line."""
        return (
            f"{self.simulations:,} simulations, {self.rows:,} rows, {self.sessions:,} sessions, "
            f"{self.requests:,} requests, {self.faults:,} faults; "
            f"{self.cluster:,} simulations of several workers, {self.takeovers:,} takeovers, {self.fences:,} fences"
        )


def until_violated(seeds: Iterable[int], simulate: Simulate) -> Iterator[Played]:
    """Return the simulation of each seed, up to the first that breaks a rule."""
    for seed in seeds:
        played = simulate(seed)
        yield played
        if played.violation is not None:
            return


CRASH = "crash"
"""The rule that an unexpected exception breaks: no defect of the list raises one."""


class Search(NamedTuple):
    """How a defect was found."""

    defect: Defect
    seconds: float
    """Of processor time."""
    simulations: int
    found: Played | None
    """None where no rule was broken in time."""


def search(defect: Defect, seed: int, simulate: Simulate, *, seconds: float, most: int | None = None) -> Search:
    """Simulate with a defect until a rule is broken, for so many seconds of processor time or simulations at most."""
    began, number = time.process_time(), 0
    with with_defect(defect):
        for number in count(1):
            played = simulate(seed + number - 1)
            if played.violation is not None:
                if played.violation.rule == CRASH:
                    raise AssertionError(f"{defect.name!r} does not fit the code any more: {played.violation}")
                return Search(defect, time.process_time() - began, number, played)
            if time.process_time() - began >= seconds or number == most:
                break
    return Search(defect, time.process_time() - began, number, None)
