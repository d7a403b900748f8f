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

    from worker.commands.exits import Exit, Refusal
    from worker.commands.workflows import standing
    from worker.commands.workflows.statusview import as_text, show
    from worker.engine.holding import LEDGER, no_run
    from worker.ledger.interface import LedgerFailed, UnusableLedger

    if not (folder / LEDGER).is_file():
        raise Refusal(no_run(folder))
    try:
        found = standing.look(folder, time.time())
    except UnusableLedger as refusal:
        raise Refusal(str(refusal)) from None
    except (LedgerFailed, OSError) as error:
        raise Refusal(f"The run in {folder} cannot be read: {error}.") from None
    if found is None:
        raise Refusal(f"{folder} holds a run that has not begun.")
    if json:
        click.echo(as_text(found))
    else:
        show(found, sys.stdout)
    return Exit.DONE
