"""`rolecall status`: look at a run from another terminal, without disturbing it."""

import sys
from pathlib import Path

import click


@click.command(short_help="Look at a run that goes on, or at one that has ended.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", is_flag=True, help="One JSON object, for programs.")
def status(folder: Path, json: bool) -> int:
    """Show how the run in DIR stands: how far it is, what it waits for, how long it will take, how it ended."""
    import time

    from rolecall.app import run_status
    from rolecall.app.open_run import no_run
    from rolecall.cli.exit_codes import ExitCode, OperatorError
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.views.status_view import as_text, show
    from rolecall.store.base import InvalidStoreError, StoreError
    from rolecall.store.sqlite.store import FILE_NAME

    if not (folder / FILE_NAME).is_file():
        raise OperatorError(no_run(folder))
    try:
        found = event_loop.run(run_status.read_status(folder, time.time()))
    except InvalidStoreError as refusal:
        raise OperatorError(str(refusal)) from None
    except (StoreError, OSError) as error:
        raise OperatorError(f"The run in {folder} cannot be read: {error}.") from None
    if found is None:
        raise OperatorError(f"{folder} holds a run that has not begun.")
    if json:
        click.echo(as_text(found))
    else:
        show(found, sys.stdout)
    return ExitCode.DONE
