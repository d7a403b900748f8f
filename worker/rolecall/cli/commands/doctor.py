"""`rolecall doctor`: examine the workspace and the account; rehearse a role change in a test room."""

from typing import TYPE_CHECKING, Any

import click

from rolecall.cli.help import DocumentedCommand
from rolecall.cli.options import reading_options

if TYPE_CHECKING:  # imported when the command runs
    from collections.abc import Callable

    from rolecall.app.rehearsal import Rehearsal


@click.command(cls=DocumentedCommand, short_help="Examine the workspace and the account before a run.")
@click.argument("room", metavar="[ROOM USER]", required=False)
@click.argument("user", metavar="", required=False)
@click.option(
    "--rehearse",
    is_flag=True,
    help="Give and take the leader role of USER (@name or id) in the test room ROOM (#name or id), and compare.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the rehearsal.")
@reading_options
def doctor(room: str | None, user: str | None, rehearse: bool, yes: bool, **shared: Any) -> int:
    """Examine address, TLS, proxy, token, account, permissions, roles, rate limit and what can be read: a line each.

    It only reads, and uses up the rate limit window of one method to see whether the limit is enforced. With
    --rehearse ROOM USER it makes real role changes, compares every answer with what Rolecall expects, and takes the
    role again.
    """
    from rolecall.app.doctor import examine
    from rolecall.app.rehearsal import rehearse as rehearse_changes
    from rolecall.cli.context import open_context
    from rolecall.cli.terminal import event_loop
    from rolecall.cli.views.doctor_view import show_findings

    if rehearse is not (user is not None) or (room is not None and user is None):
        raise click.UsageError("a rehearsal takes a test room and a test user: --rehearse '#room' @user")
    context = open_context(shared, assume_yes=yes)
    findings = examine(context.app)
    if rehearse and room is not None and user is not None:
        findings = rehearse_changes(context.app, room, user, _confirmation(assume_yes=yes))
    return event_loop.run(show_findings(findings, context.output))  # a signal ends it: a rehearsal takes the role first


def _confirmation(*, assume_yes: bool) -> "Callable[[Rehearsal], bool]":
    """Return the question before a rehearsal. It raises OperatorError without a terminal."""
    from rolecall.app.errors import OperatorError
    from rolecall.cli.terminal import console

    def confirm(rehearsal: "Rehearsal") -> bool:
        if assume_yes:
            return True
        who = f"@{rehearsal.username} in #{rehearsal.room_name} at {rehearsal.workspace}"
        answer = console.confirm(f"Make {who} leader and take the role again? Members see the messages.")
        if answer is None:
            raise OperatorError("There is no terminal to confirm on, and nothing was sent; --yes sends without it.")
        return answer

    return confirm
