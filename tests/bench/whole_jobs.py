"""Four whole jobs, as users have them: how long they take, beside scripts that send every row."""

import math
from collections.abc import Callable
from typing import Any

from tests.bench.simulated_run import DEFAULT_WINDOW, SimulatedJob, refused_without_pacing, run_simulated
from tests.bench.throughput import throughput

SIMULATED = (
    ("40 rows, 10 calls a minute", SimulatedJob(40, 70, limits=DEFAULT_WINDOW)),
    ("1,000 rows, 10 calls a minute", SimulatedJob(1_000, 70, limits=DEFAULT_WINDOW)),
    ("1,000 rows, exempt, at 10/s", SimulatedJob(1_000, 70, rate=10.0)),
)
"""40 rows a room; 30 % of the rows are no leaders."""
EXEMPT_ROWS, EXEMPT_LATENCY = 20_000, 0.02
"""Of the job that is measured with real processes; each of its rows is sent."""
THIRD = 3
"""The benchmark of throughput gives a third of its rows to runs with latency."""


def ideal_of_all_rows(job: SimulatedJob) -> float:
    """Return the seconds of the best script that sends every row, from its first request to its last."""
    if job.limits is not None:
        return (math.ceil(job.rows / job.limits.calls) - 1) * job.limits.seconds
    return (job.rows - 1) / (job.rate or math.inf)


def whole_jobs(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the four jobs: three on a simulated clock, one with real processes."""
    simulated = []
    for name, job in SIMULATED:
        end = run_simulated(job, read_roles=True)
        lost = refused_without_pacing(job.pairs(), job.limits) if job.limits is not None else 0
        one = {"job": name, "rows": job.rows, **end._asdict(), "all_rows": ideal_of_all_rows(job), "lost": lost}
        say(f"{name}: {one}")
        simulated.append(one)
    names = "rolecall,bare aiohttp, uvloop,curl,rocketchat-api"
    real = throughput(THIRD * EXEMPT_ROWS, rounds, [EXEMPT_LATENCY], say, names)
    return {"simulated": simulated, "real": real}
