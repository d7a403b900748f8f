"""`rolecall verify`: read the roles back and compare them with a run's report."""

from pathlib import Path
from typing import Any

import click

from rolecall.cli.options import reading_options


@click.command(short_help="Read the roles back and compare them with the report.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@reading_options
def verify(folder: Path, **shared: Any) -> int:
    """Read the roles back for the run in DIR, once per room or per user, and list each row that is otherwise.

    Rows that the run left unknown are settled by what is read. Ends with 6 where the workspace is not as reported.
    """
    from rolecall.app import verify_run
    from rolecall.cli.config import credentials
    from rolecall.cli.shared_options import split_options
    from rolecall.cli.terminal import console, event_loop

    url, who = credentials.load_credentials(console.print_warning)
    settings, voice, connection = split_options(shared, url)
    request = verify_run.VerifyRequest(settings, voice)
    return event_loop.run(verify_run.verify(folder, request, connection, who))
