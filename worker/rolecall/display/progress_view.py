"""The picture of a run: a bar, what it is doing or waiting for, and what the rows came to."""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rolecall.display.summary import STYLES
from rolecall.models import OutageStatus, Outcome, Progress, RateLimitStatus

MINUTE, HOUR, DAY = 60, 3600, 86_400
NARROWEST_BAR = 10
"""Columns below which a bar says nothing and is left out."""


def render_progress(progress: Progress, width: int, zone: tzinfo | None = None) -> RenderableType:
    """Draw a run in `width` columns, in some three lines. `zone`: of the times of day; None is this machine's."""
    state, style = state_in_words(progress, zone)
    lines: list[RenderableType] = [bar(progress, width), Text(state, style)]
    if (ending := ending_in_words(progress, zone)) and progress.stopping_in is None:
        lines.append(Text(ending))
    if counts := outcomes_in_words(progress.outcomes):
        lines.append(counts)
    return Group(*lines)


def bar(progress: Progress, width: int) -> RenderableType:
    """Draw how many rows are done; the numbers alone where there is no room for more."""
    share = progress.done / progress.total if progress.total else 1.0
    told = f"{progress.done:,} of {progress.total:,} rows, {int(share * 100)} %"
    room = width - len(told) - 2
    if room < NARROWEST_BAR:
        return Text(told, "bold")
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=room)
    line.add_column(no_wrap=True)
    drawn = ProgressBar(total=max(1, progress.total), completed=progress.done, width=room, complete_style="cyan")
    line.add_row(drawn, Text(told, "bold"))
    return line


def state_in_words(progress: Progress, zone: tzinfo | None = None) -> tuple[str, str]:
    """Say what a run is doing, or what it waits for, and in which style that is shown."""
    if progress.stopping_in is not None:
        under_way = f"{_calls(progress.in_flight)} under way may take {format_duration(progress.stopping_in)} more"
        return f"Stopping: {under_way}; Ctrl-C again ends at once", "bold yellow"
    if progress.outage is not None:
        return outage_in_words(progress.outage), "bold red"
    if progress.pause is not None:
        until = clock_time(progress.at + progress.pause.seconds, progress.at, zone, seconds=True)
        why = (
            allowance_in_words(progress.allowance)
            if progress.allowance
            else "the workspace said 'too many requests'"
            if progress.pause.refused
            else "the workspace limits calls"
        )
        return f"Held until {until} ({format_duration(progress.pause.seconds)}): {why}", "yellow"
    return ", ".join(_pace(progress)), ""


def _pace(progress: Progress) -> Iterator[str]:
    """Say how fast the run is and what limits that, in parts; the slower of both limits is the one that counts."""
    allowance, rate, now = progress.allowance, progress.rate, progress.per_second
    window = allowance.limit / allowance.seconds if allowance and allowance.seconds else 0.0
    if allowance is not None and (rate is None or window <= rate):
        used = allowance.limit - allowance.left
        yield f"{used:,} of the {_calls(allowance.limit)} {_window(allowance)} that the workspace allows"
    elif now is None:
        yield "starting"
    else:
        yield f"{now:,.1f}/s" + (f" of {_rate(rate)}" if rate is not None else "")
    yield f"{_calls(progress.in_flight)} under way"
    if progress.overloaded_to is not None:
        yield f"at most {progress.overloaded_to:,}, for the workspace shows overload"


def outage_in_words(outage: OutageStatus) -> str:
    """Say that the workspace is away, and what is done about it."""
    parts = [f"No answer from the workspace for {format_duration(outage.seconds)}"]
    if outage.probe_in is not None:
        parts.append(f"next probe in {format_duration(outage.probe_in)}" if outage.probe_in > 0 else "probing")
    if outage.gives_up_in is not None:
        parts.append(f"giving up in {format_duration(outage.gives_up_in)}")
    return ", ".join(parts)


def allowance_in_words(allowance: RateLimitStatus) -> str:
    """Say the workspace's limit, such as `the workspace allows 10 calls a minute`."""
    return f"the workspace allows {_calls(allowance.limit)} {_window(allowance)}"


def ending_in_words(progress: Progress, zone: tzinfo | None = None) -> str:
    """Say how long it will take and when it ends; empty where nothing can be said, or nothing is left."""
    if not progress.remaining:
        return ""
    until = clock_time(progress.at + progress.remaining, progress.at, zone)
    return f"About {format_duration(progress.remaining)} left, until {until}"


def outcomes_in_words(outcomes: Mapping[Outcome, int]) -> Text:
    """Count the rows by outcome, each in its colour; those that no row came to are left out."""
    told = [
        Text(f"{rows:,} {outcome.value}", STYLES[outcome])
        for outcome in Outcome
        if (rows := outcomes.get(outcome, 0)) > 0
    ]
    return Text(", ").join(told)


def format_duration(seconds: float) -> str:
    """Say a duration: `42 s`, `13 min 48 s`, `3 h 05 min`, `2 d 3 h`; whole seconds, never less than is left."""
    whole = -int(-seconds // 1)
    if whole < 100:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s" if whole < 20 * MINUTE else f"{round(whole / MINUTE)} min"
    if whole < 2 * DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def clock_time(at: float, now: float, zone: tzinfo | None = None, *, seconds: bool = False) -> str:
    """Say a moment as the clock on the wall shows it, with the date where it is on another day than `now`."""
    moment, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    day = "" if moment.date() == today.date() else f"{moment:%Y-%m-%d} "
    return day + f"{moment:%H:%M:%S}" if seconds else day + f"{moment:%H:%M}"


def _calls(number: int) -> str:
    return f"{number:,} call{'' if number == 1 else 's'}"


def _window(allowance: RateLimitStatus) -> str:
    if allowance.seconds is None:
        return "in a window"
    return "a minute" if allowance.seconds == MINUTE else f"in {format_duration(allowance.seconds)}"


def _rate(per_second: float) -> str:
    """Say a rate as it is asked for: `10/s`, `30/m`."""
    return f"{per_second:g}/s" if per_second >= 1 else f"{per_second * MINUTE:g}/m"
