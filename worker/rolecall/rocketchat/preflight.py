"""The one call before the first row: is this Rocket.Chat, and does it know us?"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import CERTIFICATE_REFUSED, Client
from rolecall.rocketchat.rate_limit_headers import Limits, parse_limits, retry_delay
from rolecall.rocketchat.response_classifier import parse_object
from rolecall.rocketchat.url import InvalidUrlError

ME = "/api/v1/me"
INFO = "/api/info"
"""Answers with the server's version; shortened for accounts without `view-statistics`."""


class AuthenticationError(Exception):
    """The workspace does not accept the token; the text is one line for a person."""


class WorkspaceUnavailableError(Exception):
    """The workspace is there but cannot answer now; the text is one line for a person."""


class Account(NamedTuple):
    """Who the workspace says we are."""

    user_id: str
    username: str
    roles: tuple[str, ...]
    limits: Limits | None
    """The window of the preflight route; None for an account that is not limited."""


async def fetch_current_user(client: Client, patience: float, on_wait: Callable[[float], None]) -> Reply | NoReply:
    """Make the call; where that route's own window is full, once more after it, at most `patience` seconds later.

    `on_wait` is told the seconds before they are waited.
    """
    reply = await client.get(ME)
    if isinstance(reply, Reply) and reply.status == 429:
        wait = min(retry_delay(reply) or 1.0, patience)
        on_wait(wait)
        await asyncio.sleep(wait)
        reply = await client.get(ME)
    return reply


def is_rocketchat_response(reply: Reply | NoReply) -> bool:
    """Tell whether Rocket.Chat itself has answered, whatever it said: JSON, and no fault of a server."""
    return isinstance(reply, Reply) and reply.status < 500 and parse_object(reply.body) is not None


def parse_version(body: Mapping[str, object]) -> str:
    """Read the server's version from the answer of `GET /api/info`; empty where it is not told."""
    info = body.get("info")
    version = body.get("version") or (info.get("version") if isinstance(info, Mapping) else None)
    return version if isinstance(version, str) else ""


def is_authenticated(reply: Reply | NoReply) -> bool:
    """Tell whether the workspace has accepted the credentials in an answer to `GET /api/v1/me`."""
    return isinstance(reply, Reply) and reply.status == 200 and is_rocketchat_response(reply)


def parse_account(reply: Reply | NoReply, url: str) -> Account:
    """Read the answer to `GET /api/v1/me`.

    Raises AuthenticationError (401, 403), WorkspaceUnavailableError (5xx, 429) or InvalidUrlError (anything that is not Rocket.Chat).
    """
    if isinstance(reply, NoReply):
        if reply.detail.startswith(CERTIFICATE_REFUSED):
            raise InvalidUrlError(
                f"{url}: {reply.detail}. Name your own authority with --ca-file; it is never skipped."
            )
        raise InvalidUrlError(f"Nothing usable answers at {url}: {reply.detail}. Check ROCKETCHAT_URL and the network.")
    if reply.status in (401, 403):
        raise AuthenticationError(
            f"{url} refuses the credentials ({reply.status}): check ROCKETCHAT_USER_ID and ROCKETCHAT_AUTH_TOKEN; "
            "a personal access token may have been revoked."
        )
    if reply.status == 429 or reply.status >= 500:
        raise WorkspaceUnavailableError(f"{url} cannot answer now ({reply.status}); try again later.")
    if 300 <= reply.status < 400:
        target = reply.headers.get("Location", "elsewhere")
        raise InvalidUrlError(
            f"{url} redirects to {target[:200]!r}, which is not followed, so that the token goes nowhere else; "
            "give the workspace's final address as ROCKETCHAT_URL."
        )
    body = parse_object(reply.body)
    user_id = body.get("_id") if body is not None else None
    if reply.status != 200 or body is None or not isinstance(user_id, str):
        raise InvalidUrlError(
            f"{url} is not a Rocket.Chat workspace: /api/v1/me answered {reply.status} with {_kind(reply)}; "
            "check ROCKETCHAT_URL (a missing path? a login page in front?)."
        )
    roles = body.get("roles")
    return Account(
        user_id,
        str(body.get("username") or user_id),
        tuple(str(role) for role in roles) if isinstance(roles, list) else (),
        parse_limits(reply.headers),
    )


def _kind(reply: Reply) -> str:
    if not reply.body.strip():
        return "an empty body"
    if reply.body.lstrip()[:1] == b"<":
        return "an HTML page"
    return "JSON of another kind" if parse_object(reply.body) is not None else "something that is not JSON"
