"""Rows a second of whole processes, everybody in turn, round after round."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import measure
from tests.bench.competitors import Competitor, competitors
from tests.bench.jobs import write_job

Say = Callable[[str], None]
FEWEST = 50
"""Rows that even the slowest is given."""


def throughput(rows: int, rounds: int, latencies: Sequence[float], say: Say, only: str = "") -> dict[str, Any]:
    """Measure everybody at each latency (seconds); `only`: a comma-separated choice of names' beginnings."""
    known = [one for one in competitors() if not only or one.name.startswith(tuple(only.split(",")))]
    absent = {one.name: one.absent for one in known if one.absent}
    for name, why in absent.items():
        say(f"left out: {name} ({why})")
    present = [one for one in known if not one.absent]
    series = []
    with measure.running_target() as target, measure.scratch() as folder:
        for latency in latencies:
            count = rows if not latency else max(FEWEST, rows // 3)
            taken: dict[str, list[dict[str, float]]] = {one.name: [] for one in present}
            for number in range(rounds):
                for one in present:
                    found = _one(one, target, folder, count, latency)
                    taken[one.name].append(found)
                    say(f"{latency * 1000:g} ms, round {number + 1}: {one.name}: {found['per_second']:,.0f} rows/s")
            series.append({"latency_ms": latency * 1000, "rows": count, "taken": taken})
    return {"rounds": rounds, "absent": absent, "series": series}


def _one(one: Competitor, target: measure.Target, folder: Path, most: int, latency: float) -> dict[str, float]:
    rows = max(FEWEST, round(most * one.share[latency > 0]))
    job = folder / f"job-{rows}.csv"
    if not job.exists():
        write_job(job, rows)
    command = one.command(target.url, job, rows)
    target.reset(latency=float(latency))
    env = measure.environment(target.url)
    measured = measure.run(command.words, cwd=folder, env=env, stdin=command.stdin)
    measure.check_rows(target, rows, one.name)
    if one.name == "rolecall":
        measure.check_report(folder / "out", rows)
    return {
        "rows": rows,
        "seconds": measured.seconds,
        "per_second": rows / measured.seconds,
        "cpu_per_1000": measured.cpu / rows * 1000,
        "peak_mb": measured.peak_mb,
    }
