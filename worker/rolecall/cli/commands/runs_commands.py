"""`rolecall runs show|stop|resume|report|verify|undo`: one run of the database."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli.cluster_options import (
    CONNECTION_OPTIONS,
    OUTPUT_OPTIONS,
    find_workspace,
    open_workspace,
    out_option,
    pop_shared,
    run_argument,
    shared_options,
    wait_option,
    with_database,
    workspaces_option,
    yes_option,
)
from rolecall.cli.guard_options import parse_reason, reason_option
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option, report_options

if TYPE_CHECKING:  # the libraries of the distributed mode are installed with the extra only
    from rolecall.app.reports import ReportSummary
    from rolecall.app.verify_run import VerifyResult
    from rolecall.cluster.database.operator_database import OperatorDatabase
    from rolecall.cluster.runs.control import Resumption, StopEffect
    from rolecall.cluster.runs.records import ListedDatabaseRun
    from rolecall.cluster.runs.submit import Submitted
    from rolecall.models import CsvStyle
    from rolecall.store.postgres.connection import DatabaseConfig


def _config(command: str, role: str) -> "DatabaseConfig":
    from rolecall.cli.config.database_url import load_database_config
    from rolecall.cli.terminal import console

    return load_database_config(command, console.print_warning, role=role)


@click.command("runs show", cls=DocumentedCommand, short_help="Show a run of the database.")
@run_argument
@json_option
def runs_show(run: str, json: bool) -> int:
    """Show the run with the id RUN in the database: its rows by outcome, who works on it, why it stopped."""
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console
    from rolecall.cli.views.database_run_view import database_run_json, database_run_lines

    async def read(database: "OperatorDatabase") -> "ListedDatabaseRun":
        from rolecall.cluster.runs.records import parse_run_id, read_run

        return await read_run(database, parse_run_id(run))

    found = with_database("runs show", "rolecall_report", read)
    if json:
        console.print_json(database_run_json(found))
    else:
        for line in database_run_lines(found):
            console.print_result(line)
    return ExitCode.OK


@click.command("runs stop", cls=DocumentedCommand, short_help="Stop a run of the database, for all workers.")
@run_argument
@json_option
def runs_stop(run: str, json: bool) -> int:
    """Stop the run with the id RUN: no worker sends a further row, the calls in flight are awaited.

    A run whose submission was ended before anything was sent is deleted.
    """
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console

    async def stop(database: "OperatorDatabase") -> "tuple[int, StopEffect]":
        from rolecall.cluster.runs.control import stop_run
        from rolecall.cluster.runs.records import parse_run_id

        run_id = parse_run_id(run)
        return run_id, await stop_run(database, run_id)

    run_id, effect = with_database("runs stop", "rolecall_submit", stop)
    if json:
        stopped = effect in ("stopped", "cancelled")
        console.print_json({"run": run_id, "stopped": stopped, "deleted": effect == "deleted"})
    elif effect == "deleted":
        console.print_result(f"Deleted run {run_id}: its submission was ended, and nothing was sent.")
    elif effect == "cancelled":
        console.print_result(f"Stopped run {run_id} before it was released: nothing was sent.")
    else:
        what = "Stopped" if effect == "stopped" else "It was stopped before:"
        console.print_result(f"{what} run {run_id}; 'rolecall runs resume {run_id}' goes on with it.")
    return ExitCode.OK


@click.command("runs resume", cls=DocumentedCommand, short_help="Let workers go on with a run of the database.")
@run_argument
@click.option("--retry-failed", is_flag=True, help="Also send the rows that failed in an earlier session.")
@json_option
def runs_resume(run: str, retry_failed: bool, json: bool) -> int:
    """Let workers go on with the stopped run RUN, or send its unknown rows again."""
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console
    from rolecall.text import plural

    async def resume(database: "OperatorDatabase") -> "Resumption":
        from rolecall.cluster.runs.control import resume_run
        from rolecall.cluster.runs.records import parse_run_id

        return await resume_run(database, parse_run_id(run), retry_failed=retry_failed)

    resumed = with_database("runs resume", "rolecall_submit", resume)
    if json:
        console.print_json({"run": resumed.run_id, "rows": resumed.due, "shards": resumed.shards})
    else:
        rows, shards = plural(resumed.due, "row"), plural(resumed.shards, "shard")
        what = f"{rows} to send in {shards}" if resumed.shards else "every row was done, it has finished"
        console.print_result(f"Resumed run {resumed.run_id}: {what}.")
    return ExitCode.OK


@click.command("runs report", cls=DocumentedCommand, short_help="Write the reports of a run of the database.")
@run_argument
@out_option
@report_options
@json_option
def runs_report(
    run: str, out: Path | None, report_format: tuple[str, ...], csv_style: "CsvStyle | None", json: bool
) -> int:
    """Write the reports of the run RUN into a directory, as 'rolecall run' writes them."""
    from rolecall.app.errors import OutputError
    from rolecall.cli.exit_codes import exit_code_of_report
    from rolecall.cli.terminal.console import OutputMode
    from rolecall.cli.views.run_view import show_report

    async def report(database: "OperatorDatabase") -> "ReportSummary":
        from rolecall.cluster.runs.records import parse_run_id
        from rolecall.cluster.runs.reports import report_run

        run_id = parse_run_id(run)
        return await report_run(database, run_id, out or Path(f"run-{run_id}"), report_format, csv_style)

    try:
        summary = with_database("runs report", "rolecall_report", report)
    except OSError as error:
        raise OutputError(f"The report could not be written: {error}.") from None
    code = exit_code_of_report(summary)
    show_report(summary, code, OutputMode(json=json))
    return code


@click.command("runs verify", cls=DocumentedCommand, short_help="Read the roles of a run of the database back.")
@run_argument
@workspaces_option
@out_option
@click.option(
    "--no-wait",
    is_flag=True,
    help="Do not wait for requests that may still arrive: report their rows as open, and exit with 6.",
)
@shared_options("rate", "concurrency", "max_attempts", "retry_backoff", "outage_timeout", *CONNECTION_OPTIONS)
@shared_options(*OUTPUT_OPTIONS, "message_evidence", "late_arrival")
def runs_verify(run: str, workspaces: Path | None, out: Path | None, no_wait: bool, **options: Any) -> int:
    """Read the roles back for the run RUN, from this machine, and list each row that differs.

    The run must have finished or be stopped. Rows that it left unknown get their outcome from what is read. Exits
    with 6 if the workspace is not as reported.
    """
    from rolecall.cli.exit_codes import exit_code_of_verification
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.terminal.console import OutputMode
    from rolecall.cli.views.verify_view import show_verification
    from rolecall.engine.stop_signal import StopSignal

    config, shared = _config("runs verify", "rolecall_submit"), pop_shared(options)
    from rolecall.cluster.database.operator_database import open_operator_database
    from rolecall.cluster.runs.records import parse_run_id, read_record
    from rolecall.cluster.runs.reports import verify_database_run

    run_id, stop = parse_run_id(run), StopSignal()

    async def verify() -> "VerifyResult":
        from dataclasses import replace

        async with open_operator_database(config) as database:
            record = await read_record(database, run_id)
            context = open_workspace(find_workspace(workspaces, record.workspace), shared)
            app = replace(context.app, stop=stop)
            return await verify_database_run(database, run_id, out or Path(f"run-{run_id}"), app, wait=not no_wait)

    result = event_loop.run(verify(), stop)
    code = exit_code_of_verification(result)
    show_verification(result, code, OutputMode(**{name: shared[name] for name in OutputMode._fields}))
    return code


@click.command("runs undo", cls=DocumentedCommand, short_help="Submit the undo of a run of the database.")
@run_argument
@workspaces_option
@click.option(
    "--include-inferred",
    is_flag=True,
    help="Also the rows whose change is only inferred (evidence 'inferred'): some users may never have had the role.",
)
@reason_option
@wait_option
@yes_option
@shared_options("rate", "concurrency", "max_attempts", "retry_backoff", "max_failures", "outage_timeout")
@shared_options("room_cache", "read_roles", "message_evidence", *CONNECTION_OPTIONS, *OUTPUT_OPTIONS)
def runs_undo(
    run: str, workspaces: Path | None, include_inferred: bool, reason: str, wait: bool, yes: bool, **options: Any
) -> int:
    """Submit a run that restores the roles which the run RUN is known to have taken away.

    It is a run of its own, for the workers; the last line on stdout is its id.
    """
    from rolecall.app.run_job import RunRequest
    from rolecall.cli.submission import submit_and_report
    from rolecall.cli.terminal import event_loop

    config, shared = _config("runs undo", "rolecall_submit"), pop_shared(options)
    from rolecall.cluster.runs.records import RunRecord, parse_run_id, read_record
    from rolecall.cluster.runs.reports import undo_database_run

    run_id, request = parse_run_id(run), RunRequest(reason=parse_reason(reason), is_unattended=yes)

    async def read(database: "OperatorDatabase") -> RunRecord:
        return await read_record(database, run_id)

    entry = find_workspace(workspaces, with_database("runs undo", "rolecall_report", read).workspace)
    context = open_workspace(entry, shared, assume_yes=yes)

    async def submit(database: "OperatorDatabase") -> "Submitted":
        return await undo_database_run(database, run_id, entry, request, context.app, inferred=include_inferred)

    return event_loop.run(submit_and_report(config, submit, context, wait=wait), context.app.stop)
