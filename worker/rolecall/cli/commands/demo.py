"""`rolecall demo`: run a job against the embedded sandbox; no network, no account."""

import csv
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option
from rolecall.cli.terminal.console import OutputMode

if TYPE_CHECKING:  # imported when the command runs
    from rolecall.app.run_job import RunResult
    from rolecall.cli.exit_codes import ExitCode


@click.command(cls=DocumentedCommand, short_help="See it work: a job of some hundred rows, no account needed.")
@click.option(
    "--rows", type=click.IntRange(1, 100_000), metavar="N", default=300, show_default=True, help="Rows of the job."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the reports go. Default: a new directory in the system's temporary one.",
)
@json_option
def demo(rows: int, out: Path | None, json: bool) -> int:
    """Run a job of some hundred rows against a workspace in this very process, and show the report.

    There are leaders, people without a role, every kind of refusal, and some responses that get lost.
    """
    from rolecall.app.connection import AppContext
    from rolecall.app.run_job import RunRequest, RunResult, run_job
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.terminal.progress_reporter import ProgressReporter
    from rolecall.cli.views.run_view import show_run
    from rolecall.engine.settings import Settings
    from rolecall.engine.stop_signal import StopSignal
    from rolecall.files.input.job import open_job
    from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
    from rolecall.sandbox import Sandbox, demo_faults, demo_world

    folder = _new_folder(out)
    demo = demo_world(rows)
    job = folder / "job.csv"
    _write_job(job, ((pair.room_id, pair.user_id) for pair in demo.rows))
    reporter, stop = ProgressReporter(OutputMode(json=json), assume_yes=True), StopSignal()

    async def run() -> RunResult:
        async with Sandbox(demo.world, faults=demo_faults(demo), latency=0.02) as sandbox:
            connection = ConnectionConfig(sandbox.url, trust_env=False)
            credentials = Credentials(demo.account.user_id, demo.account.token)
            context = AppContext(connection, credentials, Settings(rate=100.0), reporter, stop)
            with open_job(str(job)) as opened:
                return await run_job(opened, folder / "run", RunRequest(exit_code_of=_exit_code), context)

    result = event_loop.run(run(), stop)
    code = _exit_code(result)
    show_run(result, code, reporter, with_next_commands=False)  # its workspace is gone
    return code


def _exit_code(result: "RunResult") -> "ExitCode":
    """Return the exit code; the demo is meant to show failed rows."""
    from rolecall.cli.exit_codes import ExitCode, exit_code_of_run

    code = exit_code_of_run(result)
    return ExitCode.OK if code is ExitCode.ROW_FAILURES else code


def _new_folder(out: Path | None) -> Path:
    """Return the folder of the demo; it need not exist. Raises OperatorError for one with an earlier demo."""
    from rolecall.app.errors import OperatorError

    if out is not None and (out / "job.csv").exists():
        raise OperatorError(f"{out} has a job.csv already; name another --out.")
    folder = out or Path(tempfile.mkdtemp(prefix="rolecall-demo-"))
    if (folder / "run").exists():
        raise OperatorError(f"{folder} has the report of an earlier demo; name another --out.")
    return folder


def _write_job(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write the job file. Raises OperatorError if it exists or cannot be written."""
    from rolecall.app.errors import OperatorError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("roomId", "userId"))
            table.writerows(pairs)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}; name another --out.") from None
