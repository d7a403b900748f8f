"""`rolecall status`: show a run from another terminal, without disturbing it."""

from pathlib import Path

import click

from rolecall.cli.options import json_option


@click.command(short_help="Show a run that is running, or one that has ended.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def status(folder: Path, json: bool) -> int:
    """Show the state of the run in DIR: progress, what it waits for, the time left, how it ended."""
    import sys
    import time

    from rolecall.app.errors import OperatorError
    from rolecall.app.run_status import read_status
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.status_view import show, status_json
    from rolecall.store.base import StoreError

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
