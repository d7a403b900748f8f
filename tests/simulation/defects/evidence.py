"""Defects of prior states and of evidence."""

from collections.abc import Callable
from typing import Any

from rolecall.engine import row_call, row_processor, settlement
from rolecall.engine.directory import doubt_settlement, role_reader, role_verify
from rolecall.engine.directory.lookups import RoleListing, RoomHolders
from rolecall.engine.settlement import Messages
from rolecall.models import UNKNOWN_PRIOR
from rolecall.rocketchat.error_table import USER_NOT_IN_ROOM
from tests.simulation.defects.registry import Replacement, defect


@defect
def _prior_skipped_on_resume() -> list[Replacement]:
    """Skip the prior state of a row in doubt on resume."""
    right = row_call.RowCall.start.__func__  # type: ignore[attr-defined]  # a class method

    def start(cls: Any, target: Any, row: Any) -> Any:
        return right(cls, target, row._replace(prior=UNKNOWN_PRIOR) if row.in_doubt else row)

    return [(row_call.RowCall, "start", classmethod(start))]


def _finding(find: Callable[..., Messages]) -> list[Replacement]:
    return [(module, "find_change", find) for module in (row_processor, doubt_settlement)]


@defect
def _absent_message_proves() -> list[Replacement]:
    """Take an absent message as proof."""
    return _finding(lambda *_: Messages.OURS)


@defect
def _message_of_another_account() -> list[Replacement]:
    """Accept another account's message."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any, username: str = "") -> Messages:
        return Messages.NONE if right(messages, prior, operation, username) is Messages.NONE else Messages.OURS

    return _finding(find)


@defect
def _message_of_another_user() -> list[Replacement]:
    """Accept a message about another user."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any, username: str = "") -> Messages:
        return right([each._replace(username=prior.username) for each in messages], prior, operation, username)

    return _finding(find)


@defect
def _old_messages_believed() -> list[Replacement]:
    """Believe messages that are older than the reading."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any, username: str = "") -> Messages:
        return right(messages, prior._replace(read_at=0 if prior.read_at is not None else None), operation, username)

    right_messages = role_reader.RoleReader.messages

    async def messages(self: Any, room_id: str, since: int) -> Any:
        return await right_messages(self, room_id, 0)

    return [*_finding(find), (role_reader.RoleReader, "messages", messages)]


@defect
def _only_the_present_account() -> list[Replacement]:
    """Know only the present account after a resume as another one."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any, username: str = "") -> Messages:
        return right(messages, prior._replace(accounts=prior.accounts[-1:]), operation, username)

    return _finding(find)


@defect
def _doubt_ignored() -> list[Replacement]:
    """Settle a row in doubt by 'nothing to do' alone."""
    right = settlement.settle

    def settle(case: Any) -> Any:
        return right(case._replace(in_doubt=False) if case.ending is settlement.Ending.NOOP else case)

    return [(row_processor, "settle", settle)]


@defect
def _roles_prove_for_ever() -> list[Replacement]:
    """Take a role that is gone as proof, however long ago the attempt was."""

    def prove(attempted_at: Any, now: int) -> bool:
        return attempted_at is not None

    return [(module, "do_roles_prove", prove) for module in (row_processor, doubt_settlement)]


@defect
def _present_role_settles() -> list[Replacement]:
    """Settle a row in doubt at once by a role that is as before."""
    return [(role_verify, "arrives_until", lambda doubt, late_arrival: 0)]


@defect
def _unreadable_means_no_role() -> list[Replacement]:
    """Take a room whose roles cannot be read as one without roles."""
    right = role_reader.RoleReader.holders

    async def holders(self: Any, room_id: str, *, explain: bool = False) -> Any:
        room = await right(self, room_id, explain=explain)
        return RoomHolders({}, None) if isinstance(room, role_reader.Unreadable) else room

    return [(role_reader.RoleReader, "holders", holders)]


@defect
def _role_without_description() -> list[Replacement]:
    """Believe a list of roles that leaves the role out."""

    async def contains(self: RoleListing, role: str) -> bool:
        return True

    return [(RoleListing, "contains", contains)]


@defect
def _stranger_is_settled() -> list[Replacement]:
    """Take a member without roles as a user who is not in the room."""
    right = role_reader.RoleReader._membership

    async def membership(self: Any, room_id: str, user_ids: Any) -> Any:
        found = await right(self, room_id, user_ids)
        return {user: each._replace(is_member=False, reason=USER_NOT_IN_ROOM.reason) for user, each in found.items()}

    return [(role_reader.RoleReader, "_membership", membership)]


@defect
def _refusal_after_a_doubt() -> list[Replacement]:
    """Fail a row that was refused after a lost answer."""
    right = settlement.settle

    def settle(case: Any) -> Any:
        is_refused = case.ending is settlement.Ending.EXHAUSTED
        return right(case._replace(in_doubt=False) if is_refused else case)

    return [(row_processor, "settle", settle)]
