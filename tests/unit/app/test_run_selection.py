"""Which of the known runs of a job is continued."""

from pathlib import Path

import pytest

from rolecall.app.run_selection import KnownRun, unfinished_former, unfinished_of
from rolecall.store.records import Identity

JOB = Identity("https://chat.example.org", "groups.removeLeader", "now")
FORMER = JOB._replace(job_digest="before")
DONE = KnownRun(
    Path("done"),
    JOB,
    number=1,
    is_anew=False,
    job_path="",
    has_sessions=True,
    rows=40,
    due=0,
    failed=0,
    removed_in_doubt=0,
)
DUE = DONE._replace(folder=Path("due"), due=25)
FAILED = DONE._replace(folder=Path("failed"), failed=3)
ANEW = DONE._replace(folder=Path("anew"), is_anew=True)


@pytest.mark.parametrize(
    ("runs", "retry_failed", "expected"),
    [
        ([], False, None),
        ([DONE], False, None),
        ([DUE], False, DUE),
        ([DONE, DUE], False, DUE),
        ([DUE._replace(number=2), DUE], False, DUE._replace(number=2)),
        ([ANEW, DUE], False, None),
        ([ANEW._replace(due=1), DUE], False, ANEW._replace(due=1)),
        ([FAILED], False, None),
        ([FAILED], True, FAILED),
        ([DONE, FAILED], True, None),
        ([FAILED, DUE], True, FAILED),
    ],
)
def test_the_newest_unfinished_run_is_continued(
    runs: list[KnownRun], retry_failed: bool, expected: KnownRun | None
) -> None:
    """Of the runs of one content, from the newest on: not one before a run that was started anew."""
    assert unfinished_of(runs, retry_failed=retry_failed) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([DUE], None),
        ([DONE._replace(identity=FORMER)], None),
        ([DUE._replace(identity=FORMER)], DUE._replace(identity=FORMER)),
        ([DONE, DUE._replace(identity=FORMER)], DUE._replace(identity=FORMER)),
        ([ANEW, DUE._replace(identity=FORMER)], None),
        ([ANEW._replace(identity=FORMER), DUE._replace(identity=FORMER)], None),
        ([DUE._replace(identity=FORMER, has_sessions=False)], None),
        ([DONE._replace(identity=FORMER, removed_in_doubt=1)], DONE._replace(identity=FORMER, removed_in_doubt=1)),
        ([DUE._replace(identity=FORMER._replace(workspace="https://other.example.org"))], None),
        ([DUE._replace(identity=FORMER._replace(operation="groups.addLeader"))], None),
    ],
)
def test_an_unfinished_run_of_a_former_content_is_found(runs: list[KnownRun], expected: KnownRun | None) -> None:
    """Only one that may have changed something, at the same workspace and with the same operation."""
    assert unfinished_former(runs, JOB) == expected
