"""`rolecall report`: write the reports of a run again, from its store."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option, report_options
from rolecall.cli.terminal.console import OutputMode

if TYPE_CHECKING:
    from rolecall.models import CsvStyle


@click.command(cls=DocumentedCommand)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@report_options
@json_option
def report(folder: Path, report_format: tuple[str, ...], csv_style: "CsvStyle | None", json: bool) -> int:
    """Write the reports of the run in DIR again."""
    from rolecall.app.errors import OutputError
    from rolecall.app.reports import rewrite_reports
    from rolecall.cli.exit_codes import exit_code_of_report
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.views.run_view import show_report
    from rolecall.store.base import StoreError

    try:
        summary = event_loop.run(rewrite_reports(folder, report_format, csv_style))
    except (StoreError, OSError) as error:
        raise OutputError(f"The report could not be written: {error}.") from None
    code = exit_code_of_report(summary)
    show_report(summary, code, OutputMode(json=json))
    return code
