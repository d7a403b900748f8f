"""What follows a submission: the run is reported, and with --wait followed to its end."""

from typing import TYPE_CHECKING

from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.cli.views.database_run_view import (
    database_run_json,
    end_sentence,
    exit_code_of_database_run,
    submitted_json,
    submitted_sentence,
)

if TYPE_CHECKING:  # they need the libraries of the distributed mode
    from collections.abc import Awaitable, Callable

    from rolecall.cli.context import CommandContext
    from rolecall.cluster.database.operator_database import OperatorDatabase
    from rolecall.cluster.runs.submit import Submitted
    from rolecall.store.postgres.connection import DatabaseConfig


async def submit_and_report(
    config: "DatabaseConfig",
    submit: "Callable[[OperatorDatabase], Awaitable[Submitted]]",
    context: "CommandContext",
    *,
    wait: bool,
) -> ExitCode:
    """Submit a run and print its id as the last line on stdout, after its end with `wait`. Raises RolecallError."""
    from rolecall.cluster.database.operator_database import open_operator_database

    async with open_operator_database(config) as database:
        submitted = await submit(database)
        if not context.output.quiet:
            console.print_info(submitted_sentence(submitted))
        code = ExitCode.OK
        further: dict[str, object] = {}
        try:
            if wait:
                code, further = await _follow(database, submitted, context)
        finally:  # also where the database is away meanwhile: the run goes on, and its id is known here only
            if context.output.json:
                console.print_json({**submitted_json(submitted), **further})
            else:
                console.print_result(str(submitted.run_id))
    return code


async def _follow(
    database: "OperatorDatabase", submitted: "Submitted", context: "CommandContext"
) -> tuple[ExitCode, dict[str, object]]:
    """Wait for the end of a run; an interruption ends the waiting, not the run."""
    from rolecall.cluster.runs.records import read_run
    from rolecall.cluster.runs.wait import RunWait

    run_id, reporter = submitted.run_id, context.reporter
    waiting = RunWait(database, await read_run(database, run_id))
    reporter.open_log(None, hide=context.app.credentials.token)
    async with reporter.progress(waiting):
        is_over = await waiting.until_over(context.app.stop, lambda problem: _print_problem(problem, context))
    if not is_over:
        console.print_info(f"Run {run_id} goes on; 'rolecall runs stop {run_id}' stops it.")
        console.mark_interruption_reported()
        return ExitCode.INTERRUPTED, {"exitCode": int(ExitCode.INTERRUPTED)}
    code = exit_code_of_database_run(waiting.run)
    if not context.output.quiet or code is not ExitCode.OK:
        console.print_info(end_sentence(waiting.run))
    content = database_run_json(waiting.run)
    return code, {**(content if isinstance(content, dict) else {}), "exitCode": int(code)}


def _print_problem(problem: str, context: "CommandContext") -> None:
    if problem:
        context.reporter.print_urgent(f"The run waits: {problem}.")
