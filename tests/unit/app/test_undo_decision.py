"""Every refusal of an undo: what it says fits what is recorded, and never contradicts itself."""

from pathlib import Path

import pytest

from rolecall.app.observer import NotUndone
from rolecall.app.undo_decision import PastUndo, UndoState, refusal_of
from rolecall.cli.error_report import format_error
from rolecall.cli.terminal.progress_reporter import format_notice
from rolecall.models import Advice, Outcome

RUN = UndoState(Path("runs/a"), Outcome.REMOVED)
UNDONE = PastUndo(Path("runs/a/undo"), "2026-03-01T09:30:00.000Z")
INFERRED, RETRY, VERIFY = Advice.INCLUDE_INFERRED, Advice.RETRY_FAILED, Advice.VERIFY

CASES: dict[str, tuple[UndoState, str, Advice | None]] = {
    "rows to undo": (RUN._replace(known=3), "", None),
    "some are inferred": (RUN._replace(known=3, inferred=1), "", None),
    "some are unknown": (RUN._replace(known=3, unknown=2), "", None),
    "all are inferred, and undone too": (RUN._replace(inferred=2, with_inferred=True), "", None),
    "nothing to undo": (RUN, "runs/a has no rows that are removed: there is nothing to undo.", None),
    "nothing but unknown rows": (
        RUN._replace(unknown=2),
        "runs/a has no row that is known to be removed, and 2 rows are unknown.",
        VERIFY,
    ),
    "all are inferred": (
        RUN._replace(inferred=1),
        "In runs/a 1 row is removed only by inference: prior role unknown.",
        INFERRED,
    ),
    "all are inferred or unknown": (
        RUN._replace(inferred=2, unknown=1),
        "In runs/a 2 rows are removed only by inference: prior role unknown, and 1 row is unknown.",
        INFERRED,
    ),
    "undone before": (
        RUN._replace(known=3, past=UNDONE),
        f"runs/a was undone already, at {UNDONE.ended_at}: runs/a/undo contains the report.",
        None,
    ),
    "undone before, with failures": (
        RUN._replace(known=3, inferred=1, past=UNDONE._replace(failed=1)),
        f"runs/a was undone already, at {UNDONE.ended_at}, but for 1 row that failed: runs/a/undo contains the report.",
        RETRY,
    ),
    "undone before, without the inferred": (
        RUN._replace(known=3, inferred=2, past=UNDONE),
        (
            f"runs/a was undone already, at {UNDONE.ended_at}, but for 2 rows that are removed only by inference: "
            "runs/a/undo contains the report."
        ),
        INFERRED,
    ),
    "undone before, all of it": (
        RUN._replace(known=3, inferred=2, with_inferred=True, past=UNDONE),
        f"runs/a was undone already, at {UNDONE.ended_at}: runs/a/undo contains the report.",
        None,
    ),
    "undone before, with unknown rows": (
        RUN._replace(known=3, unknown=1, past=UNDONE),
        (
            f"runs/a was undone already, at {UNDONE.ended_at}, but for 1 row that is unknown: "
            "runs/a/undo contains the report."
        ),
        VERIFY,
    ),
    "the undo was undone": (
        RUN._replace(known=3, past=UNDONE._replace(reverted_in=Path("runs/a/undo/undo"))),
        "The undo of runs/a was itself undone: undo runs/a/undo/undo to restore the roles again.",
        None,
    ),
    "an undo of an undo, done before": (
        UndoState(Path("runs/a/undo"), Outcome.ADDED, 3, past=UNDONE._replace(run=Path("runs/a/undo/undo"))),
        f"runs/a/undo was undone already, at {UNDONE.ended_at}: runs/a/undo/undo contains the report.",
        None,
    ),
}
"""For each case the state, the refusal without its last sentence (empty: rows are sent), and the advice."""


@pytest.mark.parametrize("case", CASES)
def test_what_an_undo_says(case: str) -> None:
    """Where nothing is sent, one sentence says why, with the one thing to do; otherwise there is no refusal."""
    state, text, advice = CASES[case]
    refusal = refusal_of(state)
    if not text:
        assert refusal is None
        return
    assert refusal is not None
    assert str(refusal) == f"{text} Nothing was sent."
    assert refusal.advice is advice
    assert format_error(refusal).count("Nothing was sent") == 1


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        (
            NotUndone(Path("a"), Outcome.REMOVED, 2, 0),
            "Not undone: 2 removed by inference: their prior role is unknown (--include-inferred).",
        ),
        (NotUndone(Path("a"), Outcome.ADDED, 0, 1), "Not undone: 1 unknown ('rolecall verify a' settles them)."),
    ],
)
def test_what_is_left_out_is_reported(notice: NotUndone, text: str) -> None:
    """An undo that sends rows first reports those that it leaves out."""
    assert format_notice(notice) == text
