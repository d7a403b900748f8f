"""The view of a run's progress (a bar, its state, the time left, the rows by outcome), and its live display."""

import select
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, tzinfo
from typing import TextIO

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rolecall.display.console import TextConsole
from rolecall.models import OUTCOMES, OutageStatus, Outcome, Progress, RateLimitStatus
from rolecall.text import format_countdown, plural, sanitise

MINUTE = 60
MIN_BAR_WIDTH = 10
"""Columns; a shorter bar is left out."""
MAX_BUFFERED_LINES = 1000
"""Lines that are kept while the terminal accepts no output; the run's log file has all of them."""
MAX_SHOWN_REASONS = 3
ERASE_LINE, LINE_UP = "\x1b[2K", "\x1b[1A"


def render_progress(progress: Progress, width: int, zone: tzinfo | None = None) -> RenderableType:
    """Render about three lines, `width` columns wide. `zone` is that of times of day; None is the machine's."""
    lines: list[RenderableType] = [render_bar(progress, width), Text(*format_state(progress, zone))]
    if (time_left := format_time_left(progress, zone)) and progress.stopping_in is None:
        lines.append(Text(time_left))
    if counts := render_outcomes(progress.outcomes):
        lines.append(counts)
    if trouble := format_trouble(progress):
        lines.append(Text(trouble))
    return Group(*lines)


def format_trouble(progress: Progress) -> str:
    """Format why rows of this session failed, the most frequent reasons first, and the retries; may be empty."""
    by_rows = sorted(progress.reasons.items(), key=lambda item: -item[1])
    parts = [f"{rows:,} {reason}" for reason, rows in by_rows[:MAX_SHOWN_REASONS]]
    if others := sum(rows for _, rows in by_rows[MAX_SHOWN_REASONS:]):
        parts.append(f"{others:,} others")
    retries = f"{progress.retries:,} {'retry' if progress.retries == 1 else 'retries'}" if progress.retries else ""
    return "; ".join(part for part in (", ".join(parts), retries) if part)


def render_bar(progress: Progress, width: int) -> RenderableType:
    """Render how many rows are done as a bar with numbers; the numbers alone on a narrow terminal."""
    share = progress.done / progress.total if progress.total else 1.0
    numbers = f"{progress.done:,} of {progress.total:,} rows, {int(share * 100)} %"
    bar_width = width - len(numbers) - 2
    if bar_width < MIN_BAR_WIDTH:
        return Text(numbers, "bold")
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=bar_width)
    line.add_column(no_wrap=True)
    bar = ProgressBar(total=max(1, progress.total), completed=progress.done, width=bar_width, complete_style="cyan")
    line.add_row(bar, Text(numbers, "bold"))
    return line


def format_state(progress: Progress, zone: tzinfo | None = None) -> tuple[str, str]:
    """Return what the run does or waits for, and the style of that line."""
    if progress.stopping_in is not None:
        in_flight = f"{plural(progress.in_flight, 'call')} in flight may take {format_countdown(progress.stopping_in)}"
        return f"Stopping: {in_flight} more; Ctrl-C again ends at once", "bold yellow"
    if progress.outage is not None:
        return format_outage(progress.outage), "bold red"
    if progress.pause is not None:
        until = format_clock_time(progress.at + progress.pause.seconds, progress.at, zone, seconds=True)
        if progress.allowance:
            why = format_rate_limit(progress.allowance)
        elif progress.pause.refused:
            why = "the workspace said 'too many requests'"
        else:
            why = "the workspace limits calls"
        return f"Paused until {until} ({format_countdown(progress.pause.seconds)}): {why}", "yellow"
    return ", ".join(_pace(progress)), ""


def _pace(progress: Progress) -> Iterator[str]:
    """Yield the parts of a sentence: the speed of the run and what limits it, by the slower of both limits."""
    allowance, rate, per_second = progress.allowance, progress.rate, progress.per_second
    window_rate = allowance.limit / allowance.seconds if allowance and allowance.seconds else 0.0
    if allowance is not None and (rate is None or window_rate <= rate):
        used = allowance.limit - allowance.left
        yield f"{used:,} of the {plural(allowance.limit, 'call')} {_format_window(allowance)} that the workspace allows"
    elif per_second is None:
        yield "starting"
    else:
        yield f"{per_second:,.1f}/s" + (f" of {_format_rate(rate)}" if rate is not None else "")
    yield f"{plural(progress.in_flight, 'call')} in flight"
    if progress.overloaded_to is not None:
        yield f"at most {progress.overloaded_to:,} (overload)"


def format_outage(outage: OutageStatus) -> str:
    """Format how long the workspace has not answered, the next probe, and when the run gives up."""
    parts = [f"No answer for {format_countdown(outage.seconds)}"]
    if outage.probe_in is not None:
        parts.append(f"next probe in {format_countdown(outage.probe_in)}" if outage.probe_in > 0 else "probing")
    if outage.gives_up_in is not None:
        parts.append(f"giving up in {format_countdown(outage.gives_up_in)}")
    return ", ".join(parts)


def format_rate_limit(allowance: RateLimitStatus) -> str:
    """Format the workspace's limit: `the workspace allows 10 calls a minute`."""
    return f"the workspace allows {plural(allowance.limit, 'call')} {_format_window(allowance)}"


def format_time_left(progress: Progress, zone: tzinfo | None = None) -> str:
    """Format the time left and when the run ends; empty if that is not known or nothing is left.

    Until a header has shown the length of the workspace's window, it is an upper bound.
    """
    if not progress.remaining:
        return ""
    until = format_clock_time(progress.at + progress.remaining, progress.at, zone)
    if progress.is_remaining_upper_bound:
        return f"At most about {format_countdown(progress.remaining)} left, until {until} at the latest"
    return f"About {format_countdown(progress.remaining)} left, until {until}"


def render_outcomes(outcomes: Mapping[Outcome, int]) -> Text:
    """Render the number of rows by outcome, each in its style; outcomes without rows are left out."""
    parts = [
        Text(f"{rows:,} {outcome.value}", OUTCOMES[outcome].style)
        for outcome in Outcome
        if (rows := outcomes.get(outcome, 0)) > 0
    ]
    return Text(", ").join(parts)


def format_clock_time(at: float, now: float, zone: tzinfo | None = None, *, seconds: bool = False) -> str:
    """Format a time of day, with the date if it is not the day of `now`. Times are in seconds since the epoch."""
    moment, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    day = "" if moment.date() == today.date() else f"{moment:%Y-%m-%d} "
    return day + f"{moment:%H:%M:%S}" if seconds else day + f"{moment:%H:%M}"


def _format_window(allowance: RateLimitStatus) -> str:
    if allowance.seconds is None:
        return "in a window"
    return "a minute" if allowance.seconds == MINUTE else f"in {format_countdown(allowance.seconds)}"


def _format_rate(per_second: float) -> str:
    """Format a rate as the option `--rate` takes it: `10/s`, `30/m`."""
    return f"{per_second:g}/s" if per_second >= 1 else f"{per_second * MINUTE:g}/m"


class LiveDisplay:
    """Progress that is redrawn in place, and erased at the end.

    While it is open, everything else writes to the terminal through it. Only `flush` raises (OSError).
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = TextConsole(file)
        self._drawn: list[int] = []
        """The columns of each drawn line."""
        self._broken = False
        self._lines: deque[str] = deque(maxlen=MAX_BUFFERED_LINES)
        self._partial_line = ""

    def print_line(self, sentence: str) -> None:
        """Print one line above the progress, at once; the next `draw` draws the progress again."""
        with suppress(OSError, ValueError):
            self.write(f"{sanitise(sentence)}\n")
            self._print_lines()

    def write(self, text: str) -> None:
        """Buffer text for the lines above the progress; an incomplete line waits for its end."""
        *lines, self._partial_line = (self._partial_line + text).split("\n")
        self._lines.extend(lines)

    def flush(self) -> None:
        """Print the buffered lines; while progress is drawn, the next `draw` does it. Raises OSError."""
        if not self._drawn:
            self._print_lines()

    def draw(self, progress: Progress) -> None:
        """Draw the progress again. Does nothing on a terminal that is broken or that accepts no output."""
        if self._broken or not self._is_writable():
            return
        try:
            self._print_lines()
            width = self._console.width
            with self._console.capture() as captured:
                self._console.print(render_progress(progress, width))
            lines = captured.get().rstrip("\n")
            self._write(self._erasure() + lines)
            self._drawn = [_columns(line) for line in lines.split("\n")]
        except (OSError, ValueError):
            self._broken, self._drawn = True, []
            self._console = TextConsole(self._file)  # the old one keeps what it could not write

    def erase(self) -> None:
        """Erase the progress, and print the lines that are still buffered."""
        with suppress(OSError, ValueError):
            if self._drawn:
                self._write(self._erasure())
            self._print_lines()
        self._drawn = []

    def _print_lines(self) -> None:
        """Print what is buffered in place of the progress."""
        if not self._lines:
            return
        lines = list(self._lines)
        self._lines.clear()
        with self._console.capture() as captured:
            for line in lines:
                self._console.print_wrapped(line)
        self._write(self._erasure() + captured.get())
        self._drawn = []

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def _erasure(self) -> str:
        """Return the escape sequence that erases the progress.

        A terminal that was made narrower has broken its lines: each then covers more than one row.
        """
        if not self._drawn:
            return ""
        width = max(1, self._console.width)
        rows = sum(max(1, -(-columns // width)) for columns in self._drawn)
        return "\r" + ERASE_LINE + (LINE_UP + ERASE_LINE) * (rows - 1)

    def _is_writable(self) -> bool:
        """Return whether the terminal accepts output now: Ctrl-S stops it until Ctrl-Q."""
        try:
            return bool(select.select([], [self._file], [], 0)[1])
        except (OSError, ValueError):
            return True  # no descriptor, or a broken one: the write itself shows it


def _columns(line: str) -> int:
    return Text.from_ansi(line).cell_len
