"""`rolecall find`: write a job file from the live workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import reading_options
from rolecall.rocketchat.operations import Role

if TYPE_CHECKING:  # imported when the command runs
    from collections.abc import Iterable

    from rolecall.app.find_roles import FindRequest
    from rolecall.models import RoleAssignment


@click.command(cls=DocumentedCommand, short_help="Write a job file: who has which role where.")
@click.option("--user", multiple=True, metavar="ID|@NAME|ADDRESS", help="Read this user; repeatable.")
@click.option("--users", metavar="FILE", help="Read the users of a list: one a line, CSV or JSON; - for stdin.")
@click.option("--deactivated", is_flag=True, help="Only users whose account is deactivated; alone, all of them.")
@click.option("--room", multiple=True, metavar="ID|#NAME", help="Only in this room; repeatable.")
@click.option("--rooms", metavar="FILE", help="Only in the rooms of a list: one a line, CSV or JSON; - for stdin.")
@click.option("--all-rooms", is_flag=True, help="In every room that the account may list.")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), default="leader", show_default=True, help="This role."
)
@click.option(
    "--kind",
    type=click.Choice(["groups", "channels"]),
    default="groups",
    show_default=True,
    help="Private groups or public channels.",
)
@click.option("--exclude", multiple=True, metavar="ID|@NAME|#NAME", help="Leave out this user or room; repeatable.")
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The job file to write; the same command continues an unfinished search for it. Default: stdout.",
)
@reading_options
def find(out: Path | None, **options: Any) -> int:
    """Find who has a role in which rooms, and write it as a job file for run and check. Changes nothing.

    With users it reads user by user, which needs no membership in the rooms and works for deactivated accounts. With
    rooms alone it reads room by room, which the account must be a member of. With both it finds what is in both.
    What could not be read is listed on stderr, with the permission that would show it, and leads to exit code 1.
    """
    from rolecall.app import find_roles
    from rolecall.cli.context import open_context
    from rolecall.cli.exit_codes import exit_code_of_find
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.views.find_view import show_find

    if out is None and options["json"]:
        raise click.UsageError("--json prints the summary on stdout, so --out must name a file for the job")
    shared = {name: options.pop(name) for name in list(options) if name not in _QUERY}
    request = _request(out, options)
    if out is not None:
        find_roles.require_new_file(out)
    context = open_context(shared)
    result = event_loop.run(find_roles.find_roles(request, context.app, _write_to_stdout), context.app.stop)
    code = exit_code_of_find(result)
    show_find(result, code, context.output)
    return code


_QUERY = ("user", "users", "room", "rooms", "all_rooms", "deactivated", "role", "kind", "exclude")
"""The options that say what is searched."""


def _request(out: Path | None, options: dict[str, Any]) -> "FindRequest":
    """Read the lists and put the query together. Raises UsageError and RolecallError."""
    from rolecall.app.find_roles import FindRequest, require_words
    from rolecall.engine.directory.find_query import FindQuery
    from rolecall.files.input.id_list import ROOM_COLUMNS, USER_COLUMNS, ListColumns, read_id_list

    whole, lists = ("user", "users", "deactivated", "room", "rooms", "all_rooms"), (options["users"], options["rooms"])
    if not any(options[name] for name in whole):
        raise click.UsageError("name users or rooms: --user, --users, --deactivated, --room, --rooms or --all-rooms")
    if options["all_rooms"] and (options["room"] or options["rooms"]):
        raise click.UsageError("--all-rooms and single rooms exclude each other")
    if lists == ("-", "-"):
        raise click.UsageError("only one list can come from stdin")

    def words(named: tuple[str, ...], path: str | None, columns: ListColumns) -> tuple[str, ...]:
        listed = read_id_list(path, columns) if path is not None else []
        return tuple(dict.fromkeys((*require_words(named), *listed)))

    excluded = require_words(options["exclude"])
    people, rooms = words(options["user"], lists[0], USER_COLUMNS), words(options["room"], lists[1], ROOM_COLUMNS)
    role, kind = Role(options["role"]), options["kind"]
    query = FindQuery(role, kind, people, rooms, options["all_rooms"], options["deactivated"])
    return FindRequest(query, excluded, out)


def _write_to_stdout(rows: "Iterable[RoleAssignment]") -> None:
    """Write the job as UTF-8, with any encoding of the terminal. Raises OutputError on a closed pipe."""
    import codecs
    import sys
    from typing import TextIO, cast

    from rolecall.app.errors import OutputError
    from rolecall.files.output.csv_files import write_find_csv

    try:
        write_find_csv(cast(TextIO, codecs.getwriter("utf-8")(sys.stdout.buffer)), rows)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise OutputError("The reader of the job closed the pipe before its end.") from None
