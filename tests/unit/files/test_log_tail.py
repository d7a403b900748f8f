"""The end of a run's log, read while it is written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.log_tail import MOST, last_events


@pytest.mark.parametrize(
    ("content", "events"),
    [
        (b"", []),
        (b'{"event":"a"}\n{"event":"b"}\n', ["a", "b"]),
        (b'{"event":"a"}\n{"event":"b', ["a"]),
        (b'nonsense\n[1]\n"text"\n\xff\xfe\n{"event":"a"}\n', ["a"]),
        (b'{"event":"first"}\n' + b" " * MOST + b'\n{"event":"last"}\n', ["last"]),
    ],
)
def test_the_last_events_are_read(tmp_path: Path, content: bytes, events: list[str]) -> None:
    """Whole lines that are objects, the oldest first, from the end of the file only."""
    log = tmp_path / "run.log.jsonl"
    log.write_bytes(content)
    assert [event["event"] for event in last_events(log)] == events


def test_what_cannot_be_read_has_no_events(tmp_path: Path) -> None:
    """No file, a folder and a symbolic link are no log."""
    (tmp_path / "target").write_bytes(b'{"event":"a"}\n')
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("missing", ".", "link"):
        assert last_events(tmp_path / name) == []


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever stands in the file, reading it does not fail."""
    log = tmp_path_factory.mktemp("log") / "log"
    log.write_bytes(content)
    assert all(isinstance(event, dict) for event in last_events(log))
