"""What `rolecall explain` says of a response is what a run makes of it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.cli.views.explain_view import (
    LABEL,
    WIDTH,
    ExplainInput,
    as_json,
    as_lines,
    confirm_lost_response,
    reported_outcome,
    status_in,
)
from rolecall.models import Json, Outcome, Reply
from rolecall.rocketchat.error_table import BY_ERROR_TYPE, BY_MESSAGE, BY_STATUS, Action
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER
from rolecall.rocketchat.response_classifier import Explanation, MatchedBy, classify, explain
from tests.support.engine import QUICK, run_pairs
from tests.unit.rocketchat.raw_server import answer, serving
from tests.unit.rocketchat.replies import reply

REFUSAL = {"success": False, "error": "x [error-not-allowed]"}
UNHEARD_OF = {"success": False, "errorType": "error-unheard-of"}
NOT_LEADER = {"success": False, "error": "User is not a leader [error-user-not-leader]"}


def explained_for(kept: Reply, *, in_doubt: bool) -> Explanation:
    """Explain a response as the command does."""
    explained = explain(kept, REMOVE_LEADER)
    return confirm_lost_response(explained, REMOVE_LEADER) if in_doubt else explained


def told(kept: Reply, *, in_doubt: bool = False, assumed: bool = False, with_headers: bool = True) -> dict[str, str]:
    """Give the lines for a person by their labels."""
    case = ExplainInput(kept, REMOVE_LEADER.name, in_doubt, assumed, with_headers)
    lines: dict[str, str] = {}
    label = ""
    for line in as_lines(case, explained_for(kept, in_doubt=in_doubt)):
        label = line[:LABEL].strip() or label
        lines[label] = f"{lines.get(label, '')} {line[LABEL:]}".strip()
    return lines


@pytest.mark.parametrize(
    ("status", "body", "ground", "why"),
    [
        (200, {"success": True}, MatchedBy.SUCCESS, "success: true"),
        (200, b'{ "success": true, "x": 1 }', MatchedBy.SUCCESS, "success: true"),
        (400, {**REFUSAL, "errorType": "error-not-allowed"}, MatchedBy.FIELD, "errorType says 'error-not-allowed'"),
        (400, REFUSAL, MatchedBy.BRACKETS, "the message ends in [error-not-allowed]"),
        (400, NOT_LEADER, MatchedBy.BRACKETS, "[error-user-not-leader]"),
        (429, NOT_LEADER, MatchedBy.STATUS, "the status 429"),
        (400, {"success": False, "error": "User not found."}, MatchedBy.UNKNOWN_REFUSAL, "neither its error type"),
        (401, {"status": "error", "message": "You must be logged in to do this."}, MatchedBy.STATUS, "the status 401"),
        (401, {"message": "You must be logged in to do this."}, MatchedBy.UNTRUSTED, "nothing matched"),
        (404, b"404 Not Found", MatchedBy.STATUS, "the status 404"),
        (404, b"<html>", MatchedBy.UNTRUSTED, "nothing matched"),
        (502, b"<html>", MatchedBy.STATUS, "the status 502"),
        (302, b"", MatchedBy.STATUS, "the status 302"),
        (599, b"", MatchedBy.STATUS, "the status 599"),
        (500, {"errorType": "error-unheard-of"}, MatchedBy.STATUS, "the status 500"),
        (400, UNHEARD_OF, MatchedBy.UNKNOWN_REFUSAL, "neither its error type nor its status"),
        (418, {"success": False}, MatchedBy.UNKNOWN_REFUSAL, "neither"),
        (400, {"errorType": "error-unheard-of"}, MatchedBy.UNTRUSTED, "nothing matched"),
        (400, {"error": "x [error-not-allowed]"}, MatchedBy.UNTRUSTED, "nothing matched"),
        (200, b"<html>Sign in</html>", MatchedBy.UNTRUSTED, "nothing matched"),
        (200, {}, MatchedBy.UNTRUSTED, "nothing matched"),
    ],
)
def test_the_ground_is_what_decided(status: int, body: bytes | Json, ground: MatchedBy, why: str) -> None:
    """For each line of the table the reason that is given is the one that the classification went by."""
    kept = reply(status, body)
    explained = explain(kept, REMOVE_LEADER)
    assert explained.matched_by is ground
    assert explained.verdict == classify(kept, REMOVE_LEADER)
    assert why in told(kept)["Why"]


@given(
    status=st.sampled_from([*BY_STATUS, 200, 302, 400, 418, 501]) | st.integers(200, 599),
    error_type=st.sampled_from(["", "error-user-not-leader", "error-unheard-of", *BY_ERROR_TYPE]),
    text=st.text(max_size=20) | st.sampled_from(["x [error-not-allowed]", "x [error-user-not-leader]", *BY_MESSAGE]),
    success=st.booleans(),
    operation=st.sampled_from(sorted(OPERATIONS)),
)
def test_what_is_explained_is_what_is_classified(
    status: int, error_type: str, text: str, success: bool, operation: str
) -> None:
    """For any answer the verdict is that of the classification, and taking the ground away changes it."""
    body = {"success": success, "error": text} | ({"errorType": error_type} if error_type else {})
    kept = reply(status, body)
    explained = explain(kept, OPERATIONS[operation])
    assert explained.verdict == classify(kept, OPERATIONS[operation])
    if explained.matched_by is MatchedBy.FIELD:
        without = explain(reply(status, {"success": success}), OPERATIONS[operation])
        assert without.matched_by is not MatchedBy.FIELD
    if explained.matched_by is MatchedBy.BRACKETS:
        assert text.rstrip().endswith(f"[{explained.verdict.error_type}]")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"success": True}),
        (400, NOT_LEADER),
        (400, {"success": False, "errorType": "error-room-archived", "error": "archived"}),
        (400, {"success": False, "errorType": "error-unheard-of"}),
        (401, {"success": False}),
        (404, b"<html>"),
        (500, {"success": False}),
        (502, b"<html>"),
        (200, b"<html>"),
        (302, b""),
        (403, b"<html>"),
        (403, {"success": False, "error": "unauthorized"}),
        (404, b"404 Not Found"),
        (400, {"success": False, "error": "an exception"}),
    ],
)
async def test_a_run_makes_of_an_answer_what_is_explained(tmp_path: Path, status: int, body: bytes | Json) -> None:
    """A row that a server answers so, on every attempt, is told the outcome and the reason that were explained."""
    kept = reply(status, body)
    explained = explain(kept, REMOVE_LEADER)
    expected = reported_outcome(explained.verdict.rule, in_doubt=False)

    async def speak(seen: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await server.hear(reader):
            writer.write(answer(kept.body, status=f"{status} Status"))
            await writer.drain()

    async with serving(speak) as server:
        run = await run_pairs(server.url, [("room", "user")], tmp_path / "ledger", replace(QUICK, read_roles=False))
    (result,) = run.results
    assert result.outcome is expected
    if explained.verdict.rule.action is not Action.STOP:
        assert result.reason == explained.verdict.rule.reason


@pytest.mark.parametrize(
    ("kept", "in_doubt", "outcome", "carried_out"),
    [
        (reply(400, NOT_LEADER), False, Outcome.NOT_LEADER, "no"),
        (reply(400, NOT_LEADER), True, Outcome.REMOVED, "yes"),
        (reply(200, {"success": True}), False, Outcome.REMOVED, "yes"),
        (reply(302), False, Outcome.UNKNOWN, "perhaps"),
        (reply(302), True, Outcome.UNKNOWN, "perhaps"),
        (reply(500), False, Outcome.UNKNOWN, "perhaps"),
        (reply(401, {"success": False}), False, Outcome.NOT_ATTEMPTED, "no"),
        (reply(401, {"success": False}), True, Outcome.UNKNOWN, "perhaps"),
        (reply(401), False, Outcome.UNKNOWN, "perhaps"),
        (reply(429), False, None, "no"),
        (reply(400, REFUSAL), False, Outcome.FAILED, "no"),
        (reply(400, REFUSAL), True, Outcome.UNKNOWN, "perhaps"),
        (reply(400, {"errorType": "error-not-allowed"}), False, Outcome.UNKNOWN, "perhaps"),
    ],
)
def test_an_earlier_attempt_counts(kept: Reply, in_doubt: bool, outcome: Outcome | None, carried_out: str) -> None:
    """Where an earlier attempt may have been carried out, neither outcome nor doubt claims more than is known."""
    case = ExplainInput(kept, REMOVE_LEADER.name, in_doubt, assumed=False, with_headers=True)
    explained = as_json(case, explained_for(kept, in_doubt=in_doubt))
    assert (explained["outcome"], explained["carriedOut"]) == (outcome, carried_out)


RESET = {
    "X-RateLimit-Limit": "10",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": "1772357442000",
    "Date": "Sun, 01 Mar 2026 09:30:00 GMT",
}


@pytest.mark.parametrize(
    ("status", "headers", "limit", "then"),
    [
        (429, RESET, "10 calls in a window, 0 left; it ends 2026-03-01 09:30:42 UTC, 42 s after", "wait for 42 s"),
        (429, {}, "no X-RateLimit headers", "wait for 1 s, longer each time"),
        (429, {"Retry-After": "7"}, "no X-RateLimit headers", "wait for 7 s"),
        (503, {"Retry-After": "30"}, "no X-RateLimit headers", "waited for 30 s; 5 of these in a row are an outage"),
        (400, {**RESET, "X-RateLimit-Reset": "soon"}, "malformed", "another attempt"),
        (403, {}, "no X-RateLimit", "10 of these in a row stop the run with exit 3"),
        (401, {}, "no X-RateLimit", "stops with exit 3"),
        (404, {}, "no X-RateLimit", "stops with exit 4"),
        (302, {}, "no X-RateLimit", "another attempt"),
    ],
)
def test_the_headers_say_how_long_all_calls_wait(status: int, headers: dict[str, str], limit: str, then: str) -> None:
    """The rate-limit headers and the wait that they ask for are told; nonsense is told to be none."""
    lines = told(reply(status, {"success": False}, headers))
    assert limit in lines["Rate limit"]
    assert then in lines["Action"]


def test_what_was_not_kept_is_told_so() -> None:
    """A status that was assumed and headers that are missing are named as such."""
    lines = told(reply(400, NOT_LEADER), assumed=True, with_headers=False)
    assert lines["Status"].startswith("400; not stored")
    assert lines["Rate limit"] == "not known: the headers were not stored"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"success": true}', 200),
        (b'{"success": false}', 400),
        (b'{"errorType": "error-x"}', 400),
        (b'{"error": "x [error-x]"}', 400),
        (b'{"status": "error", "message": "You must be logged in to do this."}', None),
        (b"<html>", None),
        (b"[]", None),
        (b'{"success": "true"}', None),
    ],
)
def test_a_body_tells_its_status_where_it_can(body: bytes, status: int | None) -> None:
    """Rocket.Chat's own success and refusals have one status each; for anything else nothing is assumed."""
    assert status_in(body) == status


@given(st.text(), st.text(), st.integers(200, 599))
def test_hostile_text_becomes_harmless_lines(error_type: str, text: str, status: int) -> None:
    """Whatever a server says, each line is printable and no wider than the page but for a single long word."""
    kept = reply(
        status,
        {"error": text.encode(errors="replace").decode(), "errorType": error_type.encode(errors="replace").decode()},
    )
    for line in as_lines(ExplainInput(kept, REMOVE_LEADER.name, False, False, True), explain(kept, REMOVE_LEADER)):
        assert "\x1b" not in line
        assert "\n" not in line
        assert len(line) <= WIDTH
