"""Reading a run's log back: what is wanted and readable, whatever else stands there."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.run_log import read_events

GOOD = b'{"event":"held","seconds":3.0,"timestamp":"2026-03-01T09:30:00Z"}\n'


def test_only_the_named_events_are_read(tmp_path: Path) -> None:
    """Events of other names are passed over, also where their text has the name in it."""
    path = tmp_path / "run.log.jsonl"
    path.write_bytes(GOOD + b'{"event":"row failed","message":"held"}\n' + GOOD)
    assert [event["seconds"] for event in read_events(path, {"held"})] == [3.0, 3.0]


def test_a_missing_log_is_no_error(tmp_path: Path) -> None:
    """Without a log there are no events."""
    assert list(read_events(tmp_path / "run.log.jsonl", {"held"})) == []
    assert list(read_events(tmp_path, {"held"})) == []


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    """A line that a crash tore, one that is no object, and one without end hide no other."""
    path = tmp_path / "run.log.jsonl"
    path.write_bytes(GOOD[:30] + b"\n" + b'["held"]\n' + b"held" * 50_000 + b"\n" + b'{"event":["held"]}\n' + GOOD)
    assert len(list(read_events(path, {"held"}))) == 1


@given(st.lists(st.binary() | st.just(GOOD)))
def test_no_content_is_an_error(parts: list[bytes]) -> None:
    """Whatever bytes the log has, it is read to its end."""
    with TemporaryDirectory() as name:
        path = Path(name) / "run.log.jsonl"
        path.write_bytes(b"\n".join(parts))
        assert all(event["event"] == "held" for event in read_events(path, {"held"}))
