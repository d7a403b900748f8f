"""`rolecall run`: take the role away from every pair of a job file."""

import os
from pathlib import Path
from typing import Any

import click

from worker.commands.options import operation_option, run_options
from worker.workspace.operations import OPERATIONS


@click.command(short_help="Take the role away from every pair of a job file.")
@click.argument("job", metavar="JOB")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The run's folder. Without it: runs/<job name>/<start>/, or the newest unfinished run of this very job.",
)
@operation_option
@click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
@run_options
def run(
    job: str,
    out: Path | None,
    yes: bool,
    report_format: tuple[str, ...],
    operation: str,
    allow_http: bool,
    ca_file: str | None,
    connect_timeout: float,
    timeout: float,
    **settings: Any,
) -> int:
    """Take the leader role away from every (roomId, userId) pair in JOB, or do another --operation.

    JOB is a CSV file with a header, a JSON array or JSONL, also gzipped, or - for stdin. The same command again goes
    on with an unfinished run. ROCKETCHAT_URL, ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN (or
    ROCKETCHAT_AUTH_TOKEN_FILE) come from the environment, a .env or rolecall.toml. Every option is also a variable,
    such as ROLECALL_RATE.
    """
    from worker.commands import console, credentials, loop, mainjob, settings_file
    from worker.commands.connection import Reach
    from worker.engine.settings import Settings

    login = credentials.find_login(os.environ, settings_file.read_settings_file(), console.warn)
    request = mainjob.Request(
        Settings(**settings),  # the other flags bear the names of its fields
        OPERATIONS[operation],
        report_format,
        assume_yes=yes,
        reach=Reach(allow_http, connect_timeout, timeout, ca_file),
    )
    return loop.run(mainjob.perform(job, out, request, login, os.environ))
