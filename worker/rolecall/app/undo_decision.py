"""Whether a run can be undone: every refusal of an undo, decided from what the run and its undo have recorded."""

from pathlib import Path
from typing import NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.models import Advice, Outcome
from rolecall.text import plural


class PastUndo(NamedTuple):
    """An undo that has no row left to send."""

    run: Path | str
    """Its directory, or its name in the database, such as `run 18`."""
    ended_at: str
    """UTC, RFC 3339."""
    failed: int = 0
    """Its rows that failed."""
    reverted_in: Path | str | None = None
    """The run that undid this undo, if there is one: the roles are as the run left them."""


class UndoState(NamedTuple):
    """What decides about an undo."""

    run: Path | str
    """Its directory, or its name in the database, such as `run 17`."""
    outcome: Outcome
    """The outcome of the rows that the run changed."""
    known: int = 0
    """Rows that the run is known to have changed."""
    inferred: int = 0
    """Rows whose change is only inferred."""
    unknown: int = 0
    """Rows that the run may have changed."""
    with_inferred: bool = False
    """The rows whose change is only inferred are undone too."""
    past: PastUndo | None = None
    """None where there is no undo of exactly these rows, or where it has rows left."""

    @property
    def left_out(self) -> int:
        """Rows whose change is only inferred, and which are not undone."""
        return 0 if self.with_inferred else self.inferred


def refusal_of(state: UndoState) -> OperatorError | None:
    """Return why nothing is undone; None where there are rows to send."""
    if not state.known + state.inferred - state.left_out:
        return _nothing_known(state)
    return None if state.past is None else _undone_before(state, state.past)


def _nothing_known(state: UndoState) -> OperatorError:
    doubts = f", and {_rows_are(state.unknown)} unknown" if state.unknown else ""
    if state.left_out:
        what = f"{_rows_are(state.left_out)} {state.outcome} only by inference: prior role unknown"
        return OperatorError(f"In {state.run} {what}{doubts}. Nothing was sent.", Advice.INCLUDE_INFERRED)
    if doubts:
        what = f"has no row that is known to be {state.outcome}{doubts}"
        return OperatorError(f"{state.run} {what}. Nothing was sent.", Advice.VERIFY)
    what = f"has no rows that are {state.outcome}: there is nothing to undo"
    return OperatorError(f"{state.run} {what}. Nothing was sent.")


def _undone_before(state: UndoState, past: PastUndo) -> OperatorError:
    if past.reverted_in is not None:
        text = f"The undo of {state.run} was itself undone: undo {past.reverted_in} to restore the roles again."
        return OperatorError(f"{text} Nothing was sent.")
    rest, advice = "", None
    if past.failed:
        rest, advice = f", but for {plural(past.failed, 'row')} that failed", Advice.RETRY_FAILED
    elif state.left_out:
        are = "is" if state.left_out == 1 else "are"
        rest = f", but for {plural(state.left_out, 'row')} that {are} {state.outcome} only by inference"
        advice = Advice.INCLUDE_INFERRED
    elif state.unknown:
        are = "is" if state.unknown == 1 else "are"
        rest, advice = f", but for {plural(state.unknown, 'row')} that {are} unknown", Advice.VERIFY
    text = f"{state.run} was undone already, at {past.ended_at}{rest}: {past.run} contains the report."
    return OperatorError(f"{text} Nothing was sent.", advice)


def _rows_are(rows: int) -> str:
    return f"{plural(rows, 'row')} {'is' if rows == 1 else 'are'}"
