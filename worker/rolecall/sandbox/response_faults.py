"""What a fault makes of an answer, as a pure function for each kind; bytes on the wire are `wire`'s matter."""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson

from rolecall.sandbox.answers import JSON, Answer, html_answer, json_answer, refusal, too_many_requests
from rolecall.sandbox.faults import Fault, Kind, Nonsense

Distortion: TypeAlias = Callable[[Fault, Answer, float], Answer]
"""Takes the fault, the ordinary answer (`NOT_ASKED` where the fault does not act) and the server's time."""

NOT_ASKED = Answer(0)
"""Stands for the ordinary answer of a call that never reached its method."""

UNOFFICIAL = {520: "Web Server Returned an Unknown Error", 521: "Web Server Is Down", 527: "Railgun Error"}

_YEAR = 365 * 86400


def distort(fault: Fault, answer: Answer, now: float) -> Answer:
    """Return what the fault answers instead; `carried_out` stays what it was.

    `now` is the server's clock in epoch seconds. Status 0 means that nothing is answered.
    """
    return replace(DISTORTIONS[fault.kind](fault, answer, now), carried_out=answer.carried_out)


def _silence(_fault: Fault, _answer: Answer, _now: float) -> Answer:
    return Answer(0)


def _unchanged(_fault: Fault, answer: Answer, _now: float) -> Answer:
    return answer


def _status(fault: Fault, _answer: Answer, _now: float) -> Answer:
    if fault.html:
        page = html_answer(fault.status, f"{fault.status} {_phrase(fault.status)}")
        return page if fault.retry_after is None else page.with_headers({"Retry-After": fault.retry_after})
    text = "Internal server error" if fault.status == 500 else _phrase(fault.status)
    return json_answer(fault.status, {"success": False, "error": text})


def _too_many(fault: Fault, _answer: Answer, now: float) -> Answer:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.html:
        return html_answer(429, "429 Too Many Requests").with_headers(headers)
    reset = str(round((now + fault.seconds) * 1000))
    limits = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    return too_many_requests(max(1, round(fault.seconds))).with_headers({**limits, **headers})


def _old_too_many(fault: Fault, _answer: Answer, _now: float) -> Answer:
    text = f"Error, too many requests. Please slow down. You must wait {max(1, round(fault.seconds))} seconds."
    return refusal("error-too-many-requests", text)


def _body(body: bytes) -> Distortion:
    """Return the distortion that answers 200 with this body, as JSON."""
    return lambda _fault, _answer, _now: Answer(200, body, JSON)


def _login_page(_fault: Fault, _answer: Answer, _now: float) -> Answer:
    return html_answer(200, "Sign in to continue")


def _redirect(fault: Fault, _answer: Answer, _now: float) -> Answer:
    return html_answer(302, "Found").with_headers({"Location": fault.location})


def _without_error_type(_fault: Fault, answer: Answer, _now: float) -> Answer:
    payload = _object(answer)
    payload.pop("errorType", None)
    return replace(answer, body=orjson.dumps(payload))


def _with_unknown_error_type(_fault: Fault, answer: Answer, _now: float) -> Answer:
    payload = _object(answer)
    if "errorType" not in payload:
        return answer
    unknown = {"error": "Something new [error-of-tomorrow]", "errorType": "error-of-tomorrow"}
    return replace(answer, body=orjson.dumps({**payload, **unknown}))


def _with_nonsense(fault: Fault, answer: Answer, now: float) -> Answer:
    reset = {
        Nonsense.SECONDS: str(round(now + 60)),
        Nonsense.NEGATIVE: "-1",
        Nonsense.PAST: str(round((now - 60) * 1000)),
        Nonsense.YEAR_AHEAD: str(round((now + _YEAR) * 1000)),
        Nonsense.TEXT: "soon",
    }[fault.nonsense]
    remaining = "few" if fault.nonsense is Nonsense.TEXT else "0"
    limits = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset}
    return answer.with_headers(limits)


def _object(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an ordinary answer."""
    payload: dict[str, Any] = orjson.loads(answer.body)
    return payload


def _phrase(status: int) -> str:
    """Return what a proxy calls this status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return UNOFFICIAL.get(status, "Origin Error")


DISTORTIONS: dict[Kind, Distortion] = {
    Kind.RESET_BEFORE: _silence,
    Kind.DROP_AFTER: _silence,
    Kind.HANG_BEFORE: _silence,
    Kind.HANG_AFTER: _silence,
    Kind.SLOW: _unchanged,
    Kind.STATUS: _status,
    Kind.TOO_MANY: _too_many,
    Kind.OLD_TOO_MANY: _old_too_many,
    Kind.GARBAGE: _body(b"\x00\xff\xfe{]not json"),
    Kind.EMPTY_200: _body(b""),
    Kind.HTML_200: _login_page,
    Kind.SUCCESS_MISSING: _body(b"{}"),
    Kind.SUCCESS_FALSE: _body(b'{"success":false}'),
    Kind.TRUNCATED: _unchanged,
    Kind.WRONG_LENGTH: _unchanged,
    Kind.HUGE: _body(b""),
    Kind.BOMB: _body(b""),
    Kind.ENDLESS: _body(b""),
    Kind.REDIRECT: _redirect,
    Kind.NO_ERROR_TYPE: _without_error_type,
    Kind.UNKNOWN_ERROR_TYPE: _with_unknown_error_type,
    Kind.NONSENSE_HEADERS: _with_nonsense,
    Kind.REVOKE: _unchanged,
}
"""What each kind makes of the ordinary answer."""
