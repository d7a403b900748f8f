"""Reading and writing: memory does not grow with the job."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rolecall.files.input.job import open_job
from rolecall.files.input.source import JobFileError
from rolecall.files.output.report import ReportFiles
from rolecall.models import JobRow, Outcome, Result
from tests.support.job_files import write_report

ROWS = 200_000
FEWER_ROWS = 50_000
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


def write_wrapped(path: Path) -> None:
    """Write a JSON job of `FEWER_ROWS` rows in the list of one object, indented."""
    with path.open("w") as file:
        file.write('{\n "count": 1,\n "roles": [\n')
        file.writelines(f'{{"rid":"GENERAL{n:010}","u":{{"_id":"user{n:013}"}}}},\n' for n in range(FEWER_ROWS - 1))
        file.write('["r","u"]\n], "success": true}')


def write_pages(path: Path) -> None:
    """Write a JSON job of `FEWER_ROWS` rows in lists of 100, each in an object on several lines."""
    with path.open("w") as file:
        for page in range(FEWER_ROWS // 100):
            rows = ",\n".join(f'["GENERAL{n:010}","user{page:013}"]' for n in range(100))
            file.write(f'{{\n"data": [\n{rows}\n],\n"page": {page}\n}}\n')


def write_names(path: Path) -> None:
    """Write a CSV job of `FEWER_ROWS` rows in Windows-1252 with names and what spreadsheets put around ids."""
    with path.open("w", encoding="cp1252") as file:
        file.write("sep=;\nroomId;userId;room;user\n")
        file.writelines(f'="GENERAL{n:010}";user{n:013};"B\u00fcro {n}";@j\u00fcrgen\n' for n in range(FEWER_ROWS))


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        (write_csv, ROWS),
        (write_array, ROWS),
        (write_lines, ROWS),
        (write_wrapped, FEWER_ROWS),
        (write_pages, FEWER_ROWS),
        (write_names, FEWER_ROWS),
    ],
)
def test_reading_a_long_job_takes_little_memory(tmp_path: Path, write: Callable[[Path], None], rows: int) -> None:
    """Many rows are read within 5 MB, and in reasonable time; 200,000 rows have 8 MB and more."""
    path = tmp_path / "job"
    write(path)
    started = time.monotonic()
    tracemalloc.start()
    try:
        with open_job(str(path)) as job:
            assert sum(1 for _ in job.rows()) == rows
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


@pytest.mark.parametrize(
    "content",
    [
        "\u00e9" + " " * 1_000_000 + "x",
        "'" * 120_000 + ",x",
        "roomId,userId\n" + ("\u00e9" + " " * 120_000 + "x,u\n") * 8,
    ],
)
def test_long_blanks_take_little_time(content: str, read: Callable[..., list[JobRow]]) -> None:
    """The time for a long run of blanks or quotes does not grow with its square."""
    started = time.monotonic()
    with suppress(JobFileError):
        read(content)
    assert time.monotonic() - started < 10
