"""Responses of the server as values: status, headers and body; documents of users and rooms; pages of lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from rolecall.sandbox.entities import Paging, Post, Room, SystemMessage, User
from rolecall.sandbox.world import World

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
TEXT = {"Content-Type": "text/plain; charset=UTF-8"}

TIMESTAMP = "2026-01-02T03:04:05.678Z"
"""The value of every time in a body, except in messages: the sandbox keeps no other history."""

LOGIN_REQUIRED = "You must be logged in to do this."


@dataclass(frozen=True, slots=True)
class Response:
    """One response, and whether a role change was carried out for it."""

    status: int
    """The HTTP status; 0 if no response is sent."""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    carried_out: bool = False

    def with_headers(self, headers: Mapping[str, str]) -> "Response":
        """Return a copy with additional headers."""
        return replace(self, headers={**self.headers, **headers})


def json_response(status: int, payload: object) -> Response:
    """Return a response with this value as its JSON body."""
    return Response(status, orjson.dumps(payload))


def html_response(status: int, text: str) -> Response:
    """Return a response with an HTML page that shows this text."""
    page = f"<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n"
    return Response(status, page.encode(), HTML)


def text_response(status: int, text: str) -> Response:
    """Return a response with this text as its body."""
    return Response(status, text.encode(), TEXT)


def success(**payload: Any) -> Response:
    """Return a 200 with these fields and `success: true`."""
    return json_response(200, {**payload, "success": True})


def refusal(error_type: str, text: str, method: str = "") -> Response:
    """Return a 400 with an `errorType`; errors of the room methods also name the method in `details`."""
    payload = {"success": False, "error": f"{text} [{error_type}]".strip(), "errorType": error_type}
    return json_response(400, {**payload, "details": {"method": method}} if method else payload)


def plain_refusal(text: str, status: int = 400) -> Response:
    """Return a 400 with a text only: no `errorType`, no brackets."""
    return json_response(status, {"success": False, "error": text})


def invalid_params(text: str) -> Response:
    """Return the 400 for parameters that do not match the schema of their route; it is checked after the limiter."""
    return refusal("invalid-params", text)


def schema_error(error_type: str, text: str) -> Response:
    """Return the 400 of a schema that is checked before the limiter: with an `errorType`, without brackets."""
    return json_response(400, {"success": False, "error": text, "errorType": error_type})


def unauthenticated(release: tuple[int, int]) -> Response:
    """Return the 401 for a wrong, expired or revoked token: 8.x has the fields of both older and newer servers."""
    older = {"status": "error", "message": LOGIN_REQUIRED}
    newer = {"success": False, "error": LOGIN_REQUIRED}
    if release < (8, 0):
        return json_response(401, older)
    return json_response(401, newer if release >= (9, 0) else {**newer, **older})


def forbidden(status: int) -> Response:
    """Return the response to an account that may not use the route at all."""
    text = "User does not have the permissions required for this action [error-unauthorized]"
    return plain_refusal(text, status)


def too_many_requests(seconds: int) -> Response:
    """Return the 429 of the server's rate limiter; it has neither `errorType` nor `Retry-After`."""
    text = (
        "Error, too many requests. Please slow down. "
        f"You must wait {seconds} seconds before trying this endpoint again. [error-too-many-requests]"
    )
    return plain_refusal(text, 429)


def rate_limit_headers(limit: int, remaining: int | str, reset: int | str) -> dict[str, str]:
    """Return the three headers of a limited route; the reset is in epoch milliseconds of the server's clock.

    Text stands for a value that no server sends.
    """
    return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(reset)}


def no_such_route(release: tuple[int, int]) -> Response:
    """Return the 404 for an unknown path below `/api/`: text from 8.0 on, JSON before."""
    if release >= (8, 0):
        return text_response(404, "404 Not Found")
    return json_response(404, {"status": "error", "message": "API endpoint does not exist"})


# Documents; a field without a value is absent


def user_document(user: User) -> dict[str, Any]:
    """Return all fields of a user; the routes remove those that their caller may not see."""
    return _without_none(
        {
            "_id": user.id,
            "username": user.username,
            "name": user.name or user.username,
            "emails": [{"address": user.email, "verified": True}] if user.email else None,
            "type": "user",
            "status": "offline",
            "active": user.active,
            "roles": list(user.roles),
            "lastLogin": TIMESTAMP,
        }
    )


def user_reference(user: User) -> dict[str, Any]:
    """Return the short form of a user that other documents have under `u`."""
    return _without_none({"_id": user.id, "username": user.username or "", "name": user.name or None})


def room_document(world: World, room: Room) -> dict[str, Any]:
    """Return a room; its creator (`u`) is the first owner, else the first member."""
    creators = sorted(room.members, key=lambda user_id: not room.has_role(user_id, "owner"))
    return _without_none(
        {
            "_id": room.id,
            "name": room.name,
            "fname": room.display_name or room.name,
            "t": room.type,
            "msgs": message_count(world, room),
            "usersCount": len(room.members),
            "u": user_reference(world.users[creators[0]]) if creators else None,
            "ts": TIMESTAMP,
            "ro": False,
            "default": False,
            "sysMes": True,
            "archived": room.archived or None,
            "_updatedAt": TIMESTAMP,
        }
    )


def subscription_document(room: Room, user_id: str) -> dict[str, Any]:
    """Return one membership as in `users.info`; `roles` may be empty, or absent if it was never set."""
    roles = room.members[user_id]
    return _without_none(
        {
            "_id": f"{room.id}{user_id}",
            "rid": room.id,
            "name": room.name,
            "t": room.type,
            "unread": 0,
            "roles": None if roles is None else list(roles),
        }
    )


def message_count(world: World, room: Room) -> int:
    """Return the number of messages in a room, system messages included."""
    return sum(message.room_id == room.id for message in world.record.history)


def message_document(world: World, number: int, message: SystemMessage | Post) -> dict[str, Any]:
    """Return a message of a room; `number` is its place in the history, counted from 1."""
    own: dict[str, Any]
    if isinstance(message, SystemMessage):
        author, own = message.caller_id, {"t": message.type, "msg": message.username, "role": message.role}
    else:
        author, own = message.user_id, {"msg": message.text, "alias": message.alias, "parseUrls": True}
    time = iso_time(message.time)
    base = {"_id": f"message{number}", "rid": message.room_id, "ts": time, "_updatedAt": time, "groupable": False}
    return {**base, "u": user_reference(world.users[author]), **own}


def iso_time(seconds: float) -> str:
    """Return epoch seconds as the server writes a time: in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {key: value for key, value in document.items() if value is not None}


# Lists in pages


def paged(paging: Paging, params: Mapping[str, object], key: str, items: Sequence[Mapping[str, Any]]) -> Response:
    """Return the page of `items` that `offset` and `count` select, under this key; beyond the end it is empty."""
    offset, count = _parse_number(params, "offset"), _parse_number(params, "count")
    if isinstance(offset, Response):
        return offset
    if isinstance(count, Response):
        return count
    start, length = offset or 0, paging.default if count is None else min(count, paging.upper)
    if length == 0 and not paging.infinite:
        length = paging.default
    page = items[start : start + length] if length else items[start:]
    return success(**{key: list(page)}, count=len(page), offset=start, total=len(items))


def _parse_number(params: Mapping[str, object], name: str) -> int | Response | None:
    """Return a parameter as a whole number, None if it is absent, or the 400 for anything else."""
    text = params.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
        return invalid_params("must be number")
    return int(text)
