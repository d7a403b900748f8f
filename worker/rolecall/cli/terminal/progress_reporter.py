"""The observer of the command line: progress, log lines and notices on stderr, the question before a run."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, TextIO

from rolecall.app.errors import OperatorError
from rolecall.app.observer import (
    Aborted,
    FindStarted,
    Notice,
    NotUndone,
    OffboardPreview,
    OpenRows,
    ProgressSource,
    ReadingRemovals,
    Resumed,
    ResumingEdited,
    RunPreview,
    ShuttingDown,
    StoreLocked,
    UnmatchedExclusions,
    UnreadableRuns,
)
from rolecall.cli.terminal import console
from rolecall.cli.terminal.console import OutputMode
from rolecall.file_access import Target
from rolecall.models import Progress
from rolecall.text import format_duration, format_room, plural, rfc3339

if TYPE_CHECKING:  # slow to import, and needed only after the preflight
    from structlog.typing import FilteringBoundLogger

    from rolecall.display.log_setup import LogForm
    from rolecall.display.progress_view import LiveDisplay

DRAW_INTERVAL = 0.25
"""Seconds between two updates of the live display."""
LINE_INTERVAL = 10.0
"""Seconds between two plain lines."""
MIN_REPORTED_SECONDS = 10.0
"""Estimated seconds of reading from which on they are shown."""


class ProgressReporter:
    """Shows a run on stderr: a live display, plain lines, JSON lines, or nothing."""

    def __init__(self, mode: OutputMode, environ: Mapping[str, str] = os.environ, *, assume_yes: bool = False) -> None:
        """Draw on a terminal that can; not among JSON lines, which are for programs."""
        drawable = can_draw(sys.stderr, environ)
        self.mode = mode
        self._draws = drawable and not mode.quiet and not mode.json_lines
        self._assume_yes = assume_yes
        self._log: FilteringBoundLogger | None = None

    @cached_property
    def screen(self) -> "LiveDisplay | None":
        """Return the live display; None where nothing is drawn."""
        if not self._draws:
            return None
        from rolecall.display.progress_view import LiveDisplay

        return LiveDisplay(sys.stderr)

    def waiting(self, seconds: float) -> None:
        """Print that the first call is rate limited."""
        if not self.mode.quiet:
            console.print_info(f"The workspace limits calls; waiting {seconds:.0f} s before the first.")

    def will_ask(self) -> bool:
        """Return whether there is a terminal to ask on, and --yes was not given."""
        return not self._assume_yes and console.has_terminal()

    def confirm(self, preview: RunPreview | OffboardPreview) -> bool:
        """Ask the person at the terminal, if --yes was not given. Raises OperatorError without a terminal."""
        if self._assume_yes:
            return True
        answer = console.confirm(format_question(preview))
        if answer is None:
            raise OperatorError("There is no terminal to confirm on, and nothing was sent; --yes sends without it.")
        return answer

    def open_log(self, path: Target | None, *, hide: str) -> "FilteringBoundLogger":
        """Return the logger of a session, with the name of the run; `path` and `hide` as in `open_logs`."""
        from rolecall.display.log_setup import open_logs

        terminal = None if self.mode.quiet else self.screen or sys.stderr
        log = open_logs(terminal, path, hide=hide, form=self._log_form())
        self._log = log if path is None else log.bind(run=_path_of(path).parent.name)
        return self._log

    def _log_form(self) -> "LogForm":
        from rolecall.display.log_setup import LogForm

        if self.mode.json_lines:
            return LogForm.JSON
        return LogForm.LINES if self.screen is None else LogForm.SCREEN

    def notice(self, notice: Notice) -> None:
        """Print a notice; with --quiet only one that is urgent."""
        if isinstance(notice, StoreLocked) and self._log is not None:
            self._log.warning("store locked", store=str(notice.store), seconds=round(notice.seconds))
            if not self.mode.quiet:
                return
        sentence = format_notice(notice)
        if sentence and is_urgent(notice):
            self.print_urgent(sentence)
        elif sentence and not self.mode.quiet:
            console.print_info(sentence)
        if isinstance(notice, Aborted):
            console.mark_interruption_reported()

    def print_urgent(self, sentence: str) -> None:
        """Print what a person must know, quiet or not; as an event where stderr has JSON lines."""
        if self.mode.json_lines and not self.mode.quiet and self._log is not None:
            self._log.warning("notice", detail=sentence)
        elif self.screen is not None:
            self.screen.print_line(sentence)
        else:
            console.print_info(sentence)

    def prepare_log(self) -> None:
        """Import what logs, and what draws where something is drawn."""
        import_module("rolecall.display.log_setup")
        if self._draws:
            import_module("rolecall.display.progress_view")

    def prepare_result(self) -> None:
        """Import what shows the result."""
        import_module("rolecall.cli.views.run_view")

    @asynccontextmanager
    async def progress(self, tracker: ProgressSource) -> AsyncIterator[None]:
        """Show the progress while the block runs; nothing of it stays on a terminal."""
        if self.mode.quiet:
            yield
            return
        following = asyncio.create_task(self._follow(tracker), name="progress")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            if self.screen is not None:
                self.screen.erase()

    async def _follow(self, tracker: ProgressSource) -> None:
        while True:
            if self.screen is not None:
                self.screen.draw(tracker.progress())
                await asyncio.sleep(DRAW_INTERVAL)
            else:
                await asyncio.sleep(LINE_INTERVAL)
                if self._log is not None:
                    log = self._log
                    log.info("progress", **fields(tracker.progress()))


def _path_of(target: Target) -> Path:
    return target if isinstance(target, Path) else target.path


def can_draw(file: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether progress can be drawn: on a terminal that can move its cursor."""
    return file.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


def fields(progress: Progress) -> dict[str, object]:
    """Return the values of a `progress` event, without those that are not known."""
    values: dict[str, object] = {"done": progress.done, "total": progress.total}
    if progress.per_second is not None:
        values["per_second"] = round(progress.per_second, 1)
    values |= {outcome.value: rows for outcome, rows in progress.outcomes.items() if rows}
    if progress.remaining is not None:
        values["remaining"] = round(progress.remaining)
    if progress.pause is not None:
        values["paused_until"] = rfc3339(int((progress.at + progress.pause.seconds) * 1000))
    if progress.outage is not None:
        values["outage"] = round(progress.outage.seconds)
    if progress.retries:
        values["retries"] = progress.retries
    return values


def format_question(preview: RunPreview | OffboardPreview) -> str:
    """Format the question before the first row is sent."""
    if isinstance(preview, OffboardPreview):
        return _format_offboard_question(preview)
    from rolecall.app.removal_guard import format_removals

    operation = preview.operation
    verb = "Add" if operation.adds else "Remove"
    question = f"{verb} {_format_rows(preview)} at {preview.workspace} as {preview.account}"
    question = f"{question}; {preview.estimate}?" if preview.estimate else f"{question}?"
    if preview.resumed is not None:
        question = f"{format_resumed(preview.resumed)}. {question}"
    if preview.forecast is None:
        return question
    return f"As the roles are now, {format_removals(preview.forecast, operation)}. {question}"


def _format_offboard_question(preview: OffboardPreview) -> str:
    from rolecall.app.removal_guard import format_removals

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
    names = f" ({', '.join(format_room('', name) for name in preview.room_names)})" if preview.room_names else ""
    forecast = preview.forecast
    what = plural(preview.rows, preview.operation.role)
    if forecast is not None and forecast.removals != preview.rows and preview.resumed is None:  # not all have the role
        what = f"the {preview.operation.role}s of {plural(preview.rows, 'row')}"
    return f"{what} in {plural(preview.rooms, kind)}{names}"


def format_resumed(resumed: Resumed) -> str:
    """Format how far a run has come, such as `15 of 40 done, 25 left, in runs/job/20260301T093000Z`."""
    done, total, folder = resumed.done, resumed.total, resumed.folder
    return f"{done:,} of {total:,} done, {total - done:,} left, in {folder}"


def is_urgent(notice: Notice) -> bool:
    """Return whether a notice is shown with --quiet too."""
    return isinstance(notice, ShuttingDown | Aborted | StoreLocked)


def format_notice(notice: Notice) -> str:
    """Format a notice as one line; empty for one that is not worth it."""
    match notice:
        case ResumingEdited() | UnreadableRuns():
            return _format_earlier_run(notice)
        case ShuttingDown(seconds):
            return f"Stopping: the calls in flight have {seconds:g} s to be answered. Ctrl-C again ends at once."
        case Aborted():
            return _format_aborted(notice)
        case StoreLocked(store, seconds):
            what = f"Another program has locked the run store {store}"
            return f"{what}: nothing is sent meanwhile. Waiting for it, {format_duration(seconds)} at most."
        case NotUndone():
            return _format_not_undone(notice)
        case OpenRows(rows, seconds):
            what = f"{plural(rows, 'row')} in doubt: the role is as before, and a call may still arrive"
            return f"{what}. Reading again in {seconds:.0f} s."
        case UnmatchedExclusions(words):
            return f"--exclude {', '.join(words)} left nothing out; is it spelt as in the workspace?"
        case FindStarted():
            return _format_find_started(notice)
        case ReadingRemovals():
            return _format_reading_removals(notice)


def _format_reading_removals(notice: ReadingRemovals) -> str:
    if notice.estimate is None or notice.estimate.seconds < MIN_REPORTED_SECONDS:
        return ""
    return f"Counting what the run would take: reading {plural(notice.rooms, 'room')}; {notice.estimate}."


def _format_aborted(notice: Aborted) -> str:
    report = f"the report is written by: rolecall report {quote(str(notice.folder))}"
    rest = report if notice.is_recorded else f"the same command goes on. Run: {notice.folder}"
    return f"Stopped at once. What was recorded is safe; {rest}"


def _format_earlier_run(notice: ResumingEdited | UnreadableRuns) -> str:
    if isinstance(notice, ResumingEdited):
        return f"The job was edited: going on with its unfinished run: {format_resumed(notice.resumed)}."
    one = "it is" if notice.number == 1 else "one of them is"
    problem = f"{notice.folder}: {notice.problem.rstrip('.')}"
    what = f"{plural(notice.number, 'earlier run')} of this job cannot be read ({problem})"
    return f"{what}. If {one} unfinished, what it has changed counts as changed before this run."


def _format_not_undone(notice: NotUndone) -> str:
    parts = []
    if notice.inferred:
        why = "their prior role is unknown"
        parts.append(f"{notice.inferred:,} {notice.outcome} by inference: {why} (--include-inferred)")
    if notice.unknown:
        verify = f"verify {notice.run}" if isinstance(notice.run, Path) else f"runs verify {notice.run.split()[-1]}"
        parts.append(f"{notice.unknown:,} unknown ('rolecall {verify}' settles them)")
    return f"Not undone: {', '.join(parts)}."


def _format_find_started(notice: FindStarted) -> str:
    parts = []
    if notice.known:
        known = f"{notice.known:,} answers are known, the last of {notice.known_at}"
        parts.append(f"Going on with {notice.checkpoint}: {known}; without the file all are read again.")
    if notice.estimate is not None and notice.estimate.seconds >= MIN_REPORTED_SECONDS:
        parts.append(f"Reading {plural(notice.left, 'user' if notice.by_user else 'room')}; {notice.estimate}.")
    return " ".join(parts)
