"""`rolecall report`: write the reports of a run again, from its ledger."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from rolecall.cli.options import report_format_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@report_format_option
def report(folder: Path, report_format: tuple[str, ...]) -> int:
    """Write the reports of the run in DIR again."""
    from rolecall.app import reports
    from rolecall.app.open_run import open_existing_run
    from rolecall.cli.exit_codes import ExitCode, OperatorError
    from rolecall.cli.terminal import event_loop
    from rolecall.models import Outcome
    from rolecall.rocketchat.operations import OPERATIONS
    from rolecall.store.base import Count, InvalidStoreError, StoreError
    from rolecall.store.run_lock import RunLockedError

    async def write_again() -> Sequence[Count]:
        async with open_existing_run(folder) as run:
            is_check = run.identity.operation not in OPERATIONS
            write = reports.write_predictions if is_check else reports.write_reports
            await write(run, report_format)
            counts = await run.store.counts()
            first = "Predicted; nothing was changed. " if is_check else ""
            await reports.show(run, f"{first}{reports.format_counts(counts)}", sys.stdout)
            return counts

    try:
        counts = event_loop.run(write_again())
    except RunLockedError as held:
        raise OperatorError(str(held), ExitCode.HELD) from None
    except InvalidStoreError as refusal:
        raise OperatorError(str(refusal)) from None
    except (StoreError, OSError) as error:
        raise OperatorError(f"The report could not be written: {error}.", ExitCode.STOPPED) from None
    if any(count.outcome is Outcome.NOT_ATTEMPTED for count in counts):
        return ExitCode.STOPPED
    return reports.exit_code(counts, None)
