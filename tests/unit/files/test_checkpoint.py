"""The journal of unfinished reading: taken up after any crash, never for another question, by one process."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.checkpoint import CheckpointError, CheckpointLockedError, FindCheckpoint
from rolecall.files.output.find_csv import LookupGap, LookupResult, RoleAssignment

ROW = RoleAssignment("r1", "u1", "büdget", "anna", "Anna\nK", ("leader", "owner"), active=None)
FINDINGS = [
    LookupResult("user u1", "u1", (ROW, ROW._replace(room_id="r2", active=False)), note="anna is @anna"),
    LookupResult("user u2"),
    LookupResult("user u3", unseen=LookupGap("user_not_found", "u3", "gone")),
]


def opened(path: Path | None, question: str = "q") -> FindCheckpoint:
    """Open a journal."""
    return FindCheckpoint(path, "https://chat.example.org", question)


def written(path: Path) -> bytes:
    """Write the findings, and give the file's bytes."""
    with opened(path) as part:
        for finding in FINDINGS:
            part.add(finding)
        part.sync()
        assert list(part.findings()) == FINDINGS
    return path.read_bytes()


def test_what_was_found_is_taken_up_again(tmp_path: Path) -> None:
    """A second opening gives every finding but those that could not be seen: these are asked for again."""
    written(tmp_path / "job.csv.part")
    with opened(tmp_path / "job.csv.part") as part:
        assert list(part.findings()) == FINDINGS[:2]
        seen = FINDINGS[2]._replace(unseen=None)
        part.add(seen)
        part.add(FINDINGS[2])
        assert list(part.findings()) == [*FINDINGS[:2], seen, FINDINGS[2]]
        part.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_without_a_name_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can go on, findings are kept for this process only."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with opened(None) as part:
        part.add(FINDINGS[0])
        assert list(part.findings()) == FINDINGS[:1]
        part.remove()
    assert list(tmp_path.iterdir()) == []


def test_every_torn_end_is_cut_off(tmp_path: Path) -> None:
    """Cut anywhere, the journal gives the findings that were whole, and takes further ones."""
    path = tmp_path / "job.csv.part"
    whole = written(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with opened(path) as part:
            before = whole[:length].count(b"\n") - 1
            assert list(part.findings()) == FINDINGS[: min(max(before, 0), 2)]
            part.add(FINDINGS[1])
            assert list(part.findings())[-1] == FINDINGS[1]


@given(st.binary(min_size=1, max_size=60))
def test_garbage_behind_is_cut_off(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    """What a power cut leaves behind the last whole line harms nothing."""
    path = tmp_path_factory.mktemp("part") / "p"
    path.write_bytes(written(path) + b"\0" + garbage)
    with opened(path) as part:
        assert list(part.findings()) == FINDINGS[:2]


def test_another_question_is_refused(tmp_path: Path) -> None:
    """The findings of another question or workspace are neither used nor lost."""
    path = tmp_path / "job.csv.part"
    content = written(path)
    with pytest.raises(CheckpointError, match="unfinished work of another 'rolecall find'"):
        opened(path, "another")
    assert path.read_bytes() == content


def test_one_process_works_on_it(tmp_path: Path) -> None:
    """A second one is refused for as long as the first has it open."""
    path = tmp_path / "job.csv.part"
    with opened(path), pytest.raises(CheckpointLockedError, match=r"works on .*job\.csv\.part"):
        opened(path)
    with opened(path):
        pass


def test_it_is_private_and_follows_no_link(tmp_path: Path) -> None:
    """Nobody else reads who leads what, and nobody can have it written through a link."""
    written(tmp_path / "p")
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="link"):
        opened(tmp_path / "link")
    assert not (tmp_path / "target").exists()
