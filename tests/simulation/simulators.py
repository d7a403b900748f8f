"""The kinds of simulations, each with the defects that its judge must find."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from tests.simulation import play
from tests.simulation.cluster import play as cluster_play
from tests.simulation.cluster.defects import CLUSTER_DEFECTS
from tests.simulation.defects import DEFECTS, Defect
from tests.simulation.known_seeds import CLUSTER_REGRESSIONS, CLUSTER_SEEDS, KNOWN_SEEDS, REGRESSIONS
from tests.simulation.play import Played

CLUSTER_SHARE = 5
"""Of so many seeds one is a scenario of several workers."""


class Simulate(Protocol):
    """Plays the scenario of a seed."""

    def __call__(self, seed: int, without: Iterable[str] = ()) -> Played:
        """Return what happened; `without`: names of faults that do not happen, and of rows that the job lacks."""


class Simulator(NamedTuple):
    """One kind of simulations."""

    name: str
    simulate: Simulate
    defects: Sequence[Defect]
    known_seeds: Mapping[str, int]
    """A seed that shows a defect soon, by its name."""
    regressions: Mapping[int, str]
    """Seeds that once broke a rule, each with the reason."""


ONE_WORKER = Simulator("one worker", play.simulate, DEFECTS, KNOWN_SEEDS, REGRESSIONS)
SEVERAL_WORKERS = Simulator(
    "several workers", cluster_play.simulate, CLUSTER_DEFECTS, CLUSTER_SEEDS, CLUSTER_REGRESSIONS
)


def simulate_either(seed: int, without: Iterable[str] = ()) -> Played:
    """Play the scenario of a seed: that of one worker, or of several."""
    simulator = SEVERAL_WORKERS if seed % CLUSTER_SHARE == 0 else ONE_WORKER
    return simulator.simulate(seed, without)
