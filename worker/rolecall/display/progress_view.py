"""The view of a run's progress (a bar, its state, the time left, the rows by outcome), and its live display."""

import select
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, tzinfo
from typing import TextIO

from rich.console import Group, RenderableType
from rich.live import Live
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


def render_progress(progress: Progress, width: int, zone: tzinfo | None = None) -> RenderableType:
    """Render about three lines, `width` columns wide. `zone` is that of times of day; None is the machine's."""
    lines: list[RenderableType] = [render_bar(progress, width), Text(*format_state(progress, zone))]
    if (time_left := format_time_left(progress, zone)) and progress.stopping_in is None:
        lines.append(Text(time_left))
    if counts := render_outcomes(progress.outcomes):
        lines.append(counts)
    return Group(*lines)


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
        yield f"at most {progress.overloaded_to:,} because the workspace is overloaded"


def format_outage(outage: OutageStatus) -> str:
    """Format how long the workspace has not answered, the next probe, and when the run gives up."""
    parts = [f"No answer from the workspace for {format_countdown(outage.seconds)}"]
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
        self._live: Live | None = None
        self._broken = False
        self._lines: deque[str] = deque(maxlen=MAX_BUFFERED_LINES)
        self._partial_line = ""

    def print_line(self, sentence: str) -> None:
        """Print one line above the progress, at once."""
        with suppress(OSError, ValueError):
            self.write(f"{sanitise(sentence)}\n")
            self._print_lines()

    def write(self, text: str) -> None:
        """Buffer text for the lines above the progress; an incomplete line waits for its end."""
        *lines, self._partial_line = (self._partial_line + text).split("\n")
        self._lines.extend(lines)

    def flush(self) -> None:
        """Print the buffered lines; while progress is drawn, the next `draw` does it. Raises OSError."""
        if self._live is None:
            self._print_lines()

    def _print_lines(self) -> None:
        if self._lines:
            text = Text.from_ansi("\n".join(self._lines))
            self._lines.clear()
            # Not wrapped: a path that is broken over two lines cannot be copied.
            self._console.print(text, soft_wrap=True)

    def draw(self, progress: Progress) -> None:
        """Draw the progress again. Does nothing on a terminal that is broken or that accepts no output."""
        if self._broken or not self._is_writable():
            return
        try:
            self._print_lines()
            view = render_progress(progress, self._console.width)
            if self._live is None:
                self._live = Live(
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            self._live.update(view, refresh=True)
        except (OSError, ValueError):
            self._broken, self._live = True, None
            self._console = TextConsole(self._file)  # the old one keeps what it could not write

    def erase(self) -> None:
        """Erase the progress, and print the lines that are still buffered."""
        live, self._live = self._live, None
        with suppress(OSError, ValueError):
            if live is not None:
                live.stop()
            self._print_lines()

    def _is_writable(self) -> bool:
        """Return whether the terminal accepts output now: Ctrl-S stops it until Ctrl-Q."""
        try:
            return bool(select.select([], [self._file], [], 0)[1])
        except (OSError, ValueError):
            return True  # no descriptor, or a broken one: the write itself shows it
