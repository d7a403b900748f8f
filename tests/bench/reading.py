"""What the reading phase costs: requests and time on a simulated clock, by room and by user, limited and not."""

from collections.abc import Callable
from typing import Any

from tests.bench.simulated_run import DEFAULT_WINDOW, SimulatedJob, run_simulated

UNLIMITED_ROWS, LIMITED_ROWS = 1_200, 80


def shapes() -> list[SimulatedJob]:
    """Return the jobs that are measured."""
    return [
        SimulatedJob(rows, leaders, rows_each, by_user, limits)
        for rows, limits in ((UNLIMITED_ROWS, None), (LIMITED_ROWS, DEFAULT_WINDOW))
        for by_user in (False, True)
        for rows_each in (1, 40)
        for leaders in (100, 70, 25)
    ]


def reading(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every shape, with and without reading."""
    found = []
    for job in shapes():
        with_, without = (run_simulated(job, read_roles=reads)._asdict() for reads in (True, False))
        each = f"{job.rows_each} {'row' if job.rows_each == 1 else 'rows'} a {'user' if job.by_user else 'room'}"
        one = {
            "shape": each,
            "rows": job.rows,
            "leaders": job.leaders,
            "limited": job.limits is not None,
            "with": with_,
            "without": without,
        }
        say(f"{each}, {job.leaders} % leaders, {'limited' if job.limits else 'not limited'}: {with_}, {without}")
        found.append(one)
    return found
