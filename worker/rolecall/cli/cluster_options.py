"""The options of commands on the runs of a database, and what they open."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rolecall.cli.options import SHARED_OPTIONS

if TYPE_CHECKING:  # the libraries of the distributed mode are installed with the extra only
    from rolecall.cli.context import CommandContext
    from rolecall.cluster.database.operator_database import OperatorDatabase
    from rolecall.cluster.workspaces_file import WorkspaceEntry

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")

ENGINE_OPTIONS = (
    "rate",
    "concurrency",
    "max_attempts",
    "retry_backoff",
    "max_failures",
    "outage_timeout",
    "room_cache",
    "read_roles",
    "message_evidence",
)
"""The shared options that a run of the database keeps for its workers."""
CONNECTION_OPTIONS = ("connect_timeout", "timeout")
OUTPUT_OPTIONS = ("quiet", "log_format", "json")

run_argument = click.argument("run", metavar="RUN")

workspaces_option = click.option(
    "--workspaces",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The workspaces, with the places of their tokens: a workspaces.toml.",
)
workspace_option = click.option(
    "--workspace",
    metavar="NAME",
    help="The workspace, by its name in the file of workspaces. Default: the only one there.",
)
out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The directory for the files. Default: run-RUN in the working directory.",
)
shard_rows_option = click.option(
    "--shard-rows",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Rows of a shard, about: the part of a run that one worker takes at a time. Whole rooms stay together. "
    "Default: 200, and down to 20 where the live workers would get fewer than eight shards each.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask before the first row is sent.")
wait_option = click.option("--wait", is_flag=True, help="Wait for the end of the run, and exit as 'rolecall run' does.")


def shared_options(*names: str) -> Callable[[Command], Command]:
    """Add some of the shared options."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = SHARED_OPTIONS[name](command)
        return command

    return add


def pop_shared(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the shared options from those of a command, and return them."""
    return {name: options.pop(name) for name in list(options) if name in SHARED_OPTIONS}


def find_workspace(workspaces: Path | None, name: str | None) -> "WorkspaceEntry":
    """Return the named workspace of the file, or the only one. Raises OperatorError."""
    from rolecall.app.errors import OperatorError
    from rolecall.cli.config.trusted_workspaces import require_trusted_workspaces
    from rolecall.cli.terminal import console
    from rolecall.cluster.workspaces_file import read_workspaces, workspace_named
    from rolecall.models import Advice

    if workspaces is None:
        raise OperatorError("No file of workspaces is named.", Advice.NAME_WORKSPACES)
    entries = read_workspaces(workspaces, console.print_warning)
    require_trusted_workspaces(workspaces, entries)
    if name is None:
        if len(entries) > 1:
            raise click.UsageError(f"--workspace is missing: {workspaces} has {', '.join(entries)}")
        name = next(iter(entries))
    return workspace_named(entries, name, workspaces)


def open_workspace(entry: "WorkspaceEntry", shared: Mapping[str, Any], *, assume_yes: bool = False) -> "CommandContext":
    """Create the context of a command for a workspace of the file. Raises RolecallError."""
    import os

    from rolecall.cli.context import create_context
    from rolecall.cli.terminal import console

    credentials = entry.load_credentials(os.environ, console.print_warning)
    flags = {**shared, "allow_http": entry.allow_http, "ca_file": entry.ca_file}
    return create_context(flags, entry.url, credentials, assume_yes=assume_yes)


def with_database(command: str, role: str, work: "Callable[[OperatorDatabase], Awaitable[T]]") -> T:
    """Run some work on the database of the environment; `role`: whose rights it needs. Raises RolecallError."""
    from rolecall.cli.config.database_url import load_database_config
    from rolecall.cli.terminal import console, event_loop

    config = load_database_config(command, console.print_warning, role=role)
    from rolecall.cluster.database.operator_database import open_operator_database

    async def run() -> T:
        async with open_operator_database(config) as database:
            return await work(database)

    return event_loop.run(run())
