"""The options that verbs share, and their types: what cannot be read is refused before anything is sent."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rolecall.engine.failure_threshold import FailureThreshold, InvalidThresholdError
from rolecall.engine.throttle.rate_limiter import InvalidRateError, parse_rate
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER

Command = TypeVar("Command", bound=Callable[..., Any])

if TYPE_CHECKING:  # at run time only the newest click takes a type in brackets
    RateType = click.ParamType[float | None]
    ThresholdType = click.ParamType[FailureThreshold]
else:
    RateType = ThresholdType = click.ParamType


class Rate(RateType):
    """Calls over time, such as `10/s`; None is unlimited."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Read the text."""
        try:
            return None if value is None else parse_rate(str(value))
        except InvalidRateError as error:
            self.fail(str(error), param, ctx)


class Seconds(click.FloatRange):
    """A span of time; `nan` is none, though no comparison refuses it."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class MaxFailures(ThresholdType):
    """A number of rows, or a share of them."""

    name = "n|p%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> FailureThreshold:
        """Read the text."""
        try:
            return value if isinstance(value, FailureThreshold) else FailureThreshold.parse(str(value))
        except InvalidThresholdError as error:
            self.fail(str(error), param, ctx)


operation_option = click.option(
    "--operation",
    type=click.Choice(list(OPERATIONS)),
    default=REMOVE_LEADER.name,
    show_default=True,
    metavar="METHOD",
    help="Another method of the same kind: groups|channels.remove|addLeader|Moderator|Owner.",
)


report_format_option = click.option(
    "--report-format",
    type=click.Choice(["jsonl", "json"]),
    multiple=True,
    help="Write this beside report.csv; may be given twice.",
)


def job_options(command: Command) -> Command:
    """Add the options that say how a job file is read; they are the fields of ReadOptions."""
    for option in (
        click.option("--user-column", default="", metavar="NAME", help="The column of JOB that has the users."),
        click.option("--room-column", default="", metavar="NAME", help="The column of JOB that has the rooms."),
        click.option(
            "--encoding", default="", metavar="NAME", help="The encoding of JOB, such as cp1252. Without it: detected."
        ),
    ):
        command = option(command)
    return command


def run_options(command: Command) -> Command:
    """Add the options of everything that sends."""
    for name in reversed(_RUN_OPTIONS):
        command = _OPTIONS[name](command)
    return command


def reading_options(command: Command) -> Command:
    """Add the options of everything that only reads: a part of those of what sends."""
    for name in reversed(_READING_OPTIONS):
        command = _OPTIONS[name](command)
    return command


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "rate": click.option(
        "--rate",
        type=Rate(),
        default="10/s",
        show_default=True,
        metavar="10/s|600/m|unlimited",
        help="Calls over time, at most, spread evenly. The workspace's own limit is kept in any case.",
    ),
    "concurrency": click.option(
        "--concurrency",
        type=click.IntRange(1, 1000),
        default=8,
        show_default=True,
        metavar="N",
        help="Calls under way at once, at most.",
    ),
    "max_attempts": click.option(
        "--max-attempts",
        type=click.IntRange(1, 100),
        default=5,
        show_default=True,
        metavar="N",
        help="Calls for one row, at most. 'Too many requests' and outages do not count.",
    ),
    "retry_backoff": click.option(
        "--retry-backoff",
        type=Seconds(0.01, 60),
        default=0.5,
        show_default=True,
        metavar="SECONDS",
        help="Wait at most this long before a second attempt; doubled each time.",
    ),
    "max-failures": click.option(
        "--max-failures",
        type=MaxFailures(),
        default="50%",
        show_default=True,
        metavar="N|P%",
        help="Stop when more rows than this are failed or unknown; a share counts after 100 rows.",
    ),
    "outage-patience": click.option(
        "--outage-timeout",
        type=Seconds(1, 86_400),
        default=900,
        show_default=True,
        metavar="SECONDS",
        help="Wait this long for a workspace that is away.",
    ),
    "shutdown_timeout": click.option(
        "--shutdown-timeout",
        type=Seconds(0, 3600),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="Await the calls under way this long after Ctrl-C.",
    ),
    "connect-timeout": click.option(
        "--connect-timeout",
        type=Seconds(0.1, 600),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="Until a connection must stand.",
    ),
    "timeout": click.option(
        "--timeout",
        type=Seconds(0.1, 3600),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="Until an answer must have come.",
    ),
    "room-cache": click.option(
        "--room-cache/--no-room-cache", default=True, help="Ask a room that cannot be worked in only once."
    ),
    "retry-failed": click.option(
        "--retry-failed", is_flag=True, help="Also send the rows that an earlier session was refused."
    ),
    "report-format": report_format_option,
    "allow-http": click.option(
        "--allow-http", is_flag=True, help="Send the token over http:// to a host that is not this machine."
    ),
    "ca-file": click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False),
        metavar="PEM",
        help="Trust these certificate authorities instead of the system's.",
    ),
    "quiet": click.option(
        "--quiet", "-q", is_flag=True, help="Say nothing unless the command ends with another code than 0."
    ),
    "log-format": click.option(
        "--log-format",
        type=click.Choice(["console", "json"]),
        default="console",
        show_default=True,
        help="Of the log lines on stderr; run.log.jsonl is always JSON. With json nothing else is drawn.",
    ),
}
"""Every option of what sends, by its name."""
_RUN_OPTIONS = tuple(_OPTIONS)
_READING_OPTIONS = (
    "rate",
    "concurrency",
    "max_attempts",
    "retry_backoff",
    "outage-patience",
    "connect-timeout",
    "timeout",
    "allow-http",
    "ca-file",
    "quiet",
    "log-format",
)
