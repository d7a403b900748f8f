"""Sentences for what happens while a command works: the question before a run, and notices."""

from rolecall.app.observer import (
    Aborted,
    FindStarted,
    Notice,
    NotUndone,
    OffboardPreview,
    OpenRows,
    ReadingRemovals,
    RunPreview,
    ShuttingDown,
)
from rolecall.app.removal_guard import format_removals
from rolecall.text import plural

MIN_REPORTED_SECONDS = 10.0
"""Estimated seconds of reading from which on they are shown."""


def format_question(preview: RunPreview | OffboardPreview) -> str:
    """Format the question before the first row is sent."""
    if isinstance(preview, OffboardPreview):
        return _format_offboard_question(preview)
    operation = preview.operation
    verb = "Add" if operation.adds else "Remove"
    question = f"{verb} {_format_rows(preview)} at {preview.workspace} as {preview.account}"
    question = f"{question}; {preview.estimate}?" if preview.estimate else f"{question}?"
    if preview.forecast is None:
        return question
    figures = format_removals(preview.forecast, operation)
    return f"As the roles are now, {figures}. {question}"


def _format_offboard_question(preview: OffboardPreview) -> str:
    first = preview.runs[0]
    what = ", ".join(map(_format_rows, preview.runs))
    figures = "; ".join(
        format_removals(run.forecast, run.operation) for run in preview.runs if run.forecast is not None
    )
    question = f"Offboard {plural(preview.people, 'person', 'people')}: remove {what}"
    question = f"{question} at {first.workspace} as {first.account}?"
    return f"As the roles are now, {figures}. {question}" if figures else question


def _format_rows(preview: RunPreview) -> str:
    kind = preview.operation.kind.removesuffix("s")
    return f"{plural(preview.rows, preview.operation.role)} in {plural(preview.rooms, kind)}"


def is_urgent(notice: Notice) -> bool:
    """Return whether a notice is shown with --quiet too."""
    return isinstance(notice, ShuttingDown | Aborted)


def format_notice(notice: Notice) -> str:
    """Format a notice as one line; empty for one that is not worth it."""
    match notice:
        case ShuttingDown(seconds):
            return f"Stopping: the calls under way have {seconds:g} s to be answered. Ctrl-C again ends at once."
        case Aborted(folder):
            return f"Stopped at once. What was recorded is safe; the same command goes on. Run: {folder}"
        case NotUndone():
            return _format_not_undone(notice)
        case OpenRows(rows, seconds):
            what = f"{plural(rows, 'row')} in doubt: the role is as before, and a call may still arrive"
            return f"{what}. Reading again in {seconds:.0f} s."
        case FindStarted():
            return _format_find_started(notice)
        case ReadingRemovals(rooms, estimate):
            if estimate is None or estimate.seconds < MIN_REPORTED_SECONDS:
                return ""
            return f"Counting what the run would take: reading {plural(rooms, 'room')}; {estimate}."


def _format_not_undone(notice: NotUndone) -> str:
    parts = []
    if notice.inferred:
        why = "their prior role is unknown"
        parts.append(f"{notice.inferred:,} {notice.outcome} by inference: {why} (--include-inferred)")
    if notice.unknown:
        parts.append(f"{notice.unknown:,} unknown ('rolecall verify {notice.folder}' settles them)")
    return f"Not undone: {', '.join(parts)}."


def _format_find_started(notice: FindStarted) -> str:
    parts = []
    if notice.known:
        parts.append(f"Going on with {notice.checkpoint}: {notice.known:,} answers are known.")
    if notice.estimate is not None and notice.estimate.seconds >= MIN_REPORTED_SECONDS:
        parts.append(f"Reading {plural(notice.left, 'user' if notice.by_user else 'room')}; {notice.estimate}.")
    return " ".join(parts)
