"""The options that commands share: their types, defaults and help."""

import math
import shlex
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from rolecall.engine.settings import FailureThreshold, InvalidThresholdError
from rolecall.engine.throttle.rate_limiter import InvalidRateError, parse_rate
from rolecall.models import REPORT_FORMATS, CsvStyle
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER

Command = TypeVar("Command", bound=Callable[..., Any])

if TYPE_CHECKING:  # the job reader is heavy; at run time only the newest click takes a type in brackets
    RateType = click.ParamType[float | None]
    ThresholdType = click.ParamType[FailureThreshold]
    from rolecall.files.input.job import Job
else:
    RateType = ThresholdType = click.ParamType


class Rate(RateType):
    """Calls over time, such as `10/s`; None is unlimited."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Parse the text."""
        try:
            return None if value is None else parse_rate(str(value))
        except InvalidRateError as error:
            self.fail(str(error), param, ctx)


class Seconds(click.FloatRange):
    """A duration; `nan` is refused, though it is in every range."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse the number."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class MaxFailures(ThresholdType):
    """A number of rows, or a percentage."""

    name = "n|p%"
    threshold: type[FailureThreshold] = FailureThreshold

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> FailureThreshold:
        """Parse the text."""
        try:
            return value if isinstance(value, self.threshold) else self.threshold.parse(str(value))
        except InvalidThresholdError as error:
            self.fail(str(error), param, ctx)


operation_option = click.option(
    "--operation",
    type=click.Choice(list(OPERATIONS)),
    default=REMOVE_LEADER.name,
    show_default=True,
    metavar="METHOD",
    help="Another role change: groups|channels.remove|addLeader|Moderator|Owner.",
)


def report_options(command: Command) -> Callable[..., Any]:
    """Add the options of the reports; the command receives `report_format` and `csv_style`."""

    @wraps(command)
    def with_style(report_delimiter: str | None, report_bom: bool, **values: Any) -> Any:
        style = CsvStyle((report_delimiter or ",").replace("tab", "\t"), report_bom)
        return command(csv_style=style if report_delimiter or report_bom else None, **values)

    for option in (
        click.option("--report-bom", is_flag=True, help="Begin the CSV reports with a byte order mark, for Excel."),
        click.option("--report-delimiter", type=click.Choice([",", ";", "tab"]), help="Delimiter of the CSV reports."),
        click.option(
            "--report-format",
            type=click.Choice(REPORT_FORMATS),
            multiple=True,
            help="Also write the report in this format; repeatable.",
        ),
    ):
        with_style = option(with_style)
    return with_style


json_option = click.option("--json", is_flag=True, help="Print the result as one JSON document on stdout.")


class JobSource(NamedTuple):
    """A job file and how it is read; as text, the words of the command line that name it."""

    path: str
    encoding: str
    room_column: str
    user_column: str

    def open(self) -> "Job":
        """Open the file; warnings about it are printed. Raises JobFileError."""
        from rolecall.cli.terminal import console
        from rolecall.files.input.job import ReadOptions, open_job

        options = ReadOptions(self.encoding, self.room_column, self.user_column)
        return open_job(self.path, None, options, console.print_warning)

    def __str__(self) -> str:
        options = {"--encoding": self.encoding, "--room-column": self.room_column, "--user-column": self.user_column}
        return shlex.join([self.path, *(word for name, value in options.items() if value for word in (name, value))])


def job_options(command: Command) -> Callable[..., Any]:
    """Add the argument JOB and the options that say how it is read; the command gets them as its `source`."""

    @wraps(command)
    def with_source(job: str, encoding: str, room_column: str, user_column: str, **others: Any) -> Any:
        return command(source=JobSource(job, encoding, room_column, user_column), **others)

    for parameter in (
        click.option("--user-column", default="", metavar="NAME", help="The column of JOB that has the users."),
        click.option("--room-column", default="", metavar="NAME", help="The column of JOB that has the rooms."),
        click.option(
            "--encoding", default="", metavar="NAME", help="The encoding of JOB, such as cp1252. Without it: detected."
        ),
        click.argument("job", metavar="JOB", type=click.Path(readable=False, allow_dash=True)),
    ):
        with_source = parameter(with_source)
    return with_source


SHARED_OPTIONS = {
    "rate": click.option(
        "--rate",
        type=Rate(),
        default="10/s",
        show_default=True,
        metavar="10/s|600/m|unlimited",
        help="Maximum request rate, evenly paced. The server's own limit always applies.",
    ),
    "concurrency": click.option(
        "--concurrency",
        type=click.IntRange(1, 1000),
        default=8,
        show_default=True,
        metavar="N",
        help="Maximum number of requests in flight.",
    ),
    "max_attempts": click.option(
        "--max-attempts",
        type=click.IntRange(1, 100),
        default=5,
        show_default=True,
        metavar="N",
        help="Maximum requests for one row. Rate limits and outages do not count.",
    ),
    "retry_backoff": click.option(
        "--retry-backoff",
        type=Seconds(0.01, 60),
        default=0.5,
        show_default=True,
        metavar="SECONDS",
        help="Maximum wait before the second attempt; doubled for each further one.",
    ),
    "max_failures": click.option(
        "--max-failures",
        type=MaxFailures(),
        default="50%",
        show_default=True,
        metavar="N|P%",
        help="Stop when more rows than this are failed or unknown; a percentage applies from 100 rows on.",
    ),
    "outage_timeout": click.option(
        "--outage-timeout",
        type=Seconds(1, 86_400),
        default=900,
        show_default=True,
        metavar="SECONDS",
        help="Give up after the server has been unreachable, or the run store locked, this long.",
    ),
    "shutdown_timeout": click.option(
        "--shutdown-timeout",
        type=Seconds(0, 3600),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="On Ctrl-C, wait this long for requests in flight.",
    ),
    "connect_timeout": click.option(
        "--connect-timeout",
        type=Seconds(0.1, 600),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="Connection timeout.",
    ),
    "timeout": click.option(
        "--timeout",
        type=Seconds(0.1, 3600),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="Response timeout.",
    ),
    "room_cache": click.option(
        "--room-cache/--no-room-cache",
        default=True,
        help="Skip the remaining rows of a room that rejects every request.",
    ),
    "read_roles": click.option(
        "--read-roles/--no-read-roles",
        default=True,
        help="Read the roles first: who does not have the role is not sent.",
    ),
    "message_evidence": click.option(
        "--message-evidence/--no-message-evidence",
        default=True,
        help="Read the role messages of a room to resolve rows whose response was lost.",
    ),
    "late_arrival": click.option(
        "--late-arrival",
        type=Seconds(0, 86_400),
        default=120,
        show_default=True,
        metavar="SECONDS",
        help="A request that was given up may still arrive this long: until then an unchanged role proves nothing.",
    ),
    "retry_failed": click.option(
        "--retry-failed", is_flag=True, help="Also send the rows that failed in an earlier session."
    ),
    "allow_http": click.option(
        "--allow-http", is_flag=True, help="Send the token over http:// to a host that is not this machine."
    ),
    "ca_file": click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False),
        metavar="PEM",
        help="Trust these certificate authorities instead of the system's.",
    ),
    "quiet": click.option("--quiet", "-q", is_flag=True, help="Print nothing unless the exit code is not 0."),
    "log_format": click.option(
        "--log-format",
        type=click.Choice(["console", "json"]),
        default="console",
        show_default=True,
        help="Format of the log lines on stderr; with json no progress is drawn. run.log.jsonl is always JSON.",
    ),
    "json": json_option,
}
"""The shared options, each by the name of the field that it sets."""

_READING = (
    "rate",
    "concurrency",
    "max_attempts",
    "retry_backoff",
    "outage_timeout",
    "connect_timeout",
    "timeout",
    "allow_http",
    "ca_file",
    "quiet",
    "log_format",
    "json",
)
"""The options of commands that only read."""
_VERIFYING = ("message_evidence", "late_arrival")
"""The further options of `verify`."""


def run_options(command: Command) -> Callable[..., Any]:
    """Add the shared options of commands that change roles."""
    for name in reversed(SHARED_OPTIONS):
        if name != "late_arrival":
            command = SHARED_OPTIONS[name](command)
    return report_options(command)


def reading_options(command: Command) -> Command:
    """Add the shared options of commands that only read."""
    for name in reversed(_READING):
        command = SHARED_OPTIONS[name](command)
    return command


def verifying_options(command: Command) -> Command:
    """Add the shared options of `verify`."""
    command = reading_options(command)
    for name in reversed(_VERIFYING):
        command = SHARED_OPTIONS[name](command)
    return command
