"""Simulations with fixed seeds, and the proof that the judge finds what it is for."""

import os
import subprocess
import sys

import pytest

from tests.simulation.campaign import search, until_violated
from tests.simulation.defects import DEFECTS, Defect, with_defect
from tests.simulation.known_seeds import KNOWN_SEEDS, REGRESSIONS
from tests.simulation.play import simulate
from tests.simulation.shrink import shrink

FIRST_SEED = 1_000_000
SIMULATIONS = 600
DEFECT_SIMULATIONS = 400
"""Simulations in which each defect must be found; the known seed, which is tried first, mostly finds it at once."""
REPEATED = (1, 2, 3, 5, 8)


@pytest.mark.timeout(300)
def test_no_rule_is_broken() -> None:
    """Whole runs with faults, kills and other clients keep every rule of the judge."""
    seeds = range(FIRST_SEED, FIRST_SEED + SIMULATIONS)
    violations = [(played.seed, played.violation) for played in until_violated(seeds) if played.violation is not None]
    assert not violations


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_rule_that_was_broken_once_is_kept(seed: int) -> None:
    """A seed that once broke a rule breaks none any more."""
    assert simulate(seed).violation is None, REGRESSIONS[seed]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("defect", DEFECTS, ids=[defect.name for defect in DEFECTS])
def test_a_defect_is_found(defect: Defect) -> None:
    """With a wrong function in the place of a right one, some simulation breaks a rule."""
    found = search(defect, KNOWN_SEEDS.get(defect.name, FIRST_SEED), seconds=120, most=1).found
    found = found or search(defect, FIRST_SEED, seconds=120, most=DEFECT_SIMULATIONS).found
    assert found is not None
    assert found.violation is not None
    assert simulate(found.seed).violation is None, "without the defect nothing is wrong"


def digests() -> list[str]:
    """Return the hash of everything that happens in some simulations."""
    return [simulate(seed).digest for seed in REPEATED]


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_is_the_same_simulation(hash_seed: str) -> None:
    """Another process, with another seed of Python's hashes, sees the same events at the same moments."""
    program = "from tests.simulation.test_simulation import digests; print(*digests())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment, text=True)
    assert found.stdout.split() == digests()


def test_a_violation_is_shrunk() -> None:
    """The shortest scenario breaks the same rule with fewer faults and rows."""
    defect = DEFECTS[0]
    found = search(defect, FIRST_SEED, seconds=60).found
    assert found is not None
    with with_defect(defect):
        shortest = shrink(found)
    assert shortest.violation is not None
    assert found.violation is not None
    assert shortest.violation.rule == found.violation.rule
    assert (shortest.rows, len(shortest.faults)) <= (found.rows, len(found.faults))
    assert shortest.rows <= 2
