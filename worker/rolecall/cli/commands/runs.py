"""`rolecall runs`: list the runs below the working directory and those of the database."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli.cluster_options import with_database
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option

if TYPE_CHECKING:  # it needs the libraries of the distributed mode
    from rolecall.cluster.database.operator_database import OperatorDatabase
    from rolecall.cluster.runs.records import ListedDatabaseRun


@click.command(cls=DocumentedCommand, short_help="List the runs here and in the database, the newest first.")
@click.argument("base", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, metavar="N", help="At most N.")
@click.option("--checks", is_flag=True, help="List checks instead of runs.")
@click.option("--workspace", metavar="NAME", help="Only runs of the database for this workspace.")
@click.option(
    "--prometheus", is_flag=True, help="Print the runs of the database that have not ended, as metrics for Prometheus."
)
@json_option
def runs(base: Path, limit: int, checks: bool, workspace: str | None, prometheus: bool, json: bool) -> int:
    """List the runs in DIR/runs and DIR/offboardings (DIR: the working directory), the newest first.

    Where ROLECALL_DATABASE_URL or ROLECALL_DATABASE_URL_FILE is set, those of the database come first. The column
    'where' is what status, report, verify and undo take; 'run 17' is what 'rolecall runs show' and its siblings take.
    A run whose --out names another directory is not found.
    """
    import time

    from rolecall.app.run_list import list_runs
    from rolecall.app.run_paths import RunKind
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.runs_view import runs_json, runs_lines

    if prometheus:
        return _print_metrics(workspace)
    kinds = (RunKind.CHECK,) if checks else (RunKind.RUN, RunKind.OFFBOARDING)
    stored = [] if checks else read_database(workspace, limit)
    found = [] if workspace else event_loop.run(list_runs(base, time.time(), limit=limit, kinds=kinds))
    if json:
        console.print_json(runs_json(found, stored))
    elif found or stored:
        for line in runs_lines(found, stored):
            console.print_result(line)
    else:
        console.print_info(f"There are no {'checks' if checks else 'runs'} below {base.resolve()}.")
    return ExitCode.OK


def _has_database() -> bool:
    from rolecall.cli.config.database_url import DATABASE_URL, DATABASE_URL_FILE

    return any(os.environ.get(name, "").strip() for name in (DATABASE_URL, DATABASE_URL_FILE))


def read_database(workspace: str | None, limit: int) -> list["ListedDatabaseRun"]:
    """Return the runs of the database; none where no database is named. Raises RolecallError."""
    if workspace is None and not _has_database():
        return []

    async def read(database: "OperatorDatabase") -> list["ListedDatabaseRun"]:
        from rolecall.cluster.runs.records import read_runs

        return await read_runs(database, workspace, limit)

    return with_database("runs", "rolecall_report", read)


def _print_metrics(workspace: str | None) -> int:
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console

    async def read(database: "OperatorDatabase") -> list[str]:
        from rolecall.cluster.runs.metrics import read_metrics

        return await read_metrics(database, workspace)

    for line in with_database("runs --prometheus", "rolecall_report", read):
        console.print_result(line)
    return ExitCode.OK
