"""What an answer means: every row of the server's table, in both forms, and everything that is not in it."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.models import Json, NoReply, Outcome, Reply
from rolecall.rocketchat.error_table import (
    BY_ERROR_TYPE,
    BY_FOREIGN_STATUS,
    BY_NO_REPLY,
    BY_STATUS,
    RULES,
    SERVER_EXCEPTION,
    UNKNOWN_ERROR,
    Action,
    Answer,
    ErrorRule,
    ErrorScope,
)
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation
from rolecall.rocketchat.response_classifier import (
    DEFAULT_RETRY_DELAY,
    CallResult,
    MatchedBy,
    classify,
    classify_read,
    explain,
    rate_limit_delay,
)
from tests.unit.rocketchat.replies import reply

FAILED, UNKNOWN, NOT_ATTEMPTED = Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED

# (error type, the server's words without it, reason, how far it reaches)
REFUSALS = [
    ("error-room-not-found", "The required room does not exist", "room_not_found", ErrorScope.ROOM),
    ("error-room-archived", "The private group, x, is archived", "room_archived", ErrorScope.ROOM),
    ("error-invalid-user", "Invalid user", "user_not_found", ErrorScope.ROW),
    ("error-user-not-in-room", "User is not in this room", "user_not_in_room", ErrorScope.ROW),
    ("error-not-allowed", "Not allowed", "not_allowed", ErrorScope.ROOM),
    (
        "error-room-param-not-provided",
        'The parameter "roomId" or "roomName" is required',
        "bad_request",
        ErrorScope.ROW,
    ),
    ("error-user-param-not-provided", "The required param was not provided", "bad_request", ErrorScope.ROW),
    ("error-invalid-params", "must have required property 'userId'", "bad_request", ErrorScope.ROW),
    ("invalid-params", "must NOT have additional properties", "bad_request", ErrorScope.ROW),
    ("totp-required", "TOTP Required", "two_factor_required", ErrorScope.ROW),
    ("totp-invalid", "TOTP Invalid", "two_factor_required", ErrorScope.ROW),
]
TOO_MANY = (
    "Error, too many requests. Please slow down. You must wait 42 seconds before trying this endpoint again. "
    "[error-too-many-requests]"
)
LOGIN_PAGE = b"<!DOCTYPE html><html><head><style>p {}</style></head><body><h1>Sign in</h1></body></html>"
BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><hr>nginx/1.25.3</body></html>"
NAMES_IN_THE_FACTS = [
    "error-room-not-found",
    "error-room-archived",
    "error-invalid-user",
    "error-user-not-in-room",
    "error-not-allowed",
    "error-room-param-not-provided",
    "error-user-param-not-provided",
    "invalid-params",
    "error-invalid-params",
    "totp-required",
    "error-unauthorized",
    "error-too-many-requests",
]


def told(status: int, body: bytes | Json) -> tuple[Outcome, str, Action]:
    """Classify an answer, in short."""
    meaning = classify(reply(status, body), REMOVE_LEADER).rule
    return meaning.outcome, meaning.reason, meaning.action


@pytest.mark.parametrize("form", ["errorType", "brackets", "brackets and spaces", "both"])
@pytest.mark.parametrize(("error_type", "words", "reason", "scope"), REFUSALS)
def test_a_refusal_is_known_with_and_without_its_field(
    form: str, error_type: str, words: str, reason: str, scope: ErrorScope
) -> None:
    """Each refusal of the table settles its row as failed, by the field or by the brackets, with the server's words."""
    text = words if form == "errorType" else f"{words} [{error_type}]" + (" \n" if "spaces" in form else "")
    field = {"errorType": error_type} if form in ("errorType", "both") else {}
    verdict = classify(reply(400, {"success": False, "error": text, **field}), REMOVE_LEADER)
    meaning = verdict.rule
    assert (meaning.outcome, meaning.reason, meaning.action, meaning.scope) == (FAILED, reason, Action.FINISH, scope)
    assert not meaning.maybe_done
    assert verdict[1:] == (error_type, text, 400)


@pytest.mark.parametrize(
    "body",
    [
        {
            "success": False,
            "error": "User is not a leader [error-user-not-leader]",
            "errorType": "error-user-not-leader",
        },
        {"success": False, "error": "User is not a leader [error-user-not-leader]"},
        {"success": False, "errorType": "error-user-not-leader"},
        {
            "success": False,
            "error": "User is not a leader [error-user-not-leader]",
            "errorType": "error-user-not-leader",
            "details": {"method": "removeRoomLeader"},
            "stack": "Error: ...",
        },
        {"success": False, "error": "User is not a leader [error-user-not-leader]", "details": "text"},
    ],
)
def test_not_a_leader_means_that_there_was_nothing_to_do(body: Json) -> None:
    """Rocket.Chat's typed 400 is 'nothing to do', by the field or by the brackets, also for a row in doubt."""
    assert told(400, body) == (Outcome.NOT_LEADER, "", Action.FINISH)
    assert classify(reply(400, body), REMOVE_LEADER).rule.answer is Answer.NOOP


@pytest.mark.parametrize("status", [200, 401, 403, 404, 422, 429, 500, 502, 503])
def test_not_a_leader_counts_only_in_a_400(status: int) -> None:
    """The same words with another status, or in JSON without `success: false`, do not settle a row."""
    words = {"success": False, "error": "User is not a leader [error-user-not-leader]"}
    rule = classify(reply(status, words), REMOVE_LEADER).rule
    assert rule.answer in (Answer.DOUBT, Answer.NOT_DONE, Answer.REFUSED)
    assert rule.outcome is not Outcome.NOT_LEADER
    foreign = classify(reply(400, {"error": "x [error-user-not-leader]"}), REMOVE_LEADER).rule
    assert (foreign.reason, foreign.answer) == ("untrusted_answer", Answer.DOUBT)


@pytest.mark.parametrize("kind", ["groups", "channels"])
@pytest.mark.parametrize(
    ("method", "reason", "scope"),
    [
        ("removeModerator", "user_not_in_room", ErrorScope.ROW),
        ("removeOwner", "user_not_in_room", ErrorScope.ROW),
        ("removeLeader", "room_not_found", ErrorScope.ROOM),
        ("addOwner", "room_not_found", ErrorScope.ROOM),
    ],
)
def test_an_invalid_room_may_be_a_user_who_is_no_member(kind: str, method: str, reason: str, scope: ErrorScope) -> None:
    """`error-invalid-room` of removeModerator and removeOwner concerns this user alone, not the room."""
    answer = reply(400, {"success": False, "errorType": "error-invalid-room"})
    rule = classify(answer, OPERATIONS[f"{kind}.{method}"]).rule
    assert (rule.outcome, rule.reason, rule.scope) == (FAILED, reason, scope)


@pytest.mark.parametrize(
    ("method", "error_type", "matched_by"),
    [
        ("groups.removeLeader", "error-user-not-leader", MatchedBy.FIELD),
        ("groups.removeModerator", "error-invalid-room", MatchedBy.FIELD),
        ("groups.removeLeader", "error-room-not-found", MatchedBy.FIELD),
    ],
)
def test_what_decided_and_the_servers_words(method: str, error_type: str, matched_by: MatchedBy) -> None:
    """The field, or the brackets where it is missing; the message is the server's in each case."""
    words = f"Words [{error_type}]"
    typed = reply(400, {"success": False, "error": words, "errorType": error_type})
    assert explain(typed, OPERATIONS[method]).matched_by is matched_by
    assert explain(typed, OPERATIONS[method]).verdict.message == words
    untyped = reply(400, {"success": False, "error": words})
    assert explain(untyped, OPERATIONS[method]).matched_by is MatchedBy.BRACKETS


def test_no_response_decides_too() -> None:
    """A lost response has an explanation of its own."""
    assert explain(NoReply("timeout", "", True), REMOVE_LEADER).matched_by is MatchedBy.NO_REPLY


def test_already_so_belongs_to_the_operation() -> None:
    """Another operation's 'already so' is nothing but an unknown error for this one, and the other way round."""
    add = OPERATIONS["groups.addLeader"]
    answer = reply(400, {"success": False, "errorType": "error-user-not-leader"})
    assert classify(answer, add).rule is UNKNOWN_ERROR
    other = {"success": False, "errorType": "error-user-already-leader"}
    assert told(400, other) == (UNKNOWN, "unknown_error", Action.RETRY)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_each_operation_has_its_own_words(operation: Operation) -> None:
    """Done and nothing to do are reported in the words of the operation."""
    nothing = reply(400, {"success": False, "errorType": operation.noop_error_type})
    assert classify(reply(200, {"success": True}), operation).rule.outcome is operation.done
    assert classify(nothing, operation).rule.outcome is operation.nothing_to_do


def test_the_last_owner_has_a_reason_of_its_own() -> None:
    """A room keeps its last owner, and the row says so."""
    answer = reply(400, {"success": False, "errorType": "error-remove-last-owner", "error": "last owner"})
    meaning = classify(answer, OPERATIONS["groups.removeOwner"]).rule
    assert (meaning.outcome, meaning.reason, meaning.scope) == (FAILED, "last_owner", ErrorScope.ROW)


@pytest.mark.parametrize(
    ("answer", "reason", "then"),
    [
        (reply(401, {"success": False, "error": "You must be logged in to do this."}), "unauthorized", Action.STOP),
        (reply(403, {"success": False, "error": "unauthorized"}), "forbidden", Action.FINISH),
        (reply(404, {"success": False, "error": "API endpoint not found"}), "no_such_route", Action.FINISH),
        (reply(404, b"404 Not Found"), "no_such_route", Action.FINISH),
        (reply(404, b"<html>404</html>"), "untrusted_answer", Action.RETRY),
        (reply(400, {"success": False, "error": "User not found."}), "user_not_found", Action.FINISH),
        (reply(400, {"success": False, "error": "Match error"}), "server_exception", Action.RETRY),
        (reply(429, {"success": False, "error": TOO_MANY}), "rate_limited", Action.BACK_OFF),
        (reply(200, b"<html>"), "untrusted_answer", Action.RETRY),
        (reply(200, {"success": False}), "untrusted_answer", Action.RETRY),
        (reply(500, {"success": False}), "server_error", Action.RETRY),
        (reply(400, {"success": False, "errorType": "error-room-not-found"}), "room_not_found", Action.FINISH),
        (NoReply("timeout", "no answer in time", True), "timeout", Action.RETRY),
    ],
)
def test_what_could_not_be_read_is_told(answer: Reply | NoReply, reason: str, then: Action) -> None:
    """A reading call that brings nothing says why; a missing route does not end the reading."""
    verdict, body, date = classify_read(answer)
    assert body is None
    assert date is None
    assert (verdict.rule.reason, verdict.rule.action) == (reason, then)


def test_a_missing_reading_route_is_a_refusal() -> None:
    """Nothing was changed, and nothing will be: an older server does not have the method."""
    rule = classify_read(reply(404, b"404 Not Found")).verdict.rule
    assert (rule.outcome, rule.answer, rule.maybe_done) == (FAILED, Answer.REFUSED, False)


def test_the_words_for_an_unknown_user_count_only_without_a_better_sign() -> None:
    """A 403 that says `User not found.` is a lack of permission."""
    answer = reply(403, {"success": False, "error": "User not found."})
    assert classify_read(answer).verdict.rule.reason == "forbidden"


def test_a_success_has_no_reason_and_no_hint() -> None:
    """Nothing is reported of it but its outcome; that of a reading settles no row."""
    for operation in (REMOVE_LEADER, OPERATIONS["groups.addLeader"]):
        for body in (b'{"success":true}', b'{"success": true}'):
            expected = CallResult(ErrorRule("", operation.done, Action.FINISH, ""), "", "", 200)
            assert classify(reply(200, body), operation) == expected
            assert explain(reply(200, body), operation) == (expected, MatchedBy.SUCCESS)
        nothing = reply(400, {"success": False, "errorType": operation.noop_error_type})
        assert classify(nothing, operation).rule == ErrorRule("", operation.nothing_to_do, Action.FINISH, "")
    read = classify_read(reply(200, {"success": True})).verdict
    assert read == CallResult(ErrorRule("", NOT_ATTEMPTED, Action.FINISH, ""), "", "", 200)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (reply(429, {"success": False, "error": TOO_MANY}), 42.0),
        (reply(400, {"success": False, "error": TOO_MANY}), 42.0),
        (reply(429, b"", {"Retry-After": "7"}), 7.0),
        (reply(429, b"", {"Retry-After": "0"}), DEFAULT_RETRY_DELAY),
        (reply(429), DEFAULT_RETRY_DELAY),
        (reply(503, b"", {"Retry-After": "7"}), None),
        (reply(200, {"success": True}, {"Retry-After": "7"}), None),
        (NoReply("timeout", "", True), None),
    ],
)
def test_how_long_a_single_call_waits_before_it_is_repeated(answer: Reply | NoReply, seconds: float | None) -> None:
    """As long as the refusal says, never not at all; what is no 'too many requests' is not repeated for it."""
    assert rate_limit_delay(answer) == seconds


def test_what_was_read_is_given() -> None:
    """A reading call gives the JSON object that the server answered."""
    read = classify_read(reply(200, {"success": True, "roles": []}))
    assert (read.body, read.verdict.rule.action) == ({"success": True, "roles": []}, Action.FINISH)
    assert read.date is None


def test_a_reading_has_the_servers_time() -> None:
    """The server's `Date` comes with what was read, in epoch seconds."""
    read = classify_read(reply(200, {"success": True}, {"Date": "Sun, 01 Mar 2026 09:30:00 GMT"}))
    assert read.date == 1_772_357_400.0


@pytest.mark.parametrize(
    "body",
    [
        b'{"success":true}',
        b'{"success": true}\n',
        b' {"success": true, "room": {"_id": "R"}} ',
        b'{"success": true, "errorType": "error-not-allowed"}',
    ],
)
def test_success_is_removed(body: bytes) -> None:
    """A 200 whose JSON says `success: true` is `removed`, however it is written."""
    assert classify(reply(200, body), REMOVE_LEADER)[1:] == ("", "", 200)
    assert told(200, body) == (Outcome.REMOVED, "", Action.FINISH)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"   \n"),
        (200, LOGIN_PAGE),
        (200, b"\x00\xff\xfe garbage"),
        (200, b"{"),
        (200, b'{"success":true'),
        (200, b'"success"'),
        (200, b"true"),
        (200, b"null"),
        (200, b'[{"success":true}]'),
        (200, b"[" * 10_000),
        (200, {}),
        (200, {"ok": True}),
        (200, {"success": False}),
        (200, {"success": "true"}),
        (200, {"success": 1}),
        (200, {"success": None}),
        (200, {"data": {"success": True}}),
        (200, {"success": False, "error": "Something"}),
        (201, {"success": True}),
        (204, b""),
        (206, b'{"success":true}'),
        (103, b""),
        (200, {"success": False, "error": TOO_MANY}),
        (200, {"success": False, "errorType": "error-room-archived"}),
        (400, BAD_GATEWAY),
        (400, b""),
        (400, {}),
        (400, {"error": "Match error"}),
        (400, {"errorType": "error-room-archived"}),
        (401, b"<html>401</html>"),
        (401, b""),
        (401, {"message": "Sign in"}),
        (403, b"<html>403 Forbidden</html>"),
        (403, {"error": "blocked"}),
        (400, {"status": "error", "message": "You must be logged in to do this."}),
        (403, {"status": "error", "message": "You must be logged in to do this."}),
        (400, b"404 Not Found"),
        (410, {"status": "error", "message": "API endpoint does not exist"}),
        (404, b"<html>404</html>"),
        (404, b""),
        (413, LOGIN_PAGE),
        (418, b"teapot"),
    ],
)
def test_what_is_not_rocket_chats_json_is_not_trusted(status: int, body: bytes | Json) -> None:
    """A page or JSON that is not Rocket.Chat's is no success and no refusal: it is tried again, and unknown at last."""
    assert told(status, body) == (UNKNOWN, "untrusted_answer", Action.RETRY)
    assert classify(reply(status, body), REMOVE_LEADER).rule.maybe_done


@pytest.mark.parametrize(
    ("status", "body", "error_type", "words"),
    [
        (400, {"success": False, "errorType": "error-brand-new", "error": "Odd [error-brand-new]"}, "error-brand-new",
         "Odd [error-brand-new]"),
        (400, {"success": False, "error": "Odd [error-brand-new]"}, "error-brand-new", "Odd [error-brand-new]"),
        (400, {"success": False, "error": "Match error: Expected string, got number"}, "",
         "Match error: Expected string, got number"),
        (400, {"success": False, "message": "said elsewhere"}, "", "said elsewhere"),
        (400, {"success": False, "error": {"code": 7}, "message": "second"}, "", "second"),
        (400, {"success": False, "error": "", "message": "second"}, "", "second"),
        (400, {"success": False, "error": "", "errorType": 5}, "", ""),
        (400, {"success": False, "error": "User not found."}, "", "User not found."),
        (405, {"success": False, "error": "Method Not Allowed"}, "", "Method Not Allowed"),
        (422, {"success": False, "error": "in [brackets] amid"}, "", "in [brackets] amid"),
    ],
)  # fmt: skip
def test_an_unknown_refusal_keeps_the_servers_words(status: int, body: Json, error_type: str, words: str) -> None:
    """An error without a known type proves nothing: it is tried again, unknown at last, with the server's words."""
    rule = UNKNOWN_ERROR if error_type else SERVER_EXCEPTION
    assert classify(reply(status, body), REMOVE_LEADER) == (rule, error_type, words, status)
    assert (rule.outcome, rule.action, rule.answer) == (UNKNOWN, Action.RETRY, Answer.DOUBT)
    assert rule.reason == ("unknown_error" if error_type else "server_exception")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"success": False, "error": TOO_MANY}),
        (400, {"success": False, "error": TOO_MANY, "errorType": "error-too-many-requests"}),
        (400, {"success": False, "error": TOO_MANY}),
        (429, {"success": False, "error": "User is not a leader [error-user-not-leader]"}),
        (429, {"success": False, "errorType": "error-room-archived"}),
        (429, b"<html><h1>429 Too Many Requests</h1></html>"),
        (429, b""),
        (429, {"success": False, "error": "slower", "errorType": "error-brand-new"}),
    ],
)
def test_too_many_requests_holds_in_every_form(status: int, body: bytes | Json) -> None:
    """A 429, or the 400 of a very old server, holds the run: nothing was carried out and no attempt is spent."""
    meaning = classify(reply(status, body), REMOVE_LEADER).rule
    assert (meaning.reason, meaning.action, meaning.maybe_done) == ("rate_limited", Action.BACK_OFF, False)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "error", "message": "You must be logged in to do this."},
        {"success": False, "error": "You must be logged in to do this."},
        {"success": False, "status": "error", "message": "You must be logged in to do this.", "error": "other"},
    ],
)
def test_401_stops_the_run_and_leaves_the_row(body: bytes | Json) -> None:
    """A refused token is true for every further row: the run stops, and the row counts as not attempted."""
    assert told(401, body) == (NOT_ATTEMPTED, "unauthorized", Action.STOP)
    assert classify(reply(401, body), REMOVE_LEADER).rule.scope is ErrorScope.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"success": False, "error": "unauthorized"}),
        (403, {"success": False, "error": "User does not have the permissions required [error-unauthorized]"}),
        (401, {"success": False, "error": "User does not have the permissions required [error-unauthorized]"}),
    ],
)
def test_a_forbidden_route_fails_its_row_for_the_credentials(status: int, body: bytes | Json) -> None:
    """The permission of the whole route fails the row; its scope lets several in a row stop the run."""
    assert told(status, body) == (FAILED, "forbidden", Action.FINISH)
    assert classify(reply(status, body), REMOVE_LEADER).rule.scope is ErrorScope.CREDENTIALS


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "error": "Not Found"},
        b"404 Not Found",
        b"404 Not Found\n",
        {"status": "error", "message": "API endpoint does not exist"},
    ],
)
def test_404_stops_the_run(body: bytes | Json) -> None:
    """A method that the server does not know is not there for any row; the row itself stays unknown."""
    assert told(404, body) == (UNKNOWN, "no_such_route", Action.STOP)
    assert classify(reply(404, body), REMOVE_LEADER).rule.answer is Answer.DOUBT
    assert classify(reply(404, body), REMOVE_LEADER).rule.scope is ErrorScope.ROUTE


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
@pytest.mark.parametrize("body", [b"", LOGIN_PAGE, {"success": True}, {"success": False, "error": "elsewhere"}])
def test_a_redirect_proves_nothing(status: int, body: bytes | Json) -> None:
    """3xx may come from a proxy after the server has acted: it is tried again, and unknown at last."""
    assert told(status, body) == (UNKNOWN, "redirected", Action.RETRY)
    assert classify(reply(status, body), REMOVE_LEADER).rule.answer is Answer.DOUBT


@pytest.mark.parametrize(
    ("status", "reason", "maybe_done", "scope"),
    [
        (500, "server_error", True, ErrorScope.ROW),
        (501, "server_error", True, ErrorScope.ROW),
        (505, "server_error", True, ErrorScope.ROW),
        (599, "server_error", True, ErrorScope.ROW),
        (502, "proxy_error", True, ErrorScope.WORKSPACE),
        (503, "proxy_error", True, ErrorScope.WORKSPACE),
        (504, "proxy_error", True, ErrorScope.WORKSPACE),
        (520, "proxy_error", True, ErrorScope.WORKSPACE),
        (521, "proxy_error", True, ErrorScope.WORKSPACE),
        (522, "proxy_error", True, ErrorScope.WORKSPACE),
        (523, "proxy_error", True, ErrorScope.WORKSPACE),
        (524, "proxy_error", True, ErrorScope.WORKSPACE),
        (525, "proxy_error", True, ErrorScope.WORKSPACE),
        (526, "proxy_error", True, ErrorScope.WORKSPACE),
        (527, "proxy_error", True, ErrorScope.WORKSPACE),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        BAD_GATEWAY,
        {"success": False, "error": "Internal server error"},
        {"success": True},
        {"errorType": "new"},
        {"success": False, "errorType": "error-user-not-leader"},
        {"success": False, "error": "Archived [error-room-archived]"},
    ],
)
def test_a_fault_is_tried_again(
    status: int, reason: str, maybe_done: bool, scope: ErrorScope, body: bytes | Json
) -> None:
    """5xx is tried again; it ends as unknown where the call may have been carried out, else as failed."""
    meaning = classify(reply(status, body), REMOVE_LEADER).rule
    assert (meaning.reason, meaning.action, meaning.maybe_done, meaning.scope) == (
        reason,
        Action.RETRY,
        maybe_done,
        scope,
    )
    assert meaning.outcome is (UNKNOWN if maybe_done else FAILED)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_the_error_type_goes_before_the_status(status: int) -> None:
    """A known error type in Rocket.Chat's JSON decides under any status from 400 to 499, except 429."""
    body = {"success": False, "errorType": "error-room-archived"}
    assert told(status, body) == (FAILED, "room_archived", Action.FINISH)


def test_the_field_goes_before_the_brackets() -> None:
    """Where field and brackets differ, the field is right; an empty field is as good as none."""
    words = "Not allowed [error-not-allowed]"
    assert told(400, {"success": False, "error": words, "errorType": "error-room-not-found"})[1] == "room_not_found"
    assert told(400, {"success": False, "error": words, "errorType": ""})[1] == "not_allowed"


@pytest.mark.parametrize("reason", ["connect_failed", "answer_lost", "timeout"])
@pytest.mark.parametrize("maybe_sent", [False, True])
def test_without_a_reply_the_doubt_decides(reason: str, maybe_sent: bool) -> None:
    """No answer is tried again; at last it is unknown where the request may have arrived, else failed."""
    verdict = classify(NoReply(reason, "why", maybe_sent), REMOVE_LEADER)
    meaning = verdict.rule
    assert (meaning.reason, meaning.action, meaning.maybe_done) == (reason, Action.RETRY, maybe_sent)
    assert meaning.outcome is (UNKNOWN if maybe_sent else FAILED)
    assert meaning.hint == RULES[reason].hint
    assert verdict[1:] == ("", "why", None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (BAD_GATEWAY, "502 Bad Gateway nginx/1.25.3"),
        (b"<html><style>p {color: red}</style><script>alert(1)</script ><p>Sorry</p>", "Sorry"),
        (b"no\r\n\ttags   at all", "no tags at all"),
        (b"caf\xe9", "caf\ufffd"),
        (b"x" * 100_000, "x" * 200),
        (b"", ""),
    ],
)
def test_what_is_not_json_is_shown_without_its_tags(body: bytes, words: str) -> None:
    """The report shows the beginning of a page's text, not its tags, styles and scripts."""
    assert classify(reply(502, body), REMOVE_LEADER).message == words


def test_long_words_are_cut() -> None:
    """A server cannot fill the ledger with its words: type and text have their limits."""
    verdict = classify(reply(400, {"error": "w" * 9000, "errorType": "t" * 9000}), REMOVE_LEADER)
    assert (len(verdict.message), len(verdict.error_type)) == (1000, 100)


def test_a_type_behind_long_words_is_found() -> None:
    """The brackets at the end count also where the words before them are cut for the report."""
    assert told(400, {"success": False, "error": f"{'w' * 2000} [error-room-archived]"})[1] == "room_archived"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=20) | st.sampled_from(list(BY_ERROR_TYPE)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "success": values,
        "error": values | st.sampled_from(["x [error-user-not-leader]", TOO_MANY]),
        "message": values,
        "errorType": values | st.just("error-user-not-leader"),
    },
)
bodies = st.binary(max_size=300) | objects.map(orjson.dumps) | values.map(orjson.dumps) | st.just(b'{"success":true}')


@settings(deadline=None)
@given(
    status=st.sampled_from([200, 200, 400, 401, 429, 500, 502]) | st.integers(100, 999),
    headers=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
    body=bodies,
)
def test_nothing_but_a_success_is_removed(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever comes, classifying never fails; `removed` needs a 200 with `success: true`, the rest its own proof."""
    verdict = classify(reply(status, body, headers), REMOVE_LEADER)
    assert verdict.status == status
    assert verdict.rule.reason in {"", *RULES}
    if verdict.rule.outcome is Outcome.REMOVED:
        assert status == 200
        assert orjson.loads(body).get("success") is True
    if verdict.rule.answer is Answer.NOOP:
        assert (status, verdict.error_type) == (400, "error-user-not-leader")
    if verdict.rule.answer is Answer.REFUSED:
        assert 400 <= status < 500
        assert orjson.loads(body).get("success") is False
        assert verdict.error_type in BY_ERROR_TYPE or status == 403
    if verdict.rule.answer is Answer.NOT_DONE:
        assert status in (400, 401, 403, 404, 429) or verdict.error_type == "error-too-many-requests"


@settings(deadline=None)
@given(reason=st.sampled_from(sorted(BY_NO_REPLY)), detail=st.text(), maybe_sent=st.booleans())
def test_no_reply_is_never_an_outcome_of_the_server(reason: str, detail: str, maybe_sent: bool) -> None:
    """Without an answer a row is failed or unknown, never more."""
    verdict: CallResult = classify(NoReply(reason, detail, maybe_sent), REMOVE_LEADER)
    assert verdict.rule.outcome in (FAILED, UNKNOWN)


@pytest.mark.parametrize(
    "table",
    [BY_ERROR_TYPE, BY_STATUS, BY_FOREIGN_STATUS, BY_NO_REPLY],
    ids=["error type", "status", "foreign status", "no reply"],
)
def test_every_meaning_has_its_hint(table: dict[Any, ErrorRule]) -> None:
    """Each line of each table has a reason, a hint for a person, and stands in RULES."""
    for meaning in table.values():
        assert meaning.reason
        assert RULES[meaning.reason].hint == meaning.hint


def test_every_hint_says_something() -> None:
    """No reason stands without words, and the reasons outside the tables have theirs too."""
    assert all(rule.hint.strip() for rule in RULES.values())
    outside = {"unknown_error", "server_exception", "redirected", "untrusted_answer", "cancelled_in_flight"}
    assert outside <= set(RULES)


@pytest.mark.parametrize("name", NAMES_IN_THE_FACTS)
def test_every_error_name_of_the_facts_is_known(name: str) -> None:
    """No error name that the server is known to send ends as an unknown error."""
    assert name in BY_ERROR_TYPE
    assert told(400, {"success": False, "errorType": name})[1] != "unknown_error"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504, *range(520, 528)])
def test_every_status_of_the_facts_is_known(status: int) -> None:
    """No status of the facts is left to the rules for unknown ones."""
    assert status in BY_STATUS or status in BY_FOREIGN_STATUS


def test_the_path_of_the_operation() -> None:
    """The operation is called under the API below the workspace's address."""
    assert REMOVE_LEADER.path == "/api/v1/groups.removeLeader"


@pytest.mark.parametrize(
    ("status", "age", "reason"),
    [
        (200, "1", "cached_response"),
        (200, " 86400 ", "cached_response"),
        (200, "9" * 5000, "cached_response"),
        (400, "7", "cached_response"),
        (200, "0", ""),
        (200, "", ""),
        (200, "-1", ""),
        (200, "\u0663", ""),
        (429, "7", "rate_limited"),
        (500, "7", "server_error"),
        (502, "7", "proxy_error"),
    ],
)
def test_an_old_response_of_a_cache_says_nothing_about_now(status: int, age: str, reason: str) -> None:
    """A reading with an `Age` is no reading; a rate limit and an outage are one all the same."""
    read = classify_read(reply(status, {"success": True, "roles": []}, {"Age": age}))
    assert read.verdict.rule.reason == reason
    assert (read.body is None) is bool(reason)
    assert (read.verdict.status, read.verdict.error_type) == (status, "")
    assert reason != "cached_response" or f"{age.strip()[:9]} s" in read.verdict.message
