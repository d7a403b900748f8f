"""How a response is classified, and why, as text and as JSON."""

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from rolecall.cli.exit_codes import ExitCode
from rolecall.engine.settings import FORBIDDEN_IN_A_ROW
from rolecall.engine.settlement import CONFIRMED_ON_RETRY, SETTLEMENT_HINTS
from rolecall.engine.throttle.circuit_breaker import THRESHOLD
from rolecall.engine.throttle.route_schedule import FIRST_PAUSE
from rolecall.models import Json, Outcome, Reply
from rolecall.rocketchat.error_table import ROOM_NOT_FOUND, Action, Answer, ErrorRule, ErrorScope
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, Operation
from rolecall.rocketchat.rate_limit_headers import Limits, parse_limits, retry_after, retry_delay, server_date
from rolecall.rocketchat.response_classifier import Explanation, MatchedBy, parse_error, parse_object
from rolecall.text import sanitise

WIDTH = 100
LABEL = 14

SCOPES = {
    ErrorScope.ROW: "this row alone",
    ErrorScope.ROOM: "the room: its other rows would get the same response, so they are not sent",
    ErrorScope.WORKSPACE: "the workspace: the response is not from Rocket.Chat itself",
    ErrorScope.CREDENTIALS: "the account: the same for every further row",
    ErrorScope.ROUTE: "the method: it does not exist, for any row",
}
WHY = {
    MatchedBy.SUCCESS: "status 200 and success: true",
    MatchedBy.FIELD: "the field errorType says '{error_type}'",
    MatchedBy.BRACKETS: "there is no field errorType, but the message ends in [{error_type}]",
    MatchedBy.STATUS: "the status {status}; the body names no error type that is known",
    MatchedBy.UNKNOWN_REFUSAL: "a refusal in JSON, but neither its error type nor its status is known",
    MatchedBy.UNTRUSTED: "nothing matched: neither success: true nor a refusal that Rocket.Chat sends",
}


class ExplainInput(NamedTuple):
    """One response, and what is known about it."""

    reply: Reply
    operation: str
    in_doubt: bool
    """True when an earlier attempt at this row may have been carried out."""
    assumed: bool
    """True if the status was not stored, but follows from the body."""
    with_headers: bool
    """False if only the body was stored."""


def status_in(body: bytes) -> int | None:
    """Return the status that Rocket.Chat sends with such a body: 200 for success, 400 for a refusal; else None."""
    value = parse_object(body)
    if value is None:
        return None
    if value.get("success") is True:
        return 200
    return 400 if value.get("success") is False or parse_error(value).error_type else None


def confirm_lost_response(explained: Explanation, operation: Operation) -> Explanation:
    """Return the explanation for a row in doubt whose roles were not read before: 'nothing to do' confirms the call."""
    if explained.verdict.rule.answer is not Answer.NOOP:
        return explained
    hint = SETTLEMENT_HINTS[CONFIRMED_ON_RETRY]
    rule = ErrorRule(CONFIRMED_ON_RETRY, operation.done, Action.FINISH, hint)
    return explained._replace(verdict=explained.verdict._replace(rule=rule))


def reported_outcome(meaning: ErrorRule, *, in_doubt: bool) -> Outcome | None:
    """Return the outcome of a row whose last response this is; None if the row is attempted again in any case."""
    match meaning.action:
        case Action.FINISH:
            return Outcome.UNKNOWN if in_doubt and meaning.answer is Answer.REFUSED else meaning.outcome
        case Action.BACK_OFF:
            return None
        case Action.STOP:
            return Outcome.UNKNOWN if in_doubt else meaning.outcome
        case Action.RETRY:
            return Outcome.UNKNOWN if in_doubt or meaning.maybe_done else Outcome.FAILED


def as_json(case: ExplainInput, explained: Explanation) -> Json:
    """Return the explanation as JSON."""
    meaning, error_type, message, status = explained.verdict
    limits = parse_limits(case.reply.headers)
    return {
        "operation": case.operation,
        "in_doubt": case.in_doubt,
        "outcome": reported_outcome(meaning, in_doubt=case.in_doubt),
        "reason": meaning.reason,
        "hint": meaning.hint,
        "then": meaning.action.name.lower(),
        "scope": meaning.scope.name.lower(),
        "carriedOut": _carried_out(meaning, in_doubt=case.in_doubt),
        "ground": explained.matched_by.name.lower(),
        "why": _why(explained),
        "httpStatus": status,
        "statusAssumed": case.assumed,
        "errorType": sanitise(error_type),
        "message": sanitise(message),
        "limits": limits._asdict() if limits else None,
        "waitSeconds": _wait(case.reply, meaning),
    }


def as_lines(case: ExplainInput, explained: Explanation) -> Iterator[str]:
    """Return the explanation as lines for a person."""
    meaning, error_type, message, status = explained.verdict
    assumed = "; not stored, but what Rocket.Chat sends with such a body (--status names another)"
    yield from labelled("Outcome", _outcome(meaning, in_doubt=case.in_doubt))
    yield from labelled("Reason", meaning.reason)
    yield from labelled("What to do", meaning.hint)
    yield from labelled("Why", _why(explained))
    yield from labelled("Action", _then(case.reply, meaning))
    yield from labelled("Scope", "every row: all wait" if meaning.action is Action.BACK_OFF else SCOPES[meaning.scope])
    yield from labelled("Carried out", _carried_out_in_words(meaning, in_doubt=case.in_doubt))
    yield from labelled("Status", f"{status}{assumed if case.assumed else ''}")
    yield from labelled("Error type", error_type)
    yield from labelled("Message", message)
    yield from labelled("Rate limit", _limits(case))
    yield from labelled("Operation", case.operation)


def labelled(label: str, text: str) -> list[str]:
    """Return a text behind its label, wrapped; nothing for an empty text."""
    if not text:
        return []
    return textwrap.wrap(
        sanitise(text),
        WIDTH,
        initial_indent=label.ljust(LABEL),
        subsequent_indent=" " * LABEL,
        break_on_hyphens=False,
    )


def _outcome(meaning: ErrorRule, *, in_doubt: bool) -> str:
    outcome = reported_outcome(meaning, in_doubt=in_doubt)
    if outcome is None:
        return "none yet: the row waits and is attempted again"
    if meaning.action is Action.RETRY:
        return f"{outcome}, if no further attempt gets a better response"
    return outcome


def _why(explained: Explanation) -> str:
    verdict = explained.verdict
    return sanitise(WHY[explained.matched_by].format(error_type=verdict.error_type, status=verdict.status))


def _then(reply: Reply, meaning: ErrorRule) -> str:
    wait = _wait(reply, meaning)
    match meaning.action:
        case Action.BACK_OFF:
            pause = f"{FIRST_PAUSE:g} s, longer each time" if wait is None else f"{wait:.0f} s"
            return f"all calls wait for {pause}; the attempt does not count"
        case Action.STOP:
            code = ExitCode.CREDENTIALS if meaning.scope is ErrorScope.CREDENTIALS else ExitCode.STOPPED
            return f"the run stops with exit {code:d}; once that is fixed, the same command goes on"
        case Action.RETRY:
            pause = "" if wait is None else f", after all calls have waited for {wait:.0f} s"
            return f"another attempt (--max-attempts){pause}{_outage(meaning)}"
        case Action.FINISH:
            return f"the row is finished{_beside(meaning)}"


def _outage(meaning: ErrorRule) -> str:
    if meaning.scope is not ErrorScope.WORKSPACE:
        return ""
    return f"; {THRESHOLD} of these in a row are an outage: rows wait, and one call at a time is sent as a probe"


def _beside(meaning: ErrorRule) -> str:
    if meaning is ROOM_NOT_FOUND:
        return "; for a private group, groups.counters is read first: it may exist, but the account has not joined it"
    if meaning.scope is ErrorScope.CREDENTIALS:
        return f"; {FORBIDDEN_IN_A_ROW} of these in a row stop the run with exit {ExitCode.CREDENTIALS:d}"
    return ""


def _wait(reply: Reply, meaning: ErrorRule) -> float | None:
    """Return for how many seconds the response makes all calls wait; None if it does not say."""
    if meaning.action is Action.BACK_OFF:
        return retry_delay(reply)
    return retry_after(reply) if reply.status >= 500 else None


def _carried_out(meaning: ErrorRule, *, in_doubt: bool) -> str:
    if meaning.action is Action.FINISH and meaning.outcome in DONE:
        return "yes"
    if meaning.action is Action.FINISH and meaning.outcome in NOTHING_TO_DO:
        return "no"
    return "perhaps" if meaning.maybe_done or in_doubt else "no"


def _carried_out_in_words(meaning: ErrorRule, *, in_doubt: bool) -> str:
    answer = _carried_out(meaning, in_doubt=in_doubt)
    if meaning.reason == CONFIRMED_ON_RETRY:
        return "yes, by the earlier attempt whose response was lost"
    if answer == "no" and meaning.outcome in NOTHING_TO_DO:
        return "no, there was nothing to do"
    if answer == "perhaps" and not meaning.maybe_done:
        return "not by this call; perhaps by the earlier attempt whose response was lost"
    return "perhaps: this response does not show it" if answer == "perhaps" else answer


def _limits(case: ExplainInput) -> str:
    if not case.with_headers:
        return "not known: the headers were not stored"
    headers = case.reply.headers
    limits = parse_limits(headers)
    if limits is not None:
        return _window(limits, server_date(headers))
    if any(name.lower().startswith("x-ratelimit-") for name in headers):
        return "the X-RateLimit headers are malformed; they are ignored"
    return "no X-RateLimit headers: this account is not limited, or the response is not from Rocket.Chat"


def _window(limits: Limits, date: float | None) -> str:
    until = datetime.fromtimestamp(limits.reset_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    after = "" if date is None else f", {max(0.0, limits.reset_at - date):.0f} s after this response"
    calls = "1 call" if limits.limit == 1 else f"{limits.limit} calls"
    return f"{calls} in a window, {limits.remaining} left; it ends {until}{after} (the server's clock)"
