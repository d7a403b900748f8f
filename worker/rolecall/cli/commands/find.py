"""`rolecall find`: write a job file from the live workspace."""

import os
from pathlib import Path
from typing import Any

import click

from rolecall.cli.exit_codes import OperatorError
from rolecall.cli.options import reading_options
from rolecall.rocketchat.operations import Role


@click.command(short_help="Write a job file: who has which role where.")
@click.option("--user", multiple=True, metavar="ID|@NAME|ADDRESS", help="Ask for this user; may be given often.")
@click.option("--users", metavar="FILE", help="Ask for the users of a list: one a line, CSV or JSON; - for stdin.")
@click.option("--deactivated", is_flag=True, help="Only users whose account is deactivated; alone, all of them.")
@click.option("--room", multiple=True, metavar="ID|#NAME", help="Only in this room; may be given often.")
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
@click.option(
    "--exclude", multiple=True, metavar="ID|@NAME|#NAME", help="Leave out this user or room; may be given often."
)
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The job file to write; the same command goes on with it. Without it: stdout.",
)
@reading_options
def find(
    user: tuple[str, ...],
    users: str | None,
    room: tuple[str, ...],
    rooms: str | None,
    all_rooms: bool,
    deactivated: bool,
    role: str,
    kind: str,
    out: Path | None,
    **more: Any,
) -> int:
    """Find who has a role in which rooms, and write it as a job file for run and check. Changes nothing.

    With users it asks user by user, which needs no membership in the rooms and works for deactivated accounts. With
    rooms alone it asks room by room, which the account must be a member of. With both it finds what is in both.
    What could not be seen is told on stderr, with the permission that would show it, and by exit code 1.
    """
    from rolecall.app import find_roles
    from rolecall.app.connection import operator_errors
    from rolecall.cli.config import credentials
    from rolecall.cli.shared_options import split_options
    from rolecall.cli.terminal import console, event_loop
    from rolecall.engine.directory.find_query import FindQuery
    from rolecall.files.input.id_list import ROOM_COLUMNS, USER_COLUMNS

    if not (user or users or room or rooms or all_rooms or deactivated):
        raise click.UsageError("say whose or where: --user, --users, --deactivated, --room, --rooms or --all-rooms")
    if all_rooms and (room or rooms):
        raise click.UsageError("--all-rooms and single rooms exclude each other")
    if users == rooms == "-":
        raise click.UsageError("only one list can come from stdin")
    left_out = find_roles.usable(more.pop("exclude"))
    with operator_errors():
        people, places = find_roles.chosen(user, users, USER_COLUMNS), find_roles.chosen(room, rooms, ROOM_COLUMNS)
    if out is not None:
        _refuse_taken(out)
    login = credentials.load_credentials(console.print_warning)
    question = FindQuery(Role(role), kind, people, places, all_rooms, deactivated)
    request = find_roles.FindRequest(question, out, left_out, *split_options(more))
    return event_loop.run(find_roles.find_roles(request, login, os.environ))


def _refuse_taken(out: Path) -> None:
    """Refuse a file that is there already, or can never be. Raises Refusal."""
    if os.path.lexists(out):
        raise OperatorError(f"{out} exists and is left as it is; remove it, or name another file with --out.")
    if not out.parent.is_dir():
        raise OperatorError(f"{out} cannot be written: there is no folder {out.parent}.")
