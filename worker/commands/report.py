"""`rolecall report`: write the reports of a run again, from its ledger."""

import sys
from pathlib import Path

import click

from worker.commands.options import report_format_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@report_format_option
def report(folder: Path, report_format: tuple[str, ...]) -> int:
    """Write the reports of the run in DIR again."""
    from worker.commands.exits import Exit, Refusal
    from worker.commands.workflows import reporting
    from worker.engine.holding import existing_run
    from worker.ledger.interface import LedgerFailed, UnusableLedger
    from worker.ledger.lock import RunHeld
    from worker.model import Outcome
    from worker.workspace.operations import OPERATIONS

    try:
        with existing_run(folder) as run:
            is_check = run.identity.operation not in OPERATIONS
            write = reporting.write_predictions if is_check else reporting.write_reports
            write(run, report_format)
            counts = run.ledger.counts()
            first = "Predicted; nothing was changed. " if is_check else ""
            reporting.show(run, f"{first}{reporting.in_words(counts)}", sys.stdout)
    except RunHeld as held:
        raise Refusal(str(held), Exit.HELD) from None
    except UnusableLedger as refusal:
        raise Refusal(str(refusal)) from None
    except (LedgerFailed, OSError) as error:
        raise Refusal(f"The report could not be written: {error}.", Exit.STOPPED) from None
    if any(count.outcome is Outcome.NOT_ATTEMPTED for count in counts):
        return Exit.STOPPED
    return reporting.exit_code(counts, None)
