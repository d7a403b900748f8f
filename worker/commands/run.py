"""`rolecall run`: take the role away from every pair of a job file."""

import os
from pathlib import Path

import click

from worker.commands.options import run_options
from worker.engine.failures import Threshold


@click.command(short_help="Take the role away from every pair of a job file.")
@click.argument("job", metavar="JOB")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The run's folder. Without it: runs/<job name>/<start>/, or the newest unfinished run of this very job.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
@run_options
def run(
    job: str,
    out: Path | None,
    yes: bool,
    rate: float | None,
    concurrency: int,
    attempts: int,
    backoff: float,
    max_failures: Threshold,
    outage_patience: float,
    grace: float,
    connect_timeout: float,
    timeout: float,
    room_cache: bool,
    retry_failed: bool,
    report_format: tuple[str, ...],
    allow_http: bool,
    ca_file: str | None,
) -> int:
    """Take the leader role away from every (roomId, userId) pair in JOB.

    JOB is a CSV file with a header, a JSON array or JSONL, also gzipped, or - for stdin. The same command again goes
    on with an unfinished run. ROCKETCHAT_URL, ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN (or
    ROCKETCHAT_AUTH_TOKEN_FILE) come from the environment, a .env or rolecall.toml. Every option is also a variable,
    such as ROLECALL_RATE.
    """
    from worker.commands import console, credentials, loop, mainjob, settings_file
    from worker.engine.settings import Settings

    login = credentials.find_login(os.environ, settings_file.read_settings_file(), console.warn)
    settings = Settings(
        rate=rate,
        concurrency=concurrency,
        attempts=attempts,
        backoff=backoff,
        max_failures=max_failures,
        outage_patience=outage_patience,
        grace=grace,
        room_cache=room_cache,
        retry_failed=retry_failed,
    )
    request = mainjob.Request(
        job=job,
        out=out,
        settings=settings,
        formats=report_format,
        assume_yes=yes,
        allow_http=allow_http,
        connect_timeout=connect_timeout,
        timeout=timeout,
        ca_file=ca_file,
    )
    return loop.run(mainjob.perform(request, login, os.environ))
