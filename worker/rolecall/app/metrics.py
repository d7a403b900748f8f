"""The metrics of a run for a monitor: one small file, written at the end of every start of the command."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rolecall.app.errors import OperatorError
from rolecall.files.output.prometheus import RunMetrics, is_foreign_file, write_metrics, write_start
from rolecall.rocketchat.url import InvalidUrlError, workspace_url
from rolecall.store.base import Count

NO_PEOPLE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MetricsWriter:
    """The file, and what is known before there is a run."""

    file: Path
    workspace: str
    operation: str
    job: str
    started_at: float
    """Epoch seconds."""

    def write_start(self) -> None:
        """Write that the command is running; what is known of the last one stays. Raises OSError."""
        write_start(self.file, self.workspace, self.operation, self.job, self.started_at)

    def write(self, exit_code: int, counts: Iterable[Count] = (), people: Mapping[str, int] = NO_PEOPLE) -> None:
        """Write how the command ended. Raises OSError."""
        rows = [(count.outcome.value, count.reason, count.rows) for count in counts]
        ended_at = time.time()
        metrics = RunMetrics(
            self.workspace, self.operation, self.job, self.started_at, ended_at, exit_code, rows, people
        )
        write_metrics(self.file, metrics)


def create_metrics_writer(file: Path, url: str, operation: str, job: str, *, allow_http: bool) -> MetricsWriter:
    """Create the writer before the run. Raises OperatorError for a file that cannot be written."""
    if not file.parent.is_dir():
        raise OperatorError(f"The metrics file {file} cannot be written: there is no folder {file.parent}.")
    if is_foreign_file(file):
        raise OperatorError(f"The metrics file {file} exists and has no metrics of Rolecall; it is left as it is.")
    try:
        workspace = workspace_url(url, allow_http=allow_http)
    except InvalidUrlError:  # reported below; not written here because the URL may contain a password
        workspace = ""
    return MetricsWriter(file, workspace, operation, "stdin" if job == "-" else Path(job).name, time.time())
