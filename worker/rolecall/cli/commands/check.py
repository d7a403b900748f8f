"""`rolecall check`: predict what a run would come to; changes nothing."""

import os
from pathlib import Path
from typing import Any

import click

from rolecall.cli.options import job_options, operation_option, reading_options, report_format_option
from rolecall.rocketchat.operations import OPERATIONS


@click.command(short_help="Predict what a run would come to; changes nothing.")
@click.argument("job", metavar="JOB", type=click.Path(readable=False, allow_dash=True))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The check's folder. Without it: checks/<job name>/<start>/, or the newest unfinished check of this job.",
)
@click.option(
    "--save-plan",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plan that 'rolecall run JOB --plan FILE' keeps to.",
)
@operation_option
@job_options
@report_format_option
@reading_options
def check(
    job: str,
    out: Path | None,
    save_plan: Path | None,
    operation: str,
    report_format: tuple[str, ...],
    encoding: str,
    room_column: str,
    user_column: str,
    **shared: Any,
) -> int:
    """Read JOB, ask the workspace who has which role, and predict the outcome of each row; change nothing.

    The prediction has the form of a run's report. Each room is read once, users only where their membership matters.
    """
    from rolecall.app import check_job
    from rolecall.cli.config import credentials
    from rolecall.cli.shared_options import split_options
    from rolecall.cli.terminal import console, event_loop
    from rolecall.files.input.job import ReadOptions

    login = credentials.load_credentials(console.print_warning)
    settings, reach, voice = split_options(shared)
    reading = ReadOptions(encoding, room_column, user_column)
    question = check_job.CheckRequest(settings, OPERATIONS[operation], report_format, save_plan, reach, voice, reading)
    return event_loop.run(check_job.check(job, out, question, login, os.environ))
