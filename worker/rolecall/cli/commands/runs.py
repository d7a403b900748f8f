"""`rolecall runs`: list the runs below the working directory."""

from pathlib import Path

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option


@click.command(cls=DocumentedCommand, short_help="List the runs here, the newest first.")
@click.argument("base", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, metavar="N", help="At most N.")
@click.option("--checks", is_flag=True, help="List checks instead of runs.")
@json_option
def runs(base: Path, limit: int, checks: bool, json: bool) -> int:
    """List the runs in DIR/runs and DIR/offboardings (DIR: the working directory), the newest first.

    The column 'where' is what status, report, verify and undo take. A run whose --out names another directory is not
    found.
    """
    import time

    from rolecall.app.run_list import list_runs
    from rolecall.app.run_paths import RunKind
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console, event_loop
    from rolecall.cli.views.runs_view import runs_json, runs_lines

    kinds = (RunKind.CHECK,) if checks else (RunKind.RUN, RunKind.OFFBOARDING)
    found = event_loop.run(list_runs(base, time.time(), limit=limit, kinds=kinds))
    if json:
        console.print_json(runs_json(found))
    elif found:
        for line in runs_lines(found):
            console.print_result(line)
    else:
        console.print_info(f"There are no {'checks' if checks else 'runs'} below {base}.")
    return ExitCode.OK
