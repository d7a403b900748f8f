"""What a row would come to, from the roles that were read; pure, in the order in which the server looks.

The order: room found and visible, archived, user exists, permission, membership, role.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from rolecall.models import Outcome
from rolecall.rocketchat.error_table import LAST_OWNER, NOT_ALLOWED, USER_NOT_FOUND, USER_NOT_IN_ROOM, ErrorScope
from rolecall.rocketchat.operations import Operation, Role
from rolecall.rocketchat.preflight import Account
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import RoleHolder, UserInfo

USUALLY_ALLOWED = frozenset({"admin", "owner"})
"""Roles that may change roles in a room unless an administrator has said otherwise."""
ROLES_UNREADABLE = "roles_unreadable"
"""Reason of a row that nothing can be said of."""
MEMBERSHIP_NOT_SEEN = "membership_not_seen"
"""Reason of a row whose user may be no member, so that the server would refuse it."""
PREDICTION_HINTS = {
    ROLES_UNREADABLE: "the roles in this room could not be read: the run itself will tell",
    MEMBERSHIP_NOT_SEEN: "whether the user is a member could not be read (permission 'view-other-user-channels')",
}
"""What a person can do about each."""


class Prediction(NamedTuple):
    """What a row would come to."""

    outcome: Outcome
    """NOT_ATTEMPTED where nothing can be said."""
    reason: str
    message: str = ""


class RoomRoles:
    """The roles in one room as they would be while the job's rows come one after the other."""

    def __init__(self, operation: Operation, account: Account, allowed: Collection[str], holders: Iterable[RoleHolder]):
        """Take what was read: who holds roles here, and the roles that are `allowed` to change them."""
        self._operation = operation
        self._held: Mapping[str, frozenset[str]] = {holder.user_id: holder.roles for holder in holders}
        own = self._held.get(account.user_id, frozenset()) | frozenset(account.roles)
        self._may_change = bool(own & frozenset(allowed))
        self._owners = sum(Role.OWNER in roles for roles in self._held.values())

    def predict(self, user_id: str) -> Prediction:
        """Say what the next row of this room would come to, its user being a member."""
        operation = self._operation
        if not self._may_change:
            return Prediction(Outcome.FAILED, NOT_ALLOWED.reason)
        has_role = operation.role in self._held.get(user_id, frozenset())
        if has_role is operation.adds:
            # Without a role they may be no member at all, and the server would say so first.
            return Prediction(operation.nothing_to_do, "" if operation.adds else MEMBERSHIP_NOT_SEEN)
        if operation.adds:
            return Prediction(operation.done, MEMBERSHIP_NOT_SEEN)
        if operation.role is Role.OWNER:
            if self._owners == 1:
                return Prediction(Outcome.FAILED, LAST_OWNER.reason)
            self._owners -= 1
        return Prediction(operation.done, "")


def predict_unread(verdict: CallResult) -> Prediction:
    """Say what the rows of a room would come to whose roles were refused to us."""
    if verdict.rule.scope is ErrorScope.ROOM:
        return Prediction(Outcome.FAILED, verdict.rule.reason, verdict.message)
    return Prediction(Outcome.NOT_ATTEMPTED, ROLES_UNREADABLE, f"{verdict.rule.reason}: {verdict.message}")


def with_membership(predicted: Outcome, room_id: str, person: UserInfo | CallResult) -> Prediction:
    """Say what a row would come to once its user has been asked for."""
    if isinstance(person, CallResult):
        if person.rule is USER_NOT_FOUND:
            return Prediction(Outcome.FAILED, USER_NOT_FOUND.reason, person.message)
        return Prediction(predicted, MEMBERSHIP_NOT_SEEN)
    if not person.username:
        return Prediction(Outcome.FAILED, USER_NOT_FOUND.reason, "the user has no username")
    if person.rooms is None:
        return Prediction(predicted, MEMBERSHIP_NOT_SEEN)
    if all(room.room_id != room_id for room in person.rooms):
        return Prediction(Outcome.FAILED, USER_NOT_IN_ROOM.reason)
    return Prediction(predicted, "")
