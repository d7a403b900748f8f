"""Plan files: what was written is read back, and a damaged file is refused with its line."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.plan_file import MAX_LINE_LENGTH, PlanFileError, PlanHeader, PlannedPair, open_plan, open_plan_file
from rolecall.models import Outcome, Result

HEADER = PlanHeader(
    "https://chat.example.org", "groups.removeLeader", "botId", "bulk.bot", "0" * 64, "2026-03-01T09:30:00.250Z"
)
PLANNED = (Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED, Outcome.NOT_ATTEMPTED, Outcome.ADDED)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def result(room_id: str, user_id: str, outcome: Outcome = Outcome.REMOVED, reason: str = "") -> Result:
    """Return a result of a check."""
    return Result(2, room_id, user_id, outcome, reason, None, "", "", 0, None, None, None, {})


def write(folder: Path, *results: Result) -> Path:
    """Write a plan; return its path."""
    path = folder / "plan.jsonl"
    with open_plan_file(path, HEADER) as write_results:
        write_results(results)
    return path


@given(st.lists(st.builds(PlannedPair, texts, texts, st.sampled_from(PLANNED), texts), max_size=5))
def test_a_plan_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[PlannedPair]) -> None:
    """Header and pairs are read back exactly, with any characters in the ids."""
    results = [result(*row) for row in rows]
    plan = open_plan(write(tmp_path_factory.mktemp("plan"), *results))
    assert plan.header == HEADER
    assert list(plan.pairs()) == rows


def test_rows_that_are_never_sent_are_left_out(tmp_path: Path) -> None:
    """Invalid and duplicate rows are not in a plan."""
    results = [result("r", "u"), result("r", "", Outcome.INVALID), result("r", "u", Outcome.DUPLICATE)]
    assert len(list(open_plan(write(tmp_path, *results)).pairs())) == 1


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """A plan names people: its mode is 0600."""
    assert stat.S_IMODE(write(tmp_path, result("r", "u")).stat().st_mode) == 0o600


def test_any_change_changes_the_digest(tmp_path: Path) -> None:
    """Two plans that differ in one outcome have different digests."""
    first = open_plan(write(tmp_path, result("r", "u"))).digest
    assert open_plan(write(tmp_path, result("r", "u", Outcome.NOT_LEADER))).digest != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a plan"),
        (b"roomId,userId\nr,u\n", "is not a plan"),
        (b"[1]\n", "is not a plan"),
        (b'{"rolecallPlan":1}\n', "another version"),
        (b'{"rolecallPlan":2}\n', "line 1 has no 'workspace'"),
        (b"%HEADER%{\n", "line 2 is damaged: {"),
        (b'%HEADER%{"roomId":"r","userId":"u","outcome":"gone","reason":""}\n', "line 2 is damaged"),
        (b'%HEADER%{"roomId":"r","userId":"u","outcome":"would_remove"}\n', "line 2 is damaged"),
        (b'%HEADER%{"roomId":"r","userId":7,"outcome":"would_remove","reason":""}\n', "line 2 is damaged"),
        (b"%HEADER%\n", "line 2 is damaged"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """A file that is not a plan, and a damaged plan, are refused in one line with the place."""
    path = write(tmp_path)
    path.write_bytes(content.replace(b"%HEADER%", path.read_bytes()))
    with pytest.raises(PlanFileError, match=message) as refused:
        open_plan(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("time", ["yesterday", "0001-01-01", "9999-12-31T23:59:59-23:00"])
def test_a_header_without_a_utc_time_is_refused(time: str, tmp_path: Path) -> None:
    """A header whose time is not a time, or not in UTC, is refused."""
    path = write(tmp_path)
    header = {**json.loads(path.read_text("utf-8")), "checkedAt": time}
    path.write_text(json.dumps(header) + "\n", "utf-8")
    with pytest.raises(PlanFileError, match="no UTC time"):
        open_plan(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message names the missing file."""
    with pytest.raises(PlanFileError, match="cannot be read: No such file"):
        open_plan(tmp_path / "plan.jsonl")


def test_a_plan_without_an_end_is_refused(tmp_path: Path) -> None:
    """A device, a pipe and an endless line are refused at once: they would fill the memory or never end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        with pytest.raises(PlanFileError, match="not a regular file"):
            open_plan(path)
    (tmp_path / "long").write_bytes(b"{" * (MAX_LINE_LENGTH * 2))
    with pytest.raises(PlanFileError, match="is not a plan"):
        open_plan(tmp_path / "long")
