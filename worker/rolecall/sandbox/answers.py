"""The answers of the server as values: nothing here is on the wire yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}

LOGIN_FIRST = "You must be logged in to do this."


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: what goes on the wire, and whether a role change was carried out for it."""

    status: int
    """The HTTP status; 0 where nothing is answered at all."""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    carried_out: bool = False

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Return the same answer with further headers."""
        return replace(self, headers={**self.headers, **headers})


def json_answer(status: int, payload: object) -> Answer:
    """Return an answer whose body is this value as JSON."""
    return Answer(status, orjson.dumps(payload))


def html_answer(status: int, text: str) -> Answer:
    """Return an answer whose body is an HTML page saying this text."""
    page = f"<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n"
    return Answer(status, page.encode(), HTML)


def success(**payload: Any) -> Answer:
    """Return a 200 with these fields and `success: true`."""
    return json_answer(200, {**payload, "success": True})


def refusal(error_type: str, text: str, method: str = "") -> Answer:
    """Return a 400 with an `errorType`; errors of the room methods also tell the method in `details`."""
    payload = {"success": False, "error": f"{text} [{error_type}]".strip(), "errorType": error_type}
    return json_answer(400, {**payload, "details": {"method": method}} if method else payload)


def plain_refusal(text: str) -> Answer:
    """Return a 400 that has a text alone: no `errorType`, no brackets."""
    return json_answer(400, {"success": False, "error": text})


def invalid_params(text: str) -> Answer:
    """Return the 400 for parameters that do not fit the schema of their route."""
    return refusal("invalid-params", text)


def unauthenticated(*, legacy: bool) -> Answer:
    """Return the 401 for a wrong, expired or revoked token, in the older form or in that of 8.x."""
    if legacy:
        return json_answer(401, {"status": "error", "message": LOGIN_FIRST})
    return json_answer(401, {"success": False, "error": LOGIN_FIRST})


def forbidden(status: int) -> Answer:
    """Return the refusal of a whole route to this account."""
    text = "User does not have the permissions required for this action [error-unauthorized]"
    return json_answer(status, {"success": False, "error": text})


def too_many_requests(seconds: int) -> Answer:
    """Return the 429 of the server's own limiter; it has neither `errorType` nor `Retry-After`."""
    text = (
        "Error, too many requests. Please slow down. "
        f"You must wait {seconds} seconds before trying this endpoint again. [error-too-many-requests]"
    )
    return json_answer(429, {"success": False, "error": text})


def no_such_route() -> Answer:
    """Return the 404 for a path under `/api/` that is no route."""
    return json_answer(404, {"status": "error", "message": "API endpoint does not exist"})
