"""Reading a run's log back: the wanted events, also if other lines are damaged."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.run_log import TAIL_SIZE, read_events, read_last_events

GOOD = b'{"event":"held","seconds":3.0,"timestamp":"2026-03-01T09:30:00Z"}\n'


def test_only_the_named_events_are_read(tmp_path: Path) -> None:
    """Events with other names are skipped, also if their text contains the name."""
    path = tmp_path / "run.log.jsonl"
    path.write_bytes(GOOD + b'{"event":"row failed","message":"held"}\n' + GOOD)
    assert [event["seconds"] for event in read_events(path, {"held"})] == [3.0, 3.0]


def test_a_missing_log_is_no_error(tmp_path: Path) -> None:
    """Without a log there are no events."""
    assert list(read_events(tmp_path / "run.log.jsonl", {"held"})) == []
    assert list(read_events(tmp_path, {"held"})) == []


def test_torn_and_foreign_lines_are_skipped(tmp_path: Path) -> None:
    """A line torn by a crash, a line that is not an object, and an endless line do not hide other events."""
    path = tmp_path / "run.log.jsonl"
    path.write_bytes(GOOD[:30] + b"\n" + b'["held"]\n' + b"held" * 50_000 + b"\n" + b'{"event":["held"]}\n' + GOOD)
    assert len(list(read_events(path, {"held"}))) == 1


@given(st.lists(st.binary() | st.just(GOOD)))
def test_no_content_is_an_error(parts: list[bytes]) -> None:
    """A log with any bytes is read to its end."""
    with TemporaryDirectory() as name:
        path = Path(name) / "run.log.jsonl"
        path.write_bytes(b"\n".join(parts))
        assert all(event["event"] == "held" for event in read_events(path, {"held"}))


@pytest.mark.parametrize(
    ("content", "events"),
    [
        (b"", []),
        (b'{"event":"a"}\n{"event":"b"}\n', ["a", "b"]),
        (b'{"event":"a"}\n{"event":"b', ["a"]),
        (b'nonsense\n[1]\n"text"\n\xff\xfe\n{"event":"a"}\n', ["a"]),
        (b'{"event":"first"}\n' + b" " * TAIL_SIZE + b'\n{"event":"last"}\n', ["last"]),
    ],
)
def test_the_last_events_are_read(tmp_path: Path, content: bytes, events: list[str]) -> None:
    """Whole lines that are objects are read, oldest first, from the end of the file only."""
    log = tmp_path / "run.log.jsonl"
    log.write_bytes(content)
    assert [event["event"] for event in read_last_events(log)] == events


def test_an_unreadable_log_has_no_last_events(tmp_path: Path) -> None:
    """A missing file, a folder and a symbolic link have no events."""
    (tmp_path / "target").write_bytes(b'{"event":"a"}\n')
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("missing", ".", "link"):
        assert read_last_events(tmp_path / name) == []


@given(st.binary(max_size=300))
def test_the_end_of_any_file_can_be_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Reading the last events of any bytes does not fail."""
    log = tmp_path_factory.mktemp("log") / "log"
    log.write_bytes(content)
    assert all(isinstance(event, dict) for event in read_last_events(log))
