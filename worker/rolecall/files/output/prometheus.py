"""How a run ended, in Prometheus' text format: for node_exporter's textfile collector, or whoever reads such files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rolecall.files.output.atomic_write import replace_atomically
from rolecall.text import sanitise

READABLE = 0o644
"""The collector is another user: the one file of ours that others may read. It has counts and no ids."""
LONGEST_LABEL = 300
_FIRST = b"# HELP rolecall_"
"""How the file begins."""


class RunMetrics(NamedTuple):
    """One start of the command, seen from its end."""

    workspace: str
    operation: str
    job: str
    started_at: float
    """Epoch seconds."""
    ended_at: float
    """Epoch seconds."""
    exit_code: int
    rows: Sequence[tuple[str, str, int]]
    """Outcome, reason and number of rows, each pair once; empty where the command ended before it had any."""


class Metric(NamedTuple):
    """One family of samples; all are gauges."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    """Labels beside those that all have, and the value."""


def is_foreign(path: Path) -> bool:
    """Tell whether something stands there that no run has written."""
    try:
        with path.open("rb") as file:
            return not file.read(len(_FIRST)).startswith(_FIRST)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def write_metrics(path: Path, run: RunMetrics) -> None:
    """Write the metrics of a run so that they take the place of `path` at once, mode 0644. Raises OSError."""
    with replace_atomically(path, mode=READABLE) as file:
        file.write(render_metrics(run))


def render_metrics(run: RunMetrics) -> str:
    """Give the metrics as text, ending in a line break; labels are cleaned, cut and escaped."""
    common = {"workspace": run.workspace, "operation": run.operation, "job": run.job}
    return "".join(line for metric in _metrics(run) if metric.samples for line in _lines(metric, common))


def _metrics(run: RunMetrics) -> Iterator[Metric]:
    prefix = "rolecall_last_run"
    yield Metric(f"{prefix}_start_timestamp_seconds", "When the command started.", [({}, run.started_at)])
    yield Metric(f"{prefix}_end_timestamp_seconds", "When the command ended.", [({}, run.ended_at)])
    duration = max(0.0, run.ended_at - run.started_at)
    yield Metric(f"{prefix}_duration_seconds", "How long the command took.", [({}, duration)])
    yield Metric(f"{prefix}_exit_code", "The command's exit code; 0 is all well.", [({}, run.exit_code)])
    rows = [({"outcome": outcome, "reason": reason}, float(number)) for outcome, reason, number in run.rows]
    yield Metric(f"{prefix}_rows", "Rows of the run's report, by outcome and reason.", rows)


def _lines(metric: Metric, common: Mapping[str, str]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} gauge\n"
    for labels, value in metric.samples:
        pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in {**common, **labels}.items())
        yield f"{metric.name}{{{pairs}}} {_number(value)}\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 3))


def _escaped(text: str) -> str:
    return sanitise(text, limit=LONGEST_LABEL).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
