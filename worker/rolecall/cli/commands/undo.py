"""`rolecall undo`: give back exactly what a run took."""

from pathlib import Path
from typing import Any

import click

from rolecall.cli.options import run_options


@click.command(short_help="Give the role back to exactly those a run took it from.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--include-inferred",
    is_flag=True,
    help="Also the rows whose answers were lost and that were found to be done (confirmed_on_retry).",
)
@click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
@run_options
def undo(
    folder: Path,
    include_inferred: bool,
    yes: bool,
    report_format: tuple[str, ...],
    **shared: Any,
) -> int:
    """Give the role back to the rows that the run in DIR is known to have taken it from.

    The undo is a run of its own in DIR/undo, with ledger and report: the same command goes on with it, and once it is
    done it is refused.
    """
    from rolecall.app import run_job, undo_run
    from rolecall.cli.config import credentials
    from rolecall.cli.shared_options import split_options
    from rolecall.cli.terminal import console, event_loop

    url, who = credentials.load_credentials(console.print_warning)
    settings, voice, connection = split_options(shared, url)
    request = run_job.RunRequest(settings, formats=report_format, assume_yes=yes, voice=voice)
    return event_loop.run(undo_run.undo(folder, request, connection, who, inferred=include_inferred))
