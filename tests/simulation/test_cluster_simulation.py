"""Simulations of several workers over a shared store, and the proof that the judge finds what it is for."""

import os
import subprocess
import sys

import pytest

from tests.simulation.campaign import search, until_violated
from tests.simulation.cluster.defects import CLUSTER_DEFECTS
from tests.simulation.cluster.known_seeds import KNOWN_SEEDS, REGRESSIONS
from tests.simulation.cluster.play import simulate
from tests.simulation.defects import Defect, with_defect
from tests.simulation.shrink import shrink

FIRST_SEED = 1_000_000
SIMULATIONS = 60
DEFECT_SIMULATIONS = 300
"""Simulations in which each defect must be found; the known seed, which is tried first, mostly finds it at once."""
REPEATED = (1, 2, 4, 7, 16)


@pytest.mark.timeout(300)
def test_no_rule_is_broken() -> None:
    """Runs of several workers that freeze, die and lose their database keep every rule of the judge."""
    takeovers = 0
    for played in until_violated(range(FIRST_SEED, FIRST_SEED + SIMULATIONS), simulate):
        assert played.violation is None, played.seed
        takeovers += played.takeovers
    assert takeovers > 0


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_no_rule_is_broken_again(seed: int) -> None:
    """A simulation of several workers that once broke a rule of the judge breaks none."""
    assert simulate(seed).violation is None, REGRESSIONS[seed]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("defect", CLUSTER_DEFECTS, ids=[defect.name for defect in CLUSTER_DEFECTS])
def test_a_defect_is_found(defect: Defect) -> None:
    """With a wrong function in the place of a right one, some simulation breaks a rule."""
    found = search(defect, KNOWN_SEEDS.get(defect.name, 0), seconds=120, most=1, simulate=simulate).found
    found = found or search(defect, 0, seconds=120, most=DEFECT_SIMULATIONS, simulate=simulate).found
    assert found is not None
    assert simulate(found.seed).violation is None, "without the defect nothing is wrong"


def digests() -> list[str]:
    """Return the hash of everything that happens in some simulations."""
    return [simulate(seed).digest for seed in REPEATED]


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_is_the_same_simulation(hash_seed: str) -> None:
    """Another process, with another seed of Python's hashes, sees the same events at the same moments."""
    program = "from tests.simulation.test_cluster_simulation import digests; print(*digests())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment, text=True)
    assert found.stdout.split() == digests()


def test_a_violation_is_shrunk() -> None:
    """The shortest scenario of several workers breaks the same rule with fewer faults and rows."""
    defect = next(each for each in CLUSTER_DEFECTS if each.name == "Commit intents after the run was stopped")
    found = search(defect, KNOWN_SEEDS[defect.name], seconds=60, simulate=simulate).found
    assert found is not None
    with with_defect(defect):
        shortest = shrink(found)
    assert shortest.violation is not None
    assert found.violation is not None
    assert shortest.violation.rule == found.violation.rule
    assert (shortest.rows, len(shortest.faults)) <= (found.rows, len(found.faults))
