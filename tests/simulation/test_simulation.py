"""Simulations of one worker and of several with fixed seeds, and the proof that the judge finds what it is for."""

import os
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.simulation.campaign import search, until_violated
from tests.simulation.defects import Defect, with_defect
from tests.simulation.shrink import shrink
from tests.simulation.simulators import ONE_WORKER, SEVERAL_WORKERS, Simulator

FIRST_SEED = 1_000_000


class Extent(NamedTuple):
    """How much of a kind of simulations the tests play."""

    simulator: Simulator
    simulations: int
    """Whole runs, from FIRST_SEED on."""
    defect_simulations: int
    """Simulations in which each defect must be found; the known seed, which is tried first, mostly finds it at once."""
    defect_seed: int
    """The first seed of these."""
    repeated: tuple[int, ...]
    """The seeds that another process plays as well."""


EXTENTS = {
    ONE_WORKER.name: Extent(ONE_WORKER, 600, 400, FIRST_SEED, (1, 2, 3, 5, 8)),
    SEVERAL_WORKERS.name: Extent(SEVERAL_WORKERS, 60, 300, 0, (1, 2, 4, 7, 16)),
}
DEFECTS = [
    pytest.param(extent, defect, id=f"{name}: {defect.name}")
    for name, extent in EXTENTS.items()
    for defect in extent.simulator.defects
]
REGRESSIONS = [
    pytest.param(simulator, seed, id=str(seed))
    for simulator in (ONE_WORKER, SEVERAL_WORKERS)
    for seed in simulator.regressions
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("extent", EXTENTS.values(), ids=EXTENTS)
def test_no_rule_is_broken(extent: Extent) -> None:
    """Whole runs with faults, kills and other clients keep every rule of the judge.

    Several workers freeze, die and lose their database, and take shards from each other.
    """
    takeovers = 0
    for played in until_violated(range(FIRST_SEED, FIRST_SEED + extent.simulations), extent.simulator.simulate):
        assert played.violation is None, played.seed
        takeovers += played.takeovers
    assert (takeovers > 0) is (extent.simulator is SEVERAL_WORKERS)


@pytest.mark.parametrize(("simulator", "seed"), REGRESSIONS)
def test_a_rule_that_was_broken_once_is_kept(simulator: Simulator, seed: int) -> None:
    """A seed that once broke a rule breaks none any more."""
    assert simulator.simulate(seed).violation is None, simulator.regressions[seed]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("extent", "defect"), DEFECTS)
def test_a_defect_is_found(extent: Extent, defect: Defect) -> None:
    """With a wrong function in the place of a right one, some simulation breaks a rule."""
    simulate, known = extent.simulator.simulate, extent.simulator.known_seeds.get(defect.name, extent.defect_seed)
    found = search(defect, known, simulate, seconds=120, most=1).found
    found = found or search(defect, extent.defect_seed, simulate, seconds=120, most=extent.defect_simulations).found
    assert found is not None
    assert simulate(found.seed).violation is None, "without the defect nothing is wrong"


def digests(kind: str) -> list[str]:
    """Return the hash of everything that happens in some simulations of a kind."""
    extent = EXTENTS[kind]
    return [extent.simulator.simulate(seed).digest for seed in extent.repeated]


@pytest.mark.parametrize("kind", EXTENTS)
@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_is_the_same_simulation(kind: str, hash_seed: str) -> None:
    """Another process, with another seed of Python's hashes, sees the same events at the same moments."""
    program = f"from tests.simulation.test_simulation import digests; print(*digests({kind!r}))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment, text=True)
    assert found.stdout.split() == digests(kind)


@pytest.mark.parametrize(
    ("simulator", "name", "most_rows"),
    [
        pytest.param(ONE_WORKER, ONE_WORKER.defects[0].name, 2, id=ONE_WORKER.name),
        pytest.param(SEVERAL_WORKERS, "Commit intents after the run was stopped", None, id=SEVERAL_WORKERS.name),
    ],
)
def test_a_violation_is_shrunk(simulator: Simulator, name: str, most_rows: int | None) -> None:
    """The shortest scenario breaks the same rule with fewer faults and rows."""
    defect = next(each for each in simulator.defects if each.name == name)
    found = search(defect, simulator.known_seeds.get(name, FIRST_SEED), simulator.simulate, seconds=60).found
    assert found is not None
    with with_defect(defect):
        shortest = shrink(found, simulator.simulate)
    assert shortest.violation is not None
    assert found.violation is not None
    assert shortest.violation.rule == found.violation.rule
    assert (shortest.rows, len(shortest.faults)) <= (found.rows, len(found.faults))
    assert most_rows is None or shortest.rows <= most_rows
