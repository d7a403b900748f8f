"""`rolecall submit`: put a job into the database, for workers on any host."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli.cluster_options import (
    CONNECTION_OPTIONS,
    ENGINE_OPTIONS,
    OUTPUT_OPTIONS,
    find_workspace,
    open_workspace,
    pop_shared,
    shard_rows_option,
    shared_options,
    wait_option,
    workspace_option,
    workspaces_option,
    yes_option,
)
from rolecall.cli.guard_options import guard_options, parse_reason, removal_limits
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import JobSource, job_options, operation_option
from rolecall.rocketchat.operations import OPERATIONS

if TYPE_CHECKING:
    from rolecall.cluster.database.operator_database import OperatorDatabase
    from rolecall.cluster.runs.submit import Submitted


@click.command(cls=DocumentedCommand, short_help="Put a job into the database, for workers on any host.")
@workspaces_option
@workspace_option
@click.option("--new", is_flag=True, help="Submit a new run, also beside an unfinished one of this job.")
@operation_option
@job_options
@shard_rows_option
@wait_option
@guard_options
@yes_option
@shared_options(*ENGINE_OPTIONS, *CONNECTION_OPTIONS, *OUTPUT_OPTIONS)
def submit(
    source: JobSource,
    workspaces: Path | None,
    workspace: str | None,
    shard_rows: int | None,
    wait: bool,
    **options: Any,
) -> int:
    """Import JOB into the database and release it: workers on any host ('rolecall worker') send its rows.

    Names are looked up, the removals are counted and confirmed as 'rolecall run' does. The last line on stdout is the
    id of the run, for 'rolecall runs show'. The database is named by ROLECALL_DATABASE_URL or
    ROLECALL_DATABASE_URL_FILE.
    """
    from rolecall.app.run_directory import identity_of
    from rolecall.app.run_job import RunRequest
    from rolecall.app.run_paths import RunKind
    from rolecall.cli.config.database_url import load_database_config
    from rolecall.cli.submission import submit_and_report
    from rolecall.cli.terminal import console, event_loop
    from rolecall.store.base import read_pages

    config = load_database_config("submit", console.print_warning, role="rolecall_submit")
    from rolecall.cluster.runs.submit import SubmitRequest, submit_rows

    shared, why = pop_shared(options), parse_reason(options["reason"])
    entry = find_workspace(workspaces, workspace)
    unattended = options["yes"] and shared["read_roles"]
    limits = removal_limits(options, unattended=unattended)
    context = open_workspace(entry, shared, assume_yes=options["yes"])
    operation = OPERATIONS[options["operation"]]
    run = RunRequest(operation, limits=limits, reason=why, anew=options["new"], is_unattended=options["yes"])
    with source.open() as job:
        identity = identity_of(RunKind.RUN, context.app.connection.url, operation, job.digest)
        request = SubmitRequest(entry, run, job.name, shard_rows=shard_rows)

        async def import_job(database: "OperatorDatabase") -> "Submitted":
            return await submit_rows(database, identity, lambda: read_pages(job.rows()), request, context.app)

        return event_loop.run(submit_and_report(config, import_job, context, wait=wait), context.app.stop)
