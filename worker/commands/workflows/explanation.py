"""How a response would be classified, and why, in words: for people line by line, for machines as JSON."""

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from worker.commands.exits import Exit
from worker.engine.breaker import THRESHOLD
from worker.engine.failures import FORBIDDEN_IN_A_ROW
from worker.engine.pacing import FIRST_PAUSE
from worker.model import Json, Outcome, Reply
from worker.plain import plain
from worker.workspace.answers import Explained, Ground
from worker.workspace.body import json_object, named_error
from worker.workspace.limits import Limits, asked_wait, read_limits, retry_after, server_date
from worker.workspace.meanings import CONFIRMED_ON_RETRY, ROOM_NOT_FOUND, Meaning, Scope, Then
from worker.workspace.operations import DONE, NOTHING_TO_DO

WIDTH = 100
LABEL = 14

REACH = {
    Scope.ROW: "this row alone",
    Scope.ROOM: "the room: its other rows would be told the same, so they are not asked",
    Scope.WORKSPACE: "the workspace: it was not Rocket.Chat itself that answered",
    Scope.CREDENTIALS: "the account: true of every further row",
    Scope.ROUTE: "the method: it is not there, for any row",
}
WHY = {
    Ground.SUCCESS: "status 200 and success: true",
    Ground.FIELD: "the field errorType says '{error_type}'",
    Ground.BRACKETS: "there is no field errorType, but the words end in [{error_type}]",
    Ground.WORDS: "these very words are known; they have no error type",
    Ground.STATUS: "the status {status}; the body names no error type that is known",
    Ground.UNKNOWN_REFUSAL: "it is a refusal in JSON, but neither its error type nor its status is known",
    Ground.UNTRUSTED: "nothing matched: it is neither success: true nor a refusal that Rocket.Chat sends",
}


class Case(NamedTuple):
    """One response, and what is known about it."""

    reply: Reply
    operation: str
    doubtful: bool
    """True when an earlier attempt at this row may have been carried out."""
    assumed: bool
    """True when the status was not kept, but follows from the body."""
    with_headers: bool
    """False where only the body was kept."""


def status_in(body: bytes) -> int | None:
    """Tell the status that Rocket.Chat sends with such a body: 200 a success, 400 a refusal; None for all else."""
    value = json_object(body)
    if value is None:
        return None
    if value.get("success") is True:
        return 200
    return 400 if value.get("success") is False or named_error(value).error_type else None


def outcome_told(meaning: Meaning, *, doubtful: bool) -> Outcome | None:
    """Tell the outcome of a row whose last answer this is; None where the row goes on in any case."""
    match meaning.then:
        case Then.SETTLE:
            return meaning.outcome
        case Then.HOLD:
            return None
        case Then.STOP:
            return Outcome.UNKNOWN if doubtful else meaning.outcome
        case Then.RETRY:
            return Outcome.UNKNOWN if doubtful or meaning.maybe_done else Outcome.FAILED


def as_json(case: Case, explained: Explained) -> Json:
    """Give the explanation as one object."""
    meaning, error_type, message, status = explained.verdict
    limits = read_limits(case.reply.headers)
    return {
        "operation": case.operation,
        "doubtful": case.doubtful,
        "outcome": outcome_told(meaning, doubtful=case.doubtful),
        "reason": meaning.reason,
        "hint": meaning.hint,
        "then": meaning.then.name.lower(),
        "scope": meaning.scope.name.lower(),
        "carriedOut": _carried_out(meaning, doubtful=case.doubtful),
        "ground": explained.ground.name.lower(),
        "why": _why(explained),
        "httpStatus": status,
        "statusAssumed": case.assumed,
        "errorType": plain(error_type),
        "message": plain(message),
        "limits": limits._asdict() if limits else None,
        "waitSeconds": _wait(case.reply, meaning),
    }


def as_lines(case: Case, explained: Explained) -> Iterator[str]:
    """Give the explanation for a person."""
    meaning, error_type, message, status = explained.verdict
    assumed = "; not kept, but what Rocket.Chat sends with such a body (--status names another)"
    yield from _labelled("Outcome", _outcome(meaning, doubtful=case.doubtful))
    yield from _labelled("Reason", meaning.reason)
    yield from _labelled("What to do", meaning.hint)
    yield from _labelled("Why", _why(explained))
    yield from _labelled("Then", _then(case.reply, meaning))
    yield from _labelled("Reach", "every row: all wait" if meaning.then is Then.HOLD else REACH[meaning.scope])
    yield from _labelled("Carried out", _carried_out_in_words(meaning, doubtful=case.doubtful))
    yield from _labelled("Status", f"{status}{assumed if case.assumed else ''}")
    yield from _labelled("Error type", error_type)
    yield from _labelled("Words", message)
    yield from _labelled("Rate limit", _limits(case))
    yield from _labelled("Operation", case.operation)


def _labelled(label: str, text: str) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(
        plain(text),
        WIDTH,
        initial_indent=label.ljust(LABEL),
        subsequent_indent=" " * LABEL,
        break_on_hyphens=False,
    )


def _outcome(meaning: Meaning, *, doubtful: bool) -> str:
    outcome = outcome_told(meaning, doubtful=doubtful)
    if outcome is None:
        return "none yet: the row waits and is attempted again"
    if meaning.then is Then.RETRY:
        return f"{outcome}, if no further attempt brings a better answer"
    return outcome


def _why(explained: Explained) -> str:
    verdict = explained.verdict
    return plain(WHY[explained.ground].format(error_type=verdict.error_type, status=verdict.status))


def _then(reply: Reply, meaning: Meaning) -> str:
    wait = _wait(reply, meaning)
    match meaning.then:
        case Then.HOLD:
            pause = f"{FIRST_PAUSE:g} s, longer each time" if wait is None else f"{wait:.0f} s"
            return f"all calls are held for {pause}; the attempt does not count"
        case Then.STOP:
            code = Exit.CREDENTIALS if meaning.scope is Scope.CREDENTIALS else Exit.STOPPED
            return f"the run stops with exit {code:d}; once that is mended, the same command goes on"
        case Then.RETRY:
            held = "" if wait is None else f", once all calls have been held for {wait:.0f} s"
            return f"another attempt (--attempts){held}{_outage(meaning)}"
        case Then.SETTLE:
            return f"the row is settled{_beside(meaning)}"


def _outage(meaning: Meaning) -> str:
    if meaning.scope is not Scope.WORKSPACE:
        return ""
    return f"; {THRESHOLD} of these in a row are an outage: rows wait, one call at a time probes"


def _beside(meaning: Meaning) -> str:
    if meaning is ROOM_NOT_FOUND:
        return "; for a private group, groups.counters is asked before whether it is there but not joined"
    if meaning.scope is Scope.CREDENTIALS:
        return f"; {FORBIDDEN_IN_A_ROW} of these in a row stop the run with exit {Exit.CREDENTIALS:d}"
    return ""


def _wait(reply: Reply, meaning: Meaning) -> float | None:
    """Tell for how many seconds the answer makes all calls wait; None where it does not say."""
    if meaning.then is Then.HOLD:
        return asked_wait(reply)
    return retry_after(reply) if reply.status >= 500 else None


def _carried_out(meaning: Meaning, *, doubtful: bool) -> str:
    if meaning.then is Then.SETTLE and meaning.outcome in DONE:
        return "yes"
    if meaning.then is Then.SETTLE and meaning.outcome in NOTHING_TO_DO:
        return "no"
    return "perhaps" if meaning.maybe_done or doubtful else "no"


def _carried_out_in_words(meaning: Meaning, *, doubtful: bool) -> str:
    answer = _carried_out(meaning, doubtful=doubtful)
    if meaning.reason == CONFIRMED_ON_RETRY.reason:
        return "yes, by the earlier attempt whose answer was lost"
    if answer == "no" and meaning.outcome in NOTHING_TO_DO:
        return "no, there was nothing to do"
    if answer == "perhaps" and not meaning.maybe_done:
        return "not by this call; perhaps by the earlier attempt whose answer was lost"
    return "perhaps: this answer does not tell" if answer == "perhaps" else answer


def _limits(case: Case) -> str:
    if not case.with_headers:
        return "not known: the headers were not kept"
    headers = case.reply.headers
    limits = read_limits(headers)
    if limits is not None:
        return _window(limits, server_date(headers))
    if any(name.lower().startswith("x-ratelimit-") for name in headers):
        return "the X-RateLimit headers make no sense; they are ignored"
    return "no X-RateLimit headers: this account is not limited, or it was not Rocket.Chat that answered"


def _window(limits: Limits, date: float | None) -> str:
    until = datetime.fromtimestamp(limits.reset_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    after = "" if date is None else f", {max(0.0, limits.reset_at - date):.0f} s after this answer"
    calls = "1 call" if limits.limit == 1 else f"{limits.limit} calls"
    return f"{calls} in a window, {limits.remaining} left; it ends {until}{after} (the server's clock)"
