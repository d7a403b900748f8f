"""The outcome that a row would have, from the roles that were read; pure, in the order of the server's checks.

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
"""Roles that may change roles in a room unless an administrator has changed that."""
ROLES_UNREADABLE = "roles_unreadable"
"""Reason of a row that cannot be predicted."""
MEMBERSHIP_NOT_SEEN = "membership_not_seen"
"""Reason of a row whose user may not be a member, so that the server would refuse it."""
PREDICTION_HINTS = {
    ROLES_UNREADABLE: "the roles in this room could not be read: the run itself will show it",
    MEMBERSHIP_NOT_SEEN: "whether the user is a member could not be read (permission 'view-other-user-channels')",
}
"""What an operator can do about each."""


class Prediction(NamedTuple):
    """The predicted outcome of a row."""

    outcome: Outcome
    """NOT_ATTEMPTED where it cannot be predicted."""
    reason: str
    message: str = ""


class RoomRoles:
    """The roles in one room, as the job's rows would change them one after the other."""

    def __init__(self, operation: Operation, account: Account, allowed: Collection[str], holders: Iterable[RoleHolder]):
        """`holders`: the users with roles in the room. `allowed`: the roles that may change them."""
        self._operation = operation
        self._roles: Mapping[str, frozenset[str]] = {holder.user_id: holder.roles for holder in holders}
        own = self._roles.get(account.user_id, frozenset()) | frozenset(account.roles)
        self._may_change = bool(own & frozenset(allowed))
        self._owners = sum(Role.OWNER in roles for roles in self._roles.values())

    def predict(self, user_id: str) -> Prediction:
        """Predict the next row of this room, provided that its user is a member."""
        operation = self._operation
        if not self._may_change:
            return Prediction(Outcome.FAILED, NOT_ALLOWED.reason)
        has_role = operation.role in self._roles.get(user_id, frozenset())
        if has_role is operation.adds:
            # A user without a role may not be a member, and the server checks that first.
            return Prediction(operation.nothing_to_do, "" if operation.adds else MEMBERSHIP_NOT_SEEN)
        if operation.adds:
            return Prediction(operation.done, MEMBERSHIP_NOT_SEEN)
        if operation.role is Role.OWNER:
            if self._owners == 1:
                return Prediction(Outcome.FAILED, LAST_OWNER.reason)
            self._owners -= 1
        return Prediction(operation.done, "")


def predict_unread(result: CallResult) -> Prediction:
    """Predict the rows of a room whose roles could not be read."""
    if result.rule.scope is ErrorScope.ROOM:
        return Prediction(Outcome.FAILED, result.rule.reason, result.message)
    return Prediction(Outcome.NOT_ATTEMPTED, ROLES_UNREADABLE, f"{result.rule.reason}: {result.message}")


def with_membership(predicted: Outcome, room_id: str, user: UserInfo | CallResult) -> Prediction:
    """Predict a row again, once its user has been read."""
    if isinstance(user, CallResult):
        if user.rule is USER_NOT_FOUND:
            return Prediction(Outcome.FAILED, USER_NOT_FOUND.reason, user.message)
        return Prediction(predicted, MEMBERSHIP_NOT_SEEN)
    if not user.username:
        return Prediction(Outcome.FAILED, USER_NOT_FOUND.reason, "the user has no username")
    if user.rooms is None:
        return Prediction(predicted, MEMBERSHIP_NOT_SEEN)
    if all(room.room_id != room_id for room in user.rooms):
        return Prediction(Outcome.FAILED, USER_NOT_IN_ROOM.reason)
    return Prediction(predicted, "")
