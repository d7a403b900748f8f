"""Metrics of the last run in Prometheus' text format, for node_exporter's textfile collector."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rolecall.file_access import in_open_directory
from rolecall.files.output.text_files import replace_atomically
from rolecall.text import sanitise

FILE_MODE = 0o644
"""The collector runs as another user. The file has counts and no ids, so that others may read it."""
MAX_LABEL_LENGTH = 300
"""Characters."""
MAX_FILE_SIZE = 1_000_000
"""Characters of an earlier file that are kept."""
RUNNING_SINCE = "rolecall_running_since_timestamp_seconds"
_FILE_START = b"# HELP rolecall_"


class RunMetrics(NamedTuple):
    """One finished call of the command."""

    workspace: str
    operation: str
    job: str
    started_at: float
    """Seconds since the epoch."""
    ended_at: float
    """Seconds since the epoch."""
    exit_code: int
    rows: Sequence[tuple[str, str, int]]
    """Outcome, reason and number of rows, each pair once; empty if the command ended before it had rows."""
    people: Mapping[str, int] = MappingProxyType({})
    """People of an offboarding by what is known of them; empty for a run."""


class Metric(NamedTuple):
    """One family of samples; all are gauges."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    """Labels in addition to the common ones, and the value."""


def is_foreign_file(path: Path) -> bool:
    """Return whether there is something at `path` that `write_metrics` has not written."""
    try:
        with in_open_directory(path) as place, open(place.open(os.O_RDONLY, any_owner=True), "rb") as file:  # noqa: PTH123
            return not file.read(len(_FILE_START)).startswith(_FILE_START)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def write_metrics(path: Path, run: RunMetrics) -> None:
    """Write the metrics of a run atomically to `path`, mode 0644. Raises OSError."""
    with replace_atomically(path, mode=FILE_MODE) as file:
        file.write(format_metrics(run))


def write_start(path: Path, workspace: str, operation: str, job: str, started_at: float) -> None:
    """Add to the metrics of the last run that another is running since `started_at`; `write_metrics` removes it.

    Raises OSError.
    """
    try:
        with in_open_directory(path) as place, open(place.open(os.O_RDONLY, any_owner=True), encoding="utf-8") as file:  # noqa: PTH123
            last = file.read(MAX_FILE_SIZE)
    except FileNotFoundError:
        last = ""
    kept = [line for line in last.splitlines(keepends=True) if RUNNING_SINCE not in line]
    metric = Metric(RUNNING_SINCE, "When the command started that has not ended yet.", [({}, started_at)])
    labels = {"workspace": workspace, "operation": operation, "job": job}
    with replace_atomically(path, mode=FILE_MODE) as file:
        file.writelines([*kept, *_lines(metric, labels)])


def format_metrics(run: RunMetrics) -> str:
    """Return the metrics as text that ends in a line break; labels are sanitised, cut and escaped."""
    common = {"workspace": run.workspace, "operation": run.operation, "job": run.job}
    return "".join(line for metric in _metrics(run) if metric.samples for line in _lines(metric, common))


def write_gauges(path: Path, metrics: Sequence[Metric], labels: Mapping[str, str]) -> None:
    """Write metrics with common labels atomically to `path`, mode 0644. Raises OSError."""
    with replace_atomically(path, mode=FILE_MODE) as file:
        file.write(format_gauges(metrics, labels))


def format_gauges(metrics: Sequence[Metric], labels: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return metrics with common labels as text that ends in a line break; those without a sample are left out."""
    return "".join(line for metric in metrics if metric.samples for line in _lines(metric, labels))


def _metrics(run: RunMetrics) -> Iterator[Metric]:
    prefix = "rolecall_last_run"
    yield Metric(f"{prefix}_start_timestamp_seconds", "When the command started.", [({}, run.started_at)])
    yield Metric(f"{prefix}_end_timestamp_seconds", "When the command ended.", [({}, run.ended_at)])
    duration = max(0.0, run.ended_at - run.started_at)
    yield Metric(f"{prefix}_duration_seconds", "How long the command took.", [({}, duration)])
    yield Metric(f"{prefix}_exit_code", "The command's exit code; 0 is success.", [({}, run.exit_code)])
    rows = [({"outcome": outcome, "reason": reason}, float(number)) for outcome, reason, number in run.rows]
    yield Metric(f"{prefix}_rows", "Rows of the run's report, by outcome and reason.", rows)
    people = [({"state": state}, float(number)) for state, number in run.people.items()]
    yield Metric(f"{prefix}_people", "People on the list of an offboarding, by what is known of them.", people)


def _lines(metric: Metric, common: Mapping[str, str]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} gauge\n"
    for labels, value in metric.samples:
        pairs = ",".join(f'{name}="{_escape_label(text)}"' for name, text in {**common, **labels}.items())
        yield f"{metric.name}{{{pairs}}} {_format_number(value)}\n"


def _format_number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 3))


def _escape_label(text: str) -> str:
    return sanitise(text, limit=MAX_LABEL_LENGTH).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
