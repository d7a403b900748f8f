"""The faults that change a response: one pure function for each kind; `wire_faults` has those of the connection."""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson

from rolecall.sandbox.faults import Fault, Kind, Nonsense
from rolecall.sandbox.responses import (
    JSON,
    Response,
    html_response,
    plain_refusal,
    rate_limit_headers,
    refusal,
    too_many_requests,
)

ResponseFault: TypeAlias = Callable[[Fault, Response, float], Response]
"""Called with the fault, the normal response (`NO_RESPONSE` if the fault does not act) and the server's time."""

NO_RESPONSE = Response(0)
"""The response to a call that no route handles."""

UNOFFICIAL_STATUSES = {520: "Web Server Returned an Unknown Error", 521: "Web Server Is Down", 527: "Railgun Error"}

_YEAR = 365 * 86400


def apply_fault(fault: Fault, response: Response, now: float) -> Response:
    """Return the response after the fault; `carried_out` stays as it was.

    `now` is the server's clock in epoch seconds. Status 0 means that no response is sent.
    """
    return replace(RESPONSE_FAULTS[fault.kind](fault, response, now), carried_out=response.carried_out)


def _no_response(_fault: Fault, _response: Response, _now: float) -> Response:
    return NO_RESPONSE


def _unchanged(_fault: Fault, response: Response, _now: float) -> Response:
    return response


def _status(fault: Fault, _response: Response, _now: float) -> Response:
    if fault.html:
        page = html_response(fault.status, fault.text or f"{fault.status} {_phrase(fault.status)}")
        return page if fault.retry_after is None else page.with_headers({"Retry-After": fault.retry_after})
    text = "Internal server error" if fault.status == 500 else _phrase(fault.status)
    return plain_refusal(fault.text or text, fault.status)


def _exception(_fault: Fault, response: Response, _now: float) -> Response:
    """Return the 400 of an exception that the server did not expect; a call that it refuses does not come so far."""
    if response.status != 200:
        return response
    return replace(response, status=400, body=plain_refusal("not primary").body)


def _too_many(fault: Fault, _response: Response, now: float) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.html:
        return html_response(429, "429 Too Many Requests").with_headers(headers)
    limits = rate_limit_headers(10, 0, round((now + fault.seconds) * 1000))
    return too_many_requests(round(fault.seconds)).with_headers({**limits, **headers})


def _old_too_many(fault: Fault, _response: Response, _now: float) -> Response:
    text = f"Error, too many requests. Please slow down. You must wait {max(1, round(fault.seconds))} seconds."
    return refusal("error-too-many-requests", text)


def _fixed_body(body: bytes) -> ResponseFault:
    """Return the fault that responds with 200 and this body, as JSON."""
    return lambda _fault, _response, _now: Response(200, body, JSON)


def _login_page(_fault: Fault, _response: Response, _now: float) -> Response:
    return html_response(200, "Sign in to continue")


def _redirect(fault: Fault, _response: Response, _now: float) -> Response:
    return html_response(302, "Found").with_headers({"Location": fault.location})


def _without_error_type(_fault: Fault, response: Response, _now: float) -> Response:
    payload = _parse_payload(response)
    payload.pop("errorType", None)
    return replace(response, body=orjson.dumps(payload))


def _with_unknown_error_type(_fault: Fault, response: Response, _now: float) -> Response:
    payload = _parse_payload(response)
    if "errorType" not in payload:
        return response
    unknown = {"error": "Something new [error-of-tomorrow]", "errorType": "error-of-tomorrow"}
    return replace(response, body=orjson.dumps({**payload, **unknown}))


def _with_nonsense_headers(fault: Fault, response: Response, now: float) -> Response:
    reset = {
        Nonsense.SECONDS: str(round(now + 60)),
        Nonsense.NEGATIVE: "-1",
        Nonsense.PAST: str(round((now - 60) * 1000)),
        Nonsense.YEAR_AHEAD: str(round((now + _YEAR) * 1000)),
        Nonsense.TEXT: "soon",
    }[fault.nonsense]
    remaining = "few" if fault.nonsense is Nonsense.TEXT else "0"
    return response.with_headers(rate_limit_headers(10, remaining, reset))


def _parse_payload(response: Response) -> dict[str, Any]:
    """Return the JSON object of a normal response."""
    payload: dict[str, Any] = orjson.loads(response.body)
    return payload


def _phrase(status: int) -> str:
    """Return a proxy's text for this status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return UNOFFICIAL_STATUSES.get(status, "Origin Error")


RESPONSE_FAULTS: dict[Kind, ResponseFault] = {
    Kind.RESET_BEFORE: _no_response,
    Kind.DROP_AFTER: _no_response,
    Kind.HANG_BEFORE: _no_response,
    Kind.HANG_AFTER: _no_response,
    Kind.SLOW: _unchanged,
    Kind.STATUS: _status,
    Kind.EXCEPTION: _exception,
    Kind.REPEATED: _unchanged,
    Kind.TOO_MANY: _too_many,
    Kind.OLD_TOO_MANY: _old_too_many,
    Kind.GARBAGE: _fixed_body(b"\x00\xff\xfe{]not json"),
    Kind.EMPTY_200: _fixed_body(b""),
    Kind.HTML_200: _login_page,
    Kind.SUCCESS_MISSING: _fixed_body(b"{}"),
    Kind.SUCCESS_FALSE: _fixed_body(b'{"success":false}'),
    Kind.TRUNCATED: _unchanged,
    Kind.WRONG_LENGTH: _unchanged,
    Kind.HUGE: _fixed_body(b""),
    Kind.BOMB: _fixed_body(b""),
    Kind.ENDLESS: _fixed_body(b""),
    Kind.REDIRECT: _redirect,
    Kind.NO_ERROR_TYPE: _without_error_type,
    Kind.UNKNOWN_ERROR_TYPE: _with_unknown_error_type,
    Kind.NONSENSE_HEADERS: _with_nonsense_headers,
    Kind.REVOKE: _unchanged,
}
"""The effect of each kind on the normal response."""
