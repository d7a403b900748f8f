"""`rolecall compare`: which rows of two runs have another outcome."""

from pathlib import Path

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option


@click.command(cls=DocumentedCommand, short_help="Compare the outcomes of two runs, or of a check and a run.")
@click.argument("before", metavar="A", type=click.Path(exists=True, path_type=Path))
@click.argument("after", metavar="B", type=click.Path(exists=True, path_type=Path))
@json_option
def compare(before: Path, after: Path, json: bool) -> int:
    """Compare the run in A with the run in B: directories, or reports in them. One of them may be a check.

    Exits with 6 if a pair has another outcome, or is in one of them only.
    """
    from rolecall.app.compare_runs import compare_runs
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.compare_view import comparison_json, comparison_lines

    folders = [path if path.is_dir() else path.parent for path in (before, after)]
    comparison = event_loop.run(compare_runs(*folders))
    code = ExitCode.DRIFT if comparison.differing else ExitCode.OK
    if json:
        console.print_json(comparison_json(comparison, code))
    else:
        for line in comparison_lines(comparison):
            console.print_result(line)
    return code
