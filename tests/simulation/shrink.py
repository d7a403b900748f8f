"""Finds the shortest scenario that still breaks a rule: faults and rows are left out as long as it does."""

from collections.abc import Sequence

from tests.simulation.play import Played
from tests.simulation.simulators import Simulate

MAX_SIMULATIONS = 300


def shrink(played: Played, simulate: Simulate) -> Played:
    """Return the simulation of the same seed with the fewest faults and rows that were found to break the same rule."""
    violation = played.violation
    if violation is None:
        raise ValueError("nothing to shrink: no rule is broken")
    best, without, left = played, frozenset[str](), MAX_SIMULATIONS
    size = len(_parts(best, without))
    while size and left:
        parts = _parts(best, without)
        for start in range(0, len(parts), size):
            if not left:
                break
            left -= 1
            tried = simulate(played.seed, without | frozenset(parts[start : start + size]))
            if tried.violation is not None and tried.violation.rule == violation.rule:
                best, without = tried, without | frozenset(parts[start : start + size])
        size //= 2
    return best


def _parts(played: Played, without: frozenset[str]) -> Sequence[str]:
    """Return the names of what can still be left out."""
    rows = [f"row {number}" for number in range(played.rows_drawn)]
    return [name for name in (*played.faults, *rows) if name not in without]
