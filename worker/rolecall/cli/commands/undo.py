"""`rolecall undo`: restore exactly the roles that a run took away."""

from pathlib import Path
from typing import Any

import click

from rolecall.cli.guard_options import parse_reason, reason_option
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import run_options
from rolecall.models import CsvStyle


@click.command(cls=DocumentedCommand, short_help="Restore exactly the roles that a run took away.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--include-inferred",
    is_flag=True,
    help="Also the rows whose change is only inferred (evidence 'inferred'): some users may never have had the role.",
)
@reason_option
@click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
@run_options
def undo(
    folder: Path,
    include_inferred: bool,
    reason: str,
    yes: bool,
    report_format: tuple[str, ...],
    csv_style: CsvStyle | None,
    **shared: Any,
) -> int:
    """Restore the role of the rows that the run in DIR is known to have taken away.

    The undo is a run of its own in DIR/undo, with a store and reports: the same command continues it, and is refused
    once it is complete.
    """
    from rolecall.app.run_job import RunRequest
    from rolecall.app.undo_run import undo_run
    from rolecall.cli.context import open_context
    from rolecall.cli.exit_codes import exit_code_of_run
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.views.run_view import show_run

    why = parse_reason(reason)
    context = open_context(shared, assume_yes=yes)
    request = RunRequest(formats=report_format, csv=csv_style, exit_code_of=exit_code_of_run, reason=why)
    work = undo_run(folder, request, context.app, inferred=include_inferred)
    result = event_loop.run(work, context.app.stop)
    code = exit_code_of_run(result)
    show_run(result, code, context.reporter)
    return code
