"""The options that report the end of a command to others: a notification, and a file of metrics."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

Command = TypeVar("Command", bound=Callable[..., Any])

if TYPE_CHECKING:  # imported when the command runs
    from rolecall.app.notifications import MetricsWriter, NotifyConfig
    from rolecall.store.records import Count

_NAMES = ("notify", "notify_file", "notify_on", "metrics_file")
_OPTIONS = (
    click.option(
        "--notify", metavar="ROOM", help="Post the end to #channel, @user or a room id, as the run's account."
    ),
    click.option(
        "--notify-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="A file with that target, which may also be the URL of an incoming webhook.",
    ),
    click.option(
        "--notify-on",
        type=click.Choice(["always", "failure"]),
        default="always",
        show_default=True,
        help="Notify on every run, or only on a non-zero exit code.",
    ),
    click.option(
        "--metrics-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write metrics of the run in Prometheus' text format (name it *.prom for node_exporter).",
    ),
)


def reporting_options(command: Command) -> Command:
    """Add the options of notifications and metrics; `pop_reporting` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Reporting(NamedTuple):
    """Where the end of a command is reported."""

    notify: "NotifyConfig | None"
    metrics: "MetricsWriter | None"

    def write_start(self) -> None:
        """Write into the metrics that the command is running; a failure is reported at its end."""
        if self.metrics is not None:
            with suppress(OSError):
                self.metrics.write_start()

    def write_end(self, code: int, counts: "Iterable[Count]" = (), people: Mapping[str, int] | None = None) -> None:
        """Write the metrics; a failure is one line of warning, and changes nothing about the run."""
        from rolecall.cli.terminal import console

        if self.metrics is None:
            return
        try:
            self.metrics.write(code, counts, people or {})
        except OSError as error:
            file = self.metrics.file
            console.print_warning(f"the metrics could not be written into {file}: {error.strerror or error}.")


def pop_reporting(options: dict[str, Any], url: str, operation: str, job: str) -> Reporting:
    """Take the values of these options out of the others. Raises OperatorError for a target or file of no use."""
    given, file, on, metrics = (options.pop(name) for name in _NAMES)
    allow_http = options["allow_http"]
    config = _notify_config(given, file, only_failure=on == "failure", allow_http=allow_http)
    if not metrics:
        return Reporting(config, None)
    from rolecall.app.notifications import create_metrics_writer

    return Reporting(config, create_metrics_writer(metrics, url, operation, job, allow_http=allow_http))


def drop_reporting(options: dict[str, Any]) -> None:
    """Take the values of these options out of the others, for a command that does not end in a report."""
    for name in _NAMES:
        options.pop(name)


def _notify_config(
    given: str | None, file: Path | None, *, only_failure: bool, allow_http: bool
) -> "NotifyConfig | None":
    if not given and file is None:
        return None
    from rolecall.app.notifications import NotifyConfig
    from rolecall.cli.config.notify_target import choose_target
    from rolecall.cli.terminal import console

    typed = click.get_current_context().get_parameter_source("notify") is ParameterSource.COMMANDLINE
    target = choose_target(given or "", file, console.print_warning, typed=typed, allow_http=allow_http)
    return NotifyConfig(target, only_failure=only_failure)
