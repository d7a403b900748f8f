"""The reports of a run: their columns and formats, and that they can be used as job files."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.files.input.ids import trim
from rolecall.files.input.job import open_job
from rolecall.files.output.csv_sanitiser import csv_writer
from rolecall.files.output.report import (
    REPORT_COLUMNS,
    ReportFiles,
    belongs_in_retry_csv,
    csv_cells,
    report_header,
    usual_csv_line,
)
from rolecall.models import JobRow, Json, Outcome, Result, Row
from rolecall.text import UNSAFE
from tests.support.job_files import extra_columns, usable_ids, write_report
from tests.support.job_files import usable as usable_texts

START = 1_772_357_400_250


def result(room_id: str = "r", user_id: str = "u", outcome: Outcome = Outcome.REMOVED, **fields: Any) -> Result:
    """Return a result; `fields` are those that matter to the test."""
    made = Result(2, room_id, user_id, outcome, "", 200, "", "", 1, START, START + 40, 38, {})
    return made._replace(**fields)


def rows_of(path: Path) -> list[JobRow]:
    """Return the rows of a report, read as a job file."""
    with open_job(str(path)) as job:
        return list(job.rows())


def test_report_csv_byte_for_byte(tmp_path: Path) -> None:
    """The columns, the order, the times and the line breaks of `report.csv` are as documented."""
    failed = result(outcome=Outcome.FAILED, reason="room_not_found", http_status=400, message='no "room", sorry')
    failed = failed._replace(evidence="response")
    invalid = result("", "u", Outcome.INVALID, attempts=0, http_status=None, started_at=None, finished_at=None)
    write_report(tmp_path, [failed, invalid._replace(line=None, duration_ms=None)], [])
    assert (tmp_path / "report.csv").read_bytes().decode() == (
        ",".join(REPORT_COLUMNS) + "\r\n"
        '2,r,u,failed,room_not_found,400,,"no ""room"", sorry",1,'
        "2026-03-01T09:30:00.250Z,2026-03-01T09:30:00.290Z,38,response,,\r\n"
        ",,u,invalid,,,,,0,,,,,,\r\n"
    )


PLAIN = st.sampled_from(["", "r", "GENERAL", "x" * 150, "y" * 151, "not_needed", "anna.b", "north-1"])
"""Texts that need nothing, alone; two of them may be longer than a cell."""
SPECIAL = st.sampled_from(["=1", "-1", ".", "a,b", 'a"b', "a;b", " a", "'a", "\u0661", "\u00e9", "a\r\nb", "a\n"])
TEXTS = PLAIN | PLAIN | SPECIAL | st.text(max_size=4)


@given(
    texts=st.tuples(*[TEXTS] * 6),
    message=st.sampled_from(["", "", "no room"]),
    numbers=st.tuples(*[st.none() | st.sampled_from([0, 7, START, START + 999])] * 5),
    extra=st.dictionaries(st.sampled_from(["x", "y"]), TEXTS | st.none() | st.booleans() | st.integers(-2, 2)),
)
def test_a_usual_row_is_written_as_any_other(
    texts: tuple[str, ...], message: str, numbers: tuple[int | None, ...], extra: dict[str, Json]
) -> None:
    """The short way for a row that needs neither quotes nor a check writes what the long way writes, byte for byte."""
    room, user, reason, evidence, room_name, username = texts
    line, status, started, finished, took = numbers
    row = Result(line, room, user, Outcome.REMOVED, reason, status, "", message, 1, started, finished, took, extra)
    row = row._replace(evidence=evidence, room_name=room_name, username=username)
    for columns in ([], ["x"], ["x", "y"]):
        file = io.StringIO()
        csv_writer(file).writerow(csv_cells(row, columns))
        assert usual_csv_line(row, columns) in (None, file.getvalue())


def test_most_rows_are_usual() -> None:
    """A row with ids and names as Rocket.Chat has them takes the short way, also with further columns of the job."""
    row = result("GENERAL", "aobEdbYhXfu5hkeqG", reason="not_needed", evidence="response", extra={"team": "north"})
    row = row._replace(room_name="dev-team_2", username="anna.b")
    assert usual_csv_line(row, ["team", "other"]) == (
        "2,GENERAL,aobEdbYhXfu5hkeqG,removed,not_needed,200,,,1,"
        "2026-03-01T09:30:00.250Z,2026-03-01T09:30:00.290Z,38,response,dev-team_2,anna.b,north,\r\n"
    )


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_json_reports_are_the_same_table(tmp_path: Path, rows: int) -> None:
    """`report.json` and `report.jsonl` have the same rows under the same names, with JSON's own values."""
    results = [result(line=n, extra={"n": n, "line": [None]}) for n in range(rows)]
    write_report(tmp_path, iter(results), ["n", "line", "gone"], ReportFiles(["json", "jsonl"]))
    lines = [orjson.loads(line) for line in (tmp_path / "report.jsonl").read_bytes().splitlines()]
    assert json.loads((tmp_path / "report.json").read_bytes()) == lines
    assert len(lines) == rows
    for number, line in enumerate(lines):
        assert list(line) == [*REPORT_COLUMNS, "n", "job_line", "gone"]
        assert (line["line"], line["n"], line["job_line"], line["gone"]) == (number, number, [None], None)
    header = (tmp_path / "report.csv").read_text().splitlines()[0]
    assert header.split(",") == [*REPORT_COLUMNS, "n", "job_line", "gone"]


def test_only_the_requested_formats_are_written(tmp_path: Path) -> None:
    """By default there is `report.csv`, and `retry.csv` only if it has rows."""
    write_report(tmp_path, [result()], [])
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


def test_an_extra_report_that_fails_leaves_the_others(tmp_path: Path) -> None:
    """An extra report receives every row; if it fails at its end, it is missing and the others are there."""
    received: list[Result] = []

    @contextmanager
    def failing(file: TextIO) -> Iterator[Callable[[Result], object]]:
        yield received.append
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_report(tmp_path, [result()], [], ReportFiles(extra={"report.html": failing}))
    assert received == [result()]
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]
    assert len(rows_of(tmp_path / "report.csv")) == 1


@pytest.mark.parametrize(
    ("extra", "names"),
    [
        (["note", "line"], ["note", "job_line"]),
        (["line", "job_line"], ["job_line", "job_job_line"]),
        (["", "a\nb", "a\rb"], ["column 1", "a\ufffdb", "job_a\ufffdb"]),
    ],
)
def test_the_jobs_columns_do_not_hide_the_reports_columns(extra: list[str], names: list[str]) -> None:
    """An extra column whose name is taken is renamed."""
    assert report_header(REPORT_COLUMNS, extra) == [*REPORT_COLUMNS, *names]


@pytest.mark.parametrize("outcome", Outcome)
def test_retry_has_the_rows_worth_another_run(tmp_path: Path, outcome: Outcome) -> None:
    """Rows that are failed, unknown or not attempted go into `retry.csv`, with the job's columns."""
    (tmp_path / "retry.csv").write_text("old")
    row = result(outcome=outcome, extra={"line": "7"})
    write_report(tmp_path, [row, row._replace(line=None)], ["line"])
    if outcome in {Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED}:
        assert (tmp_path / "retry.csv").read_bytes() == b"roomId,userId,line\r\nr,u,7\r\n"
    else:
        assert not (tmp_path / "retry.csv").exists()
    assert not belongs_in_retry_csv(row._replace(line=None))


def test_a_break_on_the_way_leaves_the_old_reports(tmp_path: Path) -> None:
    """If reading the results fails, no report is changed and no temporary file remains."""
    write_report(tmp_path, [result(outcome=Outcome.FAILED)], [], ReportFiles(["json"]))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken() -> Iterator[Result]:
        yield result(outcome=Outcome.UNKNOWN)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_report(tmp_path, broken(), [], ReportFiles(["json", "jsonl"]))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_reports_are_private(tmp_path: Path) -> None:
    """Only their owner can read the reports."""
    write_report(tmp_path, [result(outcome=Outcome.FAILED)], [], ReportFiles(["json", "jsonl"]))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_hostile_answer_reaches_no_terminal(tmp_path: Path) -> None:
    """Escape sequences and lone surrogates in a server message are in no report."""
    message = "\x1b]0;title\x07\r\n\u202egnp.exe\ud800 =1"
    write_report(tmp_path, [result(message=message, error_type="=cmd|x")], [], ReportFiles(["json", "jsonl"]))
    for path in tmp_path.iterdir():
        text = path.read_bytes().decode()
        assert set(UNSAFE.findall(text)) <= {"\ufffd", "\r", "\n"}
    with (tmp_path / "report.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 2


usable = st.one_of(usable_ids, usable_texts(st.text("'=+-@\uff1d\t ab\"`;|\u201c\u201d", min_size=1, max_size=8)))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.tuples(usable, usable, json_values), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_reports_can_be_used_as_job_files(rows: list[tuple[str, str, Json]]) -> None:
    """Each report and `retry.csv`, read as job files, have the same pairs in the same order."""
    results = [result(room, user, Outcome.UNKNOWN, extra={"note": note}) for room, user, note in rows]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_report(folder, results, ["note"], ReportFiles(["jsonl", "json"]))
        for path in folder.iterdir():
            read = rows_of(path)
            assert [(row.room_id, row.user_id) for row in read] == [(room, user) for room, user, _ in rows], path
            assert all(isinstance(row, Row) for row in read)


@given(st.lists(usable, min_size=1, max_size=5), st.text(st.characters(codec="utf-8")))
@settings(max_examples=100, deadline=None)
def test_a_retry_of_a_retry_is_the_same_file(notes: list[str], name: str) -> None:
    """Reading `retry.csv` and writing it again changes nothing: apostrophes do not accumulate."""
    name = trim(f"note {name}")
    with TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        write_report(folder, [result(outcome=Outcome.FAILED, extra={name: note}) for note in notes], [name])
        first = (folder / "retry.csv").read_bytes()
        with open_job(str(folder / "retry.csv")) as job:
            again = [result(row.room_id, row.user_id, Outcome.FAILED, extra=row.extra) for row in job.rows()]
            columns = extra_columns(job.rows())
        write_report(folder, again, columns)
        assert (folder / "retry.csv").read_bytes() == first


@given(st.text(st.characters(codec="utf-8"), max_size=400))
@settings(max_examples=150, deadline=None)
def test_an_invalid_id_stays_invalid(room_id: str) -> None:
    """Reading a report as a job file never makes a rejected id usable."""
    with TemporaryDirectory() as name:
        job = Path(name) / "job.json"
        job.write_bytes(orjson.dumps([[room_id, "u"]]))
        (before,) = rows_of(job)
        invalid = result(before.room_id, outcome=Outcome.INVALID)._replace(room_name=before.room_name)
        write_report(Path(name), [invalid], [])
        (after,) = rows_of(Path(name) / "report.csv")
    assert type(before) is type(after)
