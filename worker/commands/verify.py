"""`rolecall verify`: read the roles back and compare them with a run's report."""

import os
from pathlib import Path
from typing import Any

import click

from worker.commands.options import reading_options


@click.command(short_help="Read the roles back and compare them with the report.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@reading_options
def verify(folder: Path, **shared: Any) -> int:
    """Read the roles back for the run in DIR, once per room or per user, and list each row that is otherwise.

    Rows that the run left unknown are settled by what is read. Ends with 6 where the workspace is not as reported.
    """
    from worker.commands.settings import credentials
    from worker.commands.terminal import console, loop
    from worker.commands.workflows import verifying
    from worker.commands.workflows.manner import manner

    login = credentials.asked_login(console.warn)
    request = verifying.Request(*manner(shared))
    return loop.run(verifying.verify(folder, request, login, os.environ))
