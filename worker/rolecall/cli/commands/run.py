"""`rolecall run`: take the role away from every pair of a job file."""

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from rolecall.cli.options import job_options, operation_option, run_options
from rolecall.rocketchat.operations import OPERATIONS


@click.command(short_help="Take the role away from every pair of a job file.")
@click.argument("job", metavar="JOB", type=click.Path(readable=False, allow_dash=True))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The run's folder. Without it: runs/<job name>/<start>/, or the newest unfinished run of this very job.",
)
@operation_option
@job_options
@click.option("--dry-run", is_flag=True, help="Predict and change nothing: the same as 'rolecall check'.")
@click.option(
    "--plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Do only what 'rolecall check JOB --save-plan FILE' has planned.",
)
@click.option("--notify", metavar="ROOM", help="Tell the end to #channel, @user or a room id, as the run's account.")
@click.option(
    "--notify-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A file with that target, which may then also be the address of an incoming webhook.",
)
@click.option(
    "--notify-on",
    type=click.Choice(["always", "failure"]),
    default="always",
    show_default=True,
    help="Tell every end, or only those with another exit code than 0.",
)
@click.option(
    "--metrics-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write how it ended in Prometheus' text format (name it *.prom for node_exporter).",
)
@click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
@run_options
def run(
    job: str,
    out: Path | None,
    dry_run: bool,
    plan: Path | None,
    notify: str | None,
    notify_file: Path | None,
    notify_on: str,
    metrics_file: Path | None,
    yes: bool,
    report_format: tuple[str, ...],
    operation: str,
    encoding: str,
    room_column: str,
    user_column: str,
    **shared: Any,
) -> int:
    """Take the leader role away from every (roomId, userId) pair in JOB, or do another --operation.

    JOB is a CSV file with a header, an .xlsx workbook, JSON or JSONL, also gzipped, or - for stdin. The same command
    again goes on with an unfinished run. ROCKETCHAT_URL, ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN (or
    ROCKETCHAT_AUTH_TOKEN_FILE) come from the environment, a .env or rolecall.toml. Every option is also a variable,
    such as ROLECALL_RATE.
    """
    from rolecall.app import check_job, metrics, notifications, run_job
    from rolecall.app.connection import operator_errors
    from rolecall.cli.config import credentials
    from rolecall.cli.exit_codes import OperatorError
    from rolecall.cli.shared_options import split_options
    from rolecall.cli.terminal import console, event_loop
    from rolecall.files.input.job import ReadOptions
    from rolecall.files.plan_file import open_plan

    if plan is not None and (dry_run or shared["retry_failed"]):
        raise click.UsageError("--plan does only what was planned: leave out --dry-run and --retry-failed")
    login = credentials.load_credentials(console.print_warning)
    settings, reach, voice = split_options(shared)
    reading = ReadOptions(encoding, room_column, user_column)
    if dry_run:
        question = check_job.CheckRequest(
            settings, OPERATIONS[operation], report_format, reach=reach, voice=voice, reading=reading
        )
        return event_loop.run(check_job.check(job, out, question, login, os.environ))
    typed = click.get_current_context().get_parameter_source("notify") is ParameterSource.COMMANDLINE
    target = notifications.choose_target(notify, notify_file, typed=typed, allow_http=reach.allow_http)
    notice = notifications.NotifyConfig(target, only_failure=notify_on == "failure")
    monitor = metrics.create_metrics_writer(metrics_file, login.url, operation, job, allow_http=reach.allow_http)
    try:
        with operator_errors():
            planned = open_plan(plan) if plan else None
        request = run_job.RunRequest(
            settings, OPERATIONS[operation], report_format, yes, reach, voice, planned, notice, monitor, reading
        )
        return event_loop.run(run_job.run_job(job, out, request, login, os.environ))
    except OperatorError as refusal:
        if monitor is not None:
            monitor.write(refusal.code)
        raise
