"""`rolecall worker`: process the runs of a database, together with the workers of other hosts."""

from pathlib import Path
from typing import Any

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import SHARED_OPTIONS


@click.command(cls=DocumentedCommand, short_help="Process the runs of a database, on this host.")
@click.option(
    "--workspaces",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The workspaces to serve, with the places of their tokens: a workspaces.toml.",
)
@click.option(
    "--egress",
    default="",
    metavar="NAME",
    help="Name of the address from which the calls come: one worker of a name is active. Default: the host's name.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Calls in flight for each workspace, at most. Default: what each run says.",
)
@SHARED_OPTIONS["shutdown_timeout"]
@SHARED_OPTIONS["connect_timeout"]
@SHARED_OPTIONS["timeout"]
@click.option(
    "--metrics-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write metrics of this worker in Prometheus' text format (name it *.prom for node_exporter).",
)
@SHARED_OPTIONS["log_format"]
def worker(log_format: str, **options: Any) -> int:
    """Process the runs that 'rolecall submit' has put into the database, until Ctrl-C or SIGTERM.

    Any number of hosts can work at the same time; each serves the workspaces of which it has a token. SIGHUP lets it
    read the file of workspaces again. The database is named by ROLECALL_DATABASE_URL or ROLECALL_DATABASE_URL_FILE.
    """
    import asyncio
    import sys

    from rolecall.cli.config.database_url import load_database_config
    from rolecall.cli.config.trusted_workspaces import require_trusted_workspaces
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop

    path = options.pop("workspaces")
    if path is None:
        raise click.UsageError("name the workspaces to serve with --workspaces FILE, or in ROLECALL_WORKSPACES")
    config = load_database_config("worker", console.print_warning)
    from rolecall.cluster.worker.start import WorkerHooks, WorkerOptions, run_worker
    from rolecall.cluster.worker.workspace_reload import WorkspaceSource
    from rolecall.cluster.workspaces_file import Workspaces, read_workspaces
    from rolecall.display.log_setup import LogForm, open_logs
    from rolecall.engine.stop_signal import StopSignal

    def read() -> Workspaces:
        entries = read_workspaces(path, console.print_warning)
        require_trusted_workspaces(path, entries)
        return entries

    form = LogForm.JSON if log_format == "json" else LogForm.LINES
    hooks = WorkerHooks(
        WorkspaceSource(read, asyncio.Event()),
        lambda token: open_logs(sys.stderr, None, hide=token, form=form),
        console.print_warning,
        StopSignal(),
    )
    work = run_worker(WorkerOptions(**options), config, hooks)
    event_loop.run(work, hooks.stop, on_hangup=hooks.workspaces.requested.set)
    return ExitCode.OK
