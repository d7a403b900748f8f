"""The checkpoint of `find`: usable after any crash, only for the same query, by one process at a time."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.checkpoint import CheckpointError, CheckpointLockedError, FindCheckpoint
from rolecall.models import LookupGap, LookupResult, RoleAssignment

ROW = RoleAssignment("r1", "u1", "büdget", "anna", "Anna\nK", ("leader", "owner"), active=None)
RESULTS = [
    LookupResult("user u1", "u1", (ROW, ROW._replace(room_id="r2", active=False)), note="anna is @anna"),
    LookupResult("user u2"),
    LookupResult("user u3", gap=LookupGap("user_not_found", "u3", "gone")),
]


def open_checkpoint(path: Path | None, query_digest: str = "q") -> FindCheckpoint:
    """Open a checkpoint."""
    return FindCheckpoint(path, "https://chat.example.org", query_digest)


def write_checkpoint(path: Path) -> bytes:
    """Write the results; return the file's bytes."""
    with open_checkpoint(path) as checkpoint:
        for result in RESULTS:
            checkpoint.add(result)
        checkpoint.sync()
        assert list(checkpoint.results()) == RESULTS
    return path.read_bytes()


def test_a_second_session_has_the_results_of_the_first(tmp_path: Path) -> None:
    """Opened again, the checkpoint has every result without a gap: lookups with a gap are repeated."""
    write_checkpoint(tmp_path / "job.csv.part")
    with open_checkpoint(tmp_path / "job.csv.part") as checkpoint:
        assert list(checkpoint.results()) == RESULTS[:2]
        repeated = RESULTS[2]._replace(gap=None)
        checkpoint.add(repeated)
        checkpoint.add(RESULTS[2])
        assert list(checkpoint.results()) == [*RESULTS[:2], repeated, RESULTS[2]]
        checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_without_a_path_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the results are kept for this process only."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_checkpoint(None) as checkpoint:
        checkpoint.add(RESULTS[0])
        assert list(checkpoint.results()) == RESULTS[:1]
        checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_every_torn_end_is_cut_off(tmp_path: Path) -> None:
    """Cut at any byte, the checkpoint returns the complete results and accepts further ones."""
    path = tmp_path / "job.csv.part"
    whole = write_checkpoint(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with open_checkpoint(path) as checkpoint:
            complete = whole[:length].count(b"\n") - 1
            assert list(checkpoint.results()) == RESULTS[: min(max(complete, 0), 2)]
            checkpoint.add(RESULTS[1])
            assert list(checkpoint.results())[-1] == RESULTS[1]


@given(st.binary(min_size=1, max_size=60))
def test_garbage_at_the_end_is_cut_off(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    """Bytes that a power cut leaves after the last complete line do no harm."""
    path = tmp_path_factory.mktemp("part") / "p"
    path.write_bytes(write_checkpoint(path) + b"\0" + garbage)
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.results()) == RESULTS[:2]


def test_another_query_is_refused(tmp_path: Path) -> None:
    """The results of another query or workspace are neither used nor lost."""
    path = tmp_path / "job.csv.part"
    content = write_checkpoint(path)
    with pytest.raises(CheckpointError, match="unfinished work of another 'rolecall find'"):
        open_checkpoint(path, "another")
    assert path.read_bytes() == content


def test_one_process_at_a_time_has_it_open(tmp_path: Path) -> None:
    """A second process is refused while the first has the checkpoint open."""
    path = tmp_path / "job.csv.part"
    with open_checkpoint(path), pytest.raises(CheckpointLockedError, match=r"works on .*job\.csv\.part"):
        open_checkpoint(path)
    with open_checkpoint(path):
        pass


def test_it_is_private_and_follows_no_link(tmp_path: Path) -> None:
    """Only its owner can read the checkpoint, and it is not written through a symbolic link."""
    write_checkpoint(tmp_path / "p")
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(CheckpointError, match="link cannot be used: it is not a regular file"):
        open_checkpoint(tmp_path / "link")
    assert not (tmp_path / "target").exists()
