"""How long the command takes to answer, and a run to send its first request, beside the import of its HTTP client."""

import sys
from collections.abc import Callable
from typing import Any

from tests.bench import measure
from tests.bench.jobs import write_job

Say = Callable[[str], None]
CLIENT = "import aiohttp"
"""What no run can do without: the others are compared with it."""


def startup(rounds: int, say: Say) -> dict[str, Any]:
    """Start the command again and again; seconds from its start, each in turn."""
    names = (CLIENT, "--version", "--help", "run --help", "preflight", "first row")
    taken: dict[str, list[float]] = {name: [] for name in names}
    with measure.running_target() as target, measure.scratch() as folder:
        job = write_job(folder / "job.csv", 100)
        for number in range(rounds):
            alone = measure.run((sys.executable, "-c", CLIENT), cwd=folder, env=measure.environment())
            taken[CLIENT].append(alone.seconds)
            for words in ("--version", "--help", "run --help"):
                command = [str(measure.ROLECALL), *words.split()]
                taken[words].append(measure.run(command, cwd=folder, env=measure.environment()).seconds)
            target.reset()
            measured = measure.rolecall(target, job, folder / f"out-{number}")
            counted = measure.check_rows(target, 100, "rolecall")
            taken["preflight"].append(counted.first_request - measured.started)
            taken["first row"].append(counted.first_post - measured.started)
            say(f"round {number + 1}: " + ", ".join(f"{name} {times[-1]:.3f} s" for name, times in taken.items()))
    return taken
