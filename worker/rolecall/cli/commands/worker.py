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

    Any number of hosts can work at the same time; each serves the workspaces of which it has a token. The database is
    named by ROLECALL_DATABASE_URL or ROLECALL_DATABASE_URL_FILE.
    """
    import sys

    from rolecall.cli.config.database_url import load_database_config
    from rolecall.cli.config.trusted_workspaces import require_trusted_workspaces
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop

    if options["workspaces"] is None:
        raise click.UsageError("name the workspaces to serve with --workspaces FILE, or in ROLECALL_WORKSPACES")
    config = load_database_config("worker", console.print_warning)
    from rolecall.cluster.worker.start import WorkerOptions, run_worker
    from rolecall.cluster.workspaces_file import read_workspaces
    from rolecall.display.log_setup import LogForm, open_logs
    from rolecall.engine.stop_signal import StopSignal

    entries = read_workspaces(options["workspaces"], lambda _: None)  # warnings come when the worker reads it
    require_trusted_workspaces(options["workspaces"], entries)
    form, stop = LogForm.JSON if log_format == "json" else LogForm.LINES, StopSignal()
    work = run_worker(
        WorkerOptions(**options),
        config,
        stop,
        lambda token: open_logs(sys.stderr, None, hide=token, form=form),
        console.print_warning,
    )
    event_loop.run(work, stop)
    return ExitCode.OK
