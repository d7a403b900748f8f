"""The outcome that a row would have, from the roles that were read; pure, in the order in which a run decides.

The order: what the reading settles without a call (the user, the membership, the role), the permission, the last owner.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from rolecall.engine.directory.role_reader import ROLES_UNREADABLE, RoleReading, Unreadable, outcome_of_reading
from rolecall.models import Outcome, PriorState
from rolecall.rocketchat.error_table import LAST_OWNER, NOT_ALLOWED
from rolecall.rocketchat.operations import Operation, Role
from rolecall.rocketchat.preflight import Account
from rolecall.rocketchat.responses import RoleHolder

USUALLY_ALLOWED = frozenset({"admin", "owner"})
"""Roles that may change roles in a room unless an administrator has changed that."""


class Prediction(NamedTuple):
    """The predicted outcome of a row."""

    outcome: Outcome
    """NOT_ATTEMPTED where it cannot be predicted."""
    reason: str
    message: str = ""


class RoomForecast:
    """The roles in one room, as the job's rows would change them one after the other."""

    def __init__(
        self, operation: Operation, account: Account, allowed: Collection[str], holders: Mapping[str, RoleHolder]
    ) -> None:
        """`holders`: the users with roles in the room, by id. `allowed`: the roles that may change them."""
        self._operation = operation
        own = holders[account.user_id].roles if account.user_id in holders else frozenset()
        self._may_change = bool((own | frozenset(account.roles)) & frozenset(allowed))
        self._owners = sum(Role.OWNER in holder.roles for holder in holders.values())

    def predict(self, reading: RoleReading) -> Prediction:
        """Predict the next row of this room from the state of its user."""
        if settled := outcome_of_reading(reading, self._operation):
            return Prediction(*settled)
        if reading.prior.state is PriorState.UNKNOWN:
            return Prediction(Outcome.NOT_ATTEMPTED, ROLES_UNREADABLE)
        if not self._may_change:
            return Prediction(Outcome.FAILED, NOT_ALLOWED.reason)
        if not self._operation.adds and self._operation.role is Role.OWNER:
            if self._owners == 1:
                return Prediction(Outcome.FAILED, LAST_OWNER.reason)
            self._owners -= 1
        return Prediction(self._operation.done, reading.reason)


def predict_unread(room: Unreadable) -> Prediction:
    """Predict the rows of a room whose roles could not be read."""
    if room.rejects_room:
        return Prediction(Outcome.FAILED, room.reason, room.message)
    return Prediction(Outcome.NOT_ATTEMPTED, ROLES_UNREADABLE, f"{room.reason}: {room.message}")
