"""`rolecall check`: predict the outcome of each row; changes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli.guard_options import GUARDS, limit_options, removal_limits
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import JobSource, job_options, operation_option, reading_options, report_options
from rolecall.rocketchat.operations import OPERATIONS

if TYPE_CHECKING:  # imported when the command runs
    from rolecall.app.check_job import CheckRequest
    from rolecall.models import CsvStyle


@click.command(cls=DocumentedCommand, short_help="Predict what a run would do; changes nothing.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The check's directory. Default: checks/<job name>/<start>/, or the newest unfinished check of this job.",
)
@click.option(
    "--save-plan",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a plan, which 'rolecall run JOB --plan FILE' follows.",
)
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit with 6 where a run would change something, or where that could not be predicted; 0 is nothing to do.",
)
@operation_option
@job_options
@limit_options
@report_options
@reading_options
def check(
    source: JobSource,
    out: Path | None,
    save_plan: Path | None,
    exit_code: bool,
    operation: str,
    report_format: tuple[str, ...],
    csv_style: "CsvStyle | None",
    **shared: Any,
) -> int:
    """Read JOB and the roles in the workspace, and predict the outcome of each row; change nothing.

    The prediction has the format of a run's report, and reads the roles as a run does.
    """
    from rolecall.app.check_job import CheckRequest

    limits = removal_limits({name: shared.pop(name) for name in GUARDS}, unattended=True)
    request = CheckRequest(OPERATIONS[operation], report_format, save_plan, csv_style, limits)
    return run_check(source, out, request, shared, as_question=exit_code)


def run_check(
    source: JobSource,
    out: Path | None,
    request: "CheckRequest",
    shared: Mapping[str, Any],
    *,
    as_question: bool = False,
) -> int:
    """Check a job, as `check` and `run --dry-run` do; `as_question`: the exit code says whether there is work."""
    from rolecall.app.check_job import check_job
    from rolecall.cli.context import open_context
    from rolecall.cli.exit_codes import exit_code_of_check
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.views.run_view import show_check

    context = open_context(shared)
    with source.open() as opened:
        result = event_loop.run(check_job(opened, out, request, context.app), context.app.stop)
    code = exit_code_of_check(result, as_question=as_question)
    show_check(result, str(source), code, context.output)
    return code
