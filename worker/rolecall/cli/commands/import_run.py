"""`rolecall import`: bring the run of a directory into the database."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli.cluster_options import find_workspace, with_database, workspace_option, workspaces_option
from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import json_option

if TYPE_CHECKING:  # the libraries of the distributed mode are installed with the extra only
    from rolecall.cluster.database.operator_database import OperatorDatabase
    from rolecall.cluster.runs.import_run import ImportedRun


@click.command("import", cls=DocumentedCommand, short_help="Bring the run of a directory into the database.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@workspaces_option
@workspace_option
@json_option
def import_run(folder: Path, workspaces: Path | None, workspace: str | None, json: bool) -> int:
    """Copy the run in DIR into the database: its rows with outcomes and doubts, its sessions. DIR stays as it is.

    A run with rows that are due is stopped in the database until 'rolecall runs resume' lets workers go on with it;
    do not continue it in DIR then. The last line on stdout is its id.
    """
    from rolecall.cli.config.database_url import require_extra
    from rolecall.cli.exit_codes import ExitCode
    from rolecall.cli.terminal import console
    from rolecall.text import plural

    require_extra("import")
    entry = find_workspace(workspaces, workspace) if workspaces is not None else None

    async def copy(database: "OperatorDatabase") -> "ImportedRun":
        from rolecall.cluster.runs import import_run as use_case

        return await use_case.import_run(database, folder, entry)

    imported = with_database("import", "rolecall_submit", copy)
    run_id, rows = imported.run_id, plural(imported.rows, "row")
    if json:
        console.print_json({"run": run_id, "rows": imported.rows, "due": imported.due})
        return ExitCode.OK
    left = f"; {imported.due:,} left, 'rolecall runs resume {run_id}' sends them" if imported.due else ""
    console.print_info(f"Brought in {folder} as run {run_id}: {rows}{left}.")
    console.print_result(str(run_id))
    return ExitCode.OK
