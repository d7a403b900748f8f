"""`rolecall status`: show a run from another terminal, without disturbing it."""

from pathlib import Path

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option


@click.command(cls=DocumentedCommand, short_help="Show a run that is running, or one that has ended.")
@click.argument(
    "folder", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@json_option
def status(folder: Path | None, json: bool) -> int:
    """Show the state of the run in DIR: progress, what it waits for, the time left, how it ended.

    Without DIR: of the newest run below the working directory.
    """
    import sys
    import time

    from rolecall.app.errors import OperatorError
    from rolecall.app.run_list import run_folders
    from rolecall.app.run_status import read_status
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.status_view import show, status_json
    from rolecall.store.base import StoreError

    if folder is None:
        folder = next(iter(run_folders(Path())), None)
        if folder is None:
            raise OperatorError("There are no runs below the working directory: name a directory.")
    try:
        found = event_loop.run(read_status(folder, time.time()))
    except OSError as error:
        raise OperatorError(f"The run in {folder} cannot be read: {error.filename}: {error.strerror}.") from None
    except StoreError as error:
        raise OperatorError(f"The run in {folder} cannot be read: {error}.") from None
    if found is None:
        raise OperatorError(f"{folder} contains a run that has not begun.")
    if json:
        console.print_json(status_json(found))
    else:
        show(found, sys.stdout)
    return ExitCode.OK
