"""`rolecall run`: take the role away from every pair of a job file."""

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from worker.commands.options import operation_option, run_options
from worker.workspace.operations import OPERATIONS


@click.command(short_help="Take the role away from every pair of a job file.")
@click.argument("job", metavar="JOB", type=click.Path(readable=False, allow_dash=True))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The run's folder. Without it: runs/<job name>/<start>/, or the newest unfinished run of this very job.",
)
@operation_option
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
    type=click.Choice(["always", "trouble"]),
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
    **shared: Any,
) -> int:
    """Take the leader role away from every (roomId, userId) pair in JOB, or do another --operation.

    JOB is a CSV file with a header, a JSON array or JSONL, also gzipped, or - for stdin. The same command again goes
    on with an unfinished run. ROCKETCHAT_URL, ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN (or
    ROCKETCHAT_AUTH_TOKEN_FILE) come from the environment, a .env or rolecall.toml. Every option is also a variable,
    such as ROLECALL_RATE.
    """
    from worker.commands.exits import Refusal
    from worker.commands.settings import credentials
    from worker.commands.terminal import console, loop
    from worker.commands.workflows import checking, mainjob, monitoring, notifying
    from worker.commands.workflows.connection import refusals
    from worker.commands.workflows.manner import manner
    from worker.files.plan import open_plan

    if plan is not None and (dry_run or shared["retry_failed"]):
        raise click.UsageError("--plan does only what was planned: leave out --dry-run and --retry-failed")
    login = credentials.asked_login(console.warn)
    settings, reach, voice = manner(shared)
    if dry_run:
        question = checking.Question(settings, OPERATIONS[operation], report_format, reach=reach, voice=voice)
        return loop.run(checking.check(job, out, question, login, os.environ))
    typed = click.get_current_context().get_parameter_source("notify") is ParameterSource.COMMANDLINE
    target = notifying.choose_target(notify, notify_file, typed=typed, allow_http=reach.allow_http)
    notice = notifying.Notice(target, only_trouble=notify_on == "trouble")
    monitor = monitoring.watch(metrics_file, login.url, operation, job, allow_http=reach.allow_http)
    try:
        with refusals():
            planned = open_plan(plan) if plan else None
        request = mainjob.Request(
            settings, OPERATIONS[operation], report_format, yes, reach, voice, planned, notice, monitor
        )
        return loop.run(mainjob.perform(job, out, request, login, os.environ))
    except Refusal as refusal:
        if monitor is not None:
            monitor.ended(refusal.code)
        raise
