"""Peak memory as the job grows, and how soon a finished run knows that nothing is left to do."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import measure
from tests.bench.jobs import write_job

Say = Callable[[str], None]


def memory(sizes: Sequence[int], say: Say) -> dict[str, Any]:
    """Run jobs of growing sizes, each checked row by row; then run the last one again."""
    runs = []
    with measure.running_target() as target, measure.scratch() as folder:
        for rows in sizes:
            runs.append(_run(target, folder, rows))
            say(f"{rows:,} rows: {runs[-1]['peak_mb']:.1f} MB at most, {runs[-1]['per_second']:,.0f} rows/s")
        again = [_again(target, folder, sizes[-1]) for _ in range(3)]
        say(f"{sizes[-1]:,} rows again, nothing left to do: {', '.join(f'{one:.2f} s' for one in again)}")
    return {"runs": runs, "again": {"rows": sizes[-1], "seconds": again}}


def _run(target: measure.Target, folder: Path, rows: int) -> dict[str, float]:
    job, out = write_job(folder / f"job-{rows}.csv", rows), folder / f"out-{rows}"
    target.reset()
    measured = measure.rolecall(target, job, out)
    measure.check_rows(target, rows, "rolecall")
    measure.check_report(out, rows)
    ledger = (out / "ledger.sqlite").stat().st_size / 2**20
    return {
        "rows": rows,
        "peak_mb": measured.peak_mb,
        "seconds": measured.seconds,
        "per_second": rows / measured.seconds,
        "ledger_mb": ledger,
    }


def _again(target: measure.Target, folder: Path, rows: int) -> float:
    target.reset()
    measured = measure.rolecall(target, folder / f"job-{rows}.csv", folder / f"out-{rows}")
    if target.counts().posts:
        raise measure.Failed("a finished run was run again, and sent something")
    return measured.seconds
