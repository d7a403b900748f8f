"""What each rule of the table of errors says, beside the responses that it is found by."""

import pytest

from rolecall.models import Outcome
from rolecall.rocketchat.error_table import (
    BY_ERROR_TYPE,
    BY_FOREIGN_STATUS,
    BY_MESSAGE,
    RULES,
    Action,
    Answer,
    ErrorScope,
)

FAILED, UNKNOWN, NOT_ATTEMPTED = Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED
FINISH, RETRY, BACK_OFF, STOP = Action.FINISH, Action.RETRY, Action.BACK_OFF, Action.STOP
REFUSED, NOT_DONE, DOUBT = Answer.REFUSED, Answer.NOT_DONE, Answer.DOUBT
ROW, ROOM, WORKSPACE = ErrorScope.ROW, ErrorScope.ROOM, ErrorScope.WORKSPACE
TABLE = {
    "room_not_found": (REFUSED, FAILED, FINISH, ROOM),
    "room_not_joined": (REFUSED, FAILED, FINISH, ROOM),
    "room_archived": (REFUSED, FAILED, FINISH, ROOM),
    "user_not_found": (REFUSED, FAILED, FINISH, ROW),
    "user_not_in_room": (REFUSED, FAILED, FINISH, ROW),
    "not_allowed": (REFUSED, FAILED, FINISH, ROOM),
    "last_owner": (REFUSED, FAILED, FINISH, ROW),
    "bad_request": (REFUSED, FAILED, FINISH, ROW),
    "two_factor_required": (REFUSED, FAILED, FINISH, ROW),
    "forbidden": (REFUSED, FAILED, FINISH, ErrorScope.CREDENTIALS),
    "rate_limited": (NOT_DONE, FAILED, BACK_OFF, ROW),
    "unauthorized": (NOT_DONE, NOT_ATTEMPTED, STOP, ErrorScope.CREDENTIALS),
    "no_such_route": (DOUBT, UNKNOWN, STOP, ErrorScope.ROUTE),
    "server_error": (DOUBT, UNKNOWN, RETRY, ROW),
    "server_exception": (DOUBT, UNKNOWN, RETRY, ROW),
    "unknown_error": (DOUBT, UNKNOWN, RETRY, ROW),
    "proxy_error": (DOUBT, UNKNOWN, RETRY, WORKSPACE),
    "redirected": (DOUBT, UNKNOWN, RETRY, WORKSPACE),
    "untrusted_answer": (DOUBT, UNKNOWN, RETRY, WORKSPACE),
    "cached_response": (NOT_DONE, FAILED, RETRY, ROW),
    "connect_failed": (NOT_DONE, FAILED, RETRY, WORKSPACE),
    "answer_lost": (DOUBT, UNKNOWN, RETRY, WORKSPACE),
    "timeout": (DOUBT, UNKNOWN, RETRY, WORKSPACE),
    "cancelled_in_flight": (DOUBT, UNKNOWN, RETRY, WORKSPACE),
}
"""What each reason proves, the outcome after the last attempt, what is done next, and what the error concerns."""


@pytest.mark.parametrize("reason", TABLE)
def test_each_rule_says_what_its_response_proves(reason: str) -> None:
    """No rule proves more than its response, ends a run that could go on, or concerns more rows than it must."""
    rule = RULES[reason]
    assert (rule.answer, rule.outcome, rule.action, rule.scope) == TABLE[reason]
    assert rule.reason == reason
    assert rule.hint.strip()


def test_each_reason_of_a_response_stands_in_the_table() -> None:
    """A new rule must state here what it proves."""
    assert set(RULES) == set(TABLE)


@pytest.mark.parametrize(
    ("error_type", "reason"),
    [
        ("error-invalid-room", "room_not_found"),
        ("error-user-not-found", "user_not_found"),
        ("error-action-not-allowed", "not_allowed"),
        ("error-remove-last-owner", "last_owner"),
        ("error-roomid-param-not-provided", "bad_request"),
    ],
)
def test_error_types_of_other_endpoints_and_versions_are_known(error_type: str, reason: str) -> None:
    """What the removal of a leader never sends is named in the same words."""
    assert BY_ERROR_TYPE[error_type].reason == reason


def test_two_errors_of_reads_are_known_by_their_messages() -> None:
    """They have no error type: a user who does not exist, and a list that the account may not read."""
    messages = {message: rule.reason for message, rule in BY_MESSAGE.items()}
    assert messages == {"User not found.": "user_not_found", "error-not-authorized": "forbidden"}


def test_the_statuses_of_proxies_are_those_of_gateways_and_of_cloudflare() -> None:
    """Another status of a proxy has no rule of its own."""
    statuses = [status for status, rule in BY_FOREIGN_STATUS.items() if rule.reason == "proxy_error"]
    assert statuses == [502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527]
