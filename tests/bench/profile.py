"""Where a whole run spends its time, as cProfile sees it."""

import io
import pstats
import sys

from tests.bench import measure
from tests.bench.jobs import write_job


def profile(rows: int, lines: int = 30) -> str:
    """Run a job under cProfile (two to three times slower with it), and list the costliest functions."""
    with measure.running_target() as target, measure.scratch() as folder:
        job = write_job(folder / "job.csv", rows)
        words = (sys.executable, "-m", "cProfile", "-o", "profile.out", "-m", "rolecall", "run", job, "--out", "out")
        options = (*measure.UNREAD, "--rate", "unlimited")
        env = measure.environment(target.url, PYTHONPATH=str(measure.ROOT))
        measure.run((*words, *options), cwd=folder, env=env)
        measure.check_rows(target, rows, "rolecall")
        text = io.StringIO()
        stats = pstats.Stats(str(folder / "profile.out"), stream=text)
        stats.strip_dirs().sort_stats("tottime").print_stats(lines)
        return text.getvalue().split("\n", 1)[1].strip()  # without the temporary file's name
