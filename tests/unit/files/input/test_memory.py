"""Reading and writing: memory does not grow with the job."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rolecall.files.input.job import open_job
from rolecall.files.output.report import ReportFiles, write_report
from rolecall.models import Outcome, Result

ROWS = 200_000
MAX_BYTES = 5_000_000
MAX_SECONDS = 60


def write_csv(path: Path) -> None:
    """Write a CSV job of `ROWS` rows."""
    with path.open("w") as file:
        file.write("roomId,userId,note\n")
        file.writelines(f"GENERAL{n:010},user{n:013},note {n}\n" for n in range(ROWS))


def write_array(path: Path) -> None:
    """Write a JSON job of `ROWS` rows on one line."""
    with path.open("w") as file:
        file.write("[")
        file.writelines(f'{{"roomId":"GENERAL{n:010}","userId":"user{n:013}","note":{n}}},' for n in range(ROWS - 1))
        file.write('["r","u"]]')


def write_lines(path: Path) -> None:
    """Write a JSONL job of `ROWS` rows."""
    with path.open("w") as file:
        file.writelines(f'["GENERAL{n:010}","user{n:013}"]\n' for n in range(ROWS))


@pytest.mark.parametrize("write", [write_csv, write_array, write_lines])
def test_reading_a_long_job_takes_little_memory(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """200,000 rows are read within 5 MB (the job itself has 8 MB and more), and in reasonable time."""
    path = tmp_path / "job"
    write(path)
    started = time.monotonic()
    tracemalloc.start()
    try:
        with open_job(str(path)) as job:
            assert sum(1 for _ in job.rows()) == ROWS
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_BYTES
    assert time.monotonic() - started < MAX_SECONDS


def test_writing_long_reports_takes_little_memory(tmp_path: Path) -> None:
    """Four files of 50,000 rows are written within 5 MB."""

    def results() -> Iterator[Result]:
        for n in range(50_000):
            yield Result(n, f"r{n}", f"u{n}", Outcome.FAILED, "x", 400, "e", "m", 1, n, n, 1, {"note": f"{n}"})

    tracemalloc.start()
    try:
        write_report(tmp_path, results(), ["note"], ReportFiles({"jsonl", "json"}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_BYTES
    assert len((tmp_path / "retry.csv").read_bytes().splitlines()) == 50_001
