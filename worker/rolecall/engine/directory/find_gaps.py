"""Why a lookup is incomplete, and which permission would fix it."""

from rolecall.models import LookupGap
from rolecall.rocketchat.error_table import FORBIDDEN, ROOM_ARCHIVED, ROOM_NOT_FOUND, ROOM_NOT_JOINED, USER_NOT_FOUND
from rolecall.rocketchat.response_classifier import CallResult

ROOMS_NOT_SHOWN = "rooms_not_shown"
ADDRESS_NOT_FOUND = "address_not_found"
ROOMS_NOT_LISTED = "rooms_not_listed"
USERS_NOT_LISTED = "users_not_listed"
NOT_READ = "not_read"

GAP_HINTS = {
    ROOMS_NOT_SHOWN: "the account may not see the rooms of others: give its role 'view-other-user-channels'",
    USER_NOT_FOUND.reason: "no such user, or deleted: check the spelling",
    ADDRESS_NOT_FOUND: "no user with this address is shown: searching addresses takes 'view-d-room' and "
    "'view-full-other-user-info'; or give the id or @name",
    ROOM_NOT_JOINED.reason: "the account is not a member, so the roles are not shown: join first, or look up the "
    "users with --users, which needs no membership",
    ROOM_NOT_FOUND.reason: "no such room of this kind, or a private group that the account is not a member of",
    ROOM_ARCHIVED.reason: "an archived room does not show its roles: unarchive it, or look up the users with --users",
    ROOMS_NOT_LISTED: "the account may not list all private groups: give its role 'view-room-administration'",
    USERS_NOT_LISTED: "the account may not list users: give its role 'view-d-room'",
    FORBIDDEN.reason: "the account may not read this: check its permissions",
    NOT_READ: "the workspace did not answer as expected: try again",
}
"""Every reason why rows may be missing, with what an operator can do about it."""


def to_gap(result: CallResult, what: str) -> LookupGap:
    """Return why `what` could not be read, from the result of its call."""
    reason = result.rule.reason
    if reason in GAP_HINTS:
        return LookupGap(reason, what)
    return LookupGap(NOT_READ, what, f"{reason}: {result.message}" if result.message else reason)
