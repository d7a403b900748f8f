"""`rolecall run`: take the role away from every pair of a job file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rolecall.cli.guard_options import guard_options, parse_reason, removal_limits
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import JobSource, job_options, operation_option, run_options
from rolecall.cli.reporting_options import drop_reporting, pop_reporting, reporting_options
from rolecall.rocketchat.operations import OPERATIONS

if TYPE_CHECKING:  # imported when the command runs
    from collections.abc import Coroutine

    from rolecall.app.notifications import NotifyConfig
    from rolecall.app.run_job import RunResult
    from rolecall.cli.context import CommandContext
    from rolecall.models import CsvStyle


class RunOptions(NamedTuple):
    """The options of a run that are not those of the engine, the connection or the output."""

    operation: str
    report_format: tuple[str, ...]
    csv_style: "CsvStyle | None"
    new: bool
    dry_run: bool
    plan: Path | None
    max_removals: Any
    max_removals_per_room: Any
    keep_leaders: int
    reason: str
    yes: bool


@click.command(cls=DocumentedCommand, short_help="Take the role away from every pair of a job file.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The run's directory. Default: runs/<job name>/<start>/, or the newest unfinished run of this very job.",
)
@click.option("--new", is_flag=True, help="Start a new run, and leave an unfinished one of this job as it is.")
@operation_option
@job_options
@click.option("--dry-run", is_flag=True, help="Predict and change nothing: the same as 'rolecall check'.")
@click.option(
    "--plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Do only what 'rolecall check JOB --save-plan FILE' has planned.",
)
@reporting_options
@guard_options
@click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
@run_options
def run(source: JobSource, out: Path | None, **options: Any) -> int:
    """Take the leader role away from every (roomId, userId) pair in JOB, or make another --operation.

    JOB is a CSV file with a header, an .xlsx workbook, JSON or JSONL, also gzipped, or - for stdin; rooms and users by
    id or by name. The same command again continues an unfinished run. ROCKETCHAT_URL, ROCKETCHAT_USER_ID and
    ROCKETCHAT_AUTH_TOKEN (or ROCKETCHAT_AUTH_TOKEN_FILE) come from the environment, a .env or rolecall.toml. Every
    option is also a variable, such as ROLECALL_RATE.
    """
    own = RunOptions(**{name: options.pop(name) for name in RunOptions._fields})
    if own.plan is not None and (own.dry_run or options["retry_failed"]):
        raise click.UsageError("--plan does only what was planned: leave out --dry-run and --retry-failed")
    if own.new and (own.dry_run or out is not None):
        raise click.UsageError("--new starts a run in a directory of its own: leave out --out and --dry-run")
    if own.dry_run:
        from rolecall.app.check_job import CheckRequest
        from rolecall.cli.commands.check import run_check

        drop_reporting(options)
        limits = removal_limits(own._asdict(), unattended=True)
        request = CheckRequest(OPERATIONS[own.operation], own.report_format, csv=own.csv_style, limits=limits)
        return run_check(source, out, request, options)
    return _run(source, out, own, options)


def _run(source: JobSource, out: Path | None, own: RunOptions, shared: dict[str, Any]) -> int:
    """Run a job; its metrics are written in any case, once there are credentials and a usable target."""
    from rolecall.app.run_job import RunRequest, run_job
    from rolecall.cli.config.credentials import load_credentials
    from rolecall.cli.context import create_context
    from rolecall.cli.exit_codes import ExitCode, exit_code_of, exit_code_of_run
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.terminal.early_interrupt import LastAction
    from rolecall.files.plan_file import open_plan
    from rolecall.models import RolecallError

    url, credentials = load_credentials(console.print_warning)
    reporting, why = pop_reporting(shared, url, own.operation, source.path), parse_reason(own.reason)
    code, summary = ExitCode.INTERRUPTED, None
    try:
        context = create_context(shared, url, credentials, assume_yes=own.yes)
        plan = open_plan(own.plan) if own.plan else None
        unattended = own.yes and plan is None and shared["read_roles"]
        limits = removal_limits(own._asdict(), unattended=unattended)
        request = RunRequest(
            OPERATIONS[own.operation],
            own.report_format,
            plan,
            exit_code_of=exit_code_of_run,
            limits=limits,
            reason=why,
            anew=own.new,
            is_unattended=own.yes,
            csv=own.csv_style,
        )
        with LastAction(lambda: reporting.write_end(code)), source.open() as opened:
            work = _finish(run_job(opened, out, request, context.app), reporting.notify, context)
            reporting.write_start()
            result = event_loop.run(work, context.app.stop)
        code, summary = exit_code_of_run(result), result.summary
    except (RolecallError, OSError) as error:
        code = exit_code_of(error)
        raise
    finally:
        reporting.write_end(code, summary.counts if summary is not None else ())
    return code


async def _finish(
    work: "Coroutine[Any, Any, RunResult]", config: "NotifyConfig | None", context: "CommandContext"
) -> "RunResult":
    """Await a run, show its result, and post it."""
    result = await work
    from rolecall.cli.exit_codes import exit_code_of_run
    from rolecall.cli.views.run_view import show_run  # loaded while the rows were sent

    show_run(result, exit_code_of_run(result), context.reporter)
    if config is not None:
        from rolecall.app.notifications import notify

        await notify(result, config, context.app)
    return result
