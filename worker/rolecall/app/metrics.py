"""How a run ended, for a monitor: one small file, written at the end of every start of the command."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rolecall.app.open_run import Run
from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.terminal import console
from rolecall.files.output.prometheus import RunMetrics, is_foreign_file, write_metrics
from rolecall.rocketchat.url import InvalidUrlError, workspace_url
from rolecall.store.base import Count, StoreError


@dataclass(frozen=True, slots=True)
class MetricsWriter:
    """Knows the file, and what it can say before there is a run."""

    file: Path
    workspace: str
    operation: str
    job: str
    started_at: float
    """Epoch seconds."""
    wall: Callable[[], float] = time.time
    """Tells the epoch seconds."""

    def write(self, code: ExitCode, counts: Sequence[Count] = ()) -> None:
        """Write how the command ended; what cannot be written is one line of warning, and no more."""
        rows = [(count.outcome.value, count.reason, count.rows) for count in counts]
        ended = RunMetrics(self.workspace, self.operation, self.job, self.started_at, self.wall(), code, rows)
        try:
            write_metrics(self.file, ended)
        except OSError as error:
            console.print_warning(f"the metrics could not be written into {self.file}: {error.strerror or error}.")


def create_metrics_writer(
    file: Path | None, url: str, operation: str, job: str, *, allow_http: bool
) -> MetricsWriter | None:
    """Begin to watch a command. Raises Refusal where the file's folder is not there."""
    if file is None:
        return None
    if not file.parent.is_dir():
        raise OperatorError(f"--metrics-file {file}: there is no folder {file.parent}.")
    if is_foreign_file(file):
        raise OperatorError(
            f"--metrics-file {file} is there already and has no metrics of Rolecall; it is left as it is."
        )
    try:
        workspace = workspace_url(url, allow_http=allow_http)
    except InvalidUrlError:  # told in a moment; what it may hold is nobody's to read
        workspace = ""
    return MetricsWriter(file, workspace, operation, "stdin" if job == "-" else Path(job).name, time.time())


async def read_counts(run: Run) -> Sequence[Count]:
    """Return the counts of a run; nothing where its store cannot be read."""
    try:
        return await run.store.counts()
    except StoreError:
        return ()
