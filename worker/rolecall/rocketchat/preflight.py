"""The call before the first row: check that the server is Rocket.Chat and that it accepts the credentials."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from rolecall.models import Advice, NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import AuthenticationError, InvalidUrlError, WorkspaceUnavailableError
from rolecall.rocketchat.error_table import TOO_MANY_REQUESTS
from rolecall.rocketchat.rate_limit_headers import Limits, parse_limits, retry_after
from rolecall.rocketchat.response_classifier import classify_read, parse_object, rate_limit_delay

ME = "/api/v1/me"
INFO = "/api/info"
"""Returns the server's version; shortened for accounts without `view-statistics`."""


BYPASS_RATE_LIMIT = "api-bypass-rate-limit"
"""The permission of accounts that are not limited; servers disagree on whether they send them the headers."""


class Account(NamedTuple):
    """The account that the credentials belong to."""

    user_id: str
    username: str
    roles: tuple[str, ...]
    limits: Limits | None
    """The rate limit window of the preflight route; None for an account that is not limited."""


async def fetch_current_user(client: Client, max_wait: float, on_wait: Callable[[float], None]) -> Reply | NoReply:
    """Call `GET /api/v1/me`; if it is rate limited, once more after the delay, at most `max_wait` seconds later.

    `on_wait` is called with the seconds before they are waited.
    """
    reply = await client.get(ME)
    if (delay := rate_limit_delay(reply)) is not None:
        wait = min(delay, max_wait)
        on_wait(wait)
        await asyncio.sleep(wait)
        reply = await client.get(ME)
    return reply


async def may_bypass_rate_limit(client: Client, account: Account) -> bool:
    """Return whether the account's roles have the permission, so that its limit may not be enforced.

    False for an account without rate limit headers, to which it makes no difference, and where the permissions cannot
    be read.
    """
    if account.limits is None or not account.roles:
        return False
    from rolecall.rocketchat.responses import PERMISSIONS, parse_permission  # after the first request

    body = classify_read(await client.get_listing(PERMISSIONS)).body
    roles = parse_permission(body, BYPASS_RATE_LIMIT) if body is not None else None
    return roles is not None and not roles.isdisjoint(account.roles)


def is_rocketchat_response(reply: Reply | NoReply) -> bool:
    """Return whether Rocket.Chat itself has responded, with any result: a JSON object and no 5xx."""
    return isinstance(reply, Reply) and reply.status < 500 and parse_object(reply.body) is not None


def is_authenticated(reply: Reply | NoReply) -> bool:
    """Return whether the workspace accepts the credentials, from the reply of `GET /api/v1/me`."""
    return isinstance(reply, Reply) and reply.status == 200 and is_rocketchat_response(reply)


def parse_version(body: Mapping[str, object]) -> str:
    """Parse the server's version from the response of `GET /api/info`; empty if it is missing."""
    info = body.get("info")
    version = body.get("version") or (info.get("version") if isinstance(info, Mapping) else None)
    return version if isinstance(version, str) else ""


def parse_account(reply: Reply | NoReply, url: str) -> Account:
    """Parse the reply of `GET /api/v1/me`.

    Raises AuthenticationError (401, 403, an account without a username), WorkspaceUnavailableError (429, 5xx), or
    InvalidUrlError for everything that is not Rocket.Chat.
    """
    if isinstance(reply, NoReply):
        raise _no_reply_error(reply, url)
    _require_usable_status(reply, url)
    body = parse_object(reply.body)
    user_id = body.get("_id") if body is not None else None
    if reply.status != 200 or body is None or not isinstance(user_id, str):
        raise InvalidUrlError(
            f"{url} is not a Rocket.Chat workspace: /api/v1/me answered {reply.status} with {_content_kind(reply)}; "
            "is a path missing, or is there a login page in front?",
            Advice.CHECK_URL,
        )
    username = body.get("username")
    if not username:
        raise AuthenticationError(
            f"{url}: the calling account has no username, so the server fails on every role change (500); "
            "give the account a username."
        )
    roles = body.get("roles")
    return Account(
        user_id,
        str(username),
        tuple(str(role) for role in roles) if isinstance(roles, list) else (),
        parse_limits(reply.headers),
    )


def _require_usable_status(reply: Reply, url: str) -> None:
    """Raise the error of a status whose cause is known."""
    if reply.status in (401, 403):
        raise AuthenticationError(f"{url} refuses the credentials ({reply.status}).", Advice.CHECK_CREDENTIALS)
    if reply.status == TOO_MANY_REQUESTS or reply.status >= 500:
        seconds = retry_after(reply)
        later = "later" if not seconds else f"in {seconds:.0f} s, as it asks (Retry-After)"
        raise WorkspaceUnavailableError(f"{url} cannot answer now ({reply.status}); try again {later}.")
    if 300 <= reply.status < 400:
        target = reply.headers.get("Location", "elsewhere")
        raise InvalidUrlError(
            f"{url} redirects to {target[:200]!r}, which is not followed, so that the token is not sent elsewhere; "
            "use the workspace's final URL.",
            Advice.CHECK_URL,
        )
    if reply.status == 407:
        raise InvalidUrlError(
            f"A proxy between this machine and {url} wants a user and password (407); set https_proxy or http_proxy."
        )


def _no_reply_error(reply: NoReply, url: str) -> InvalidUrlError:
    if reply.certificate_refused:
        return InvalidUrlError(f"{url}: {reply.detail}.", Advice.CA_FILE)
    if reply.by_proxy:
        return InvalidUrlError(
            f"Nothing usable answers at {url}: {reply.detail}. Check https_proxy, http_proxy, all_proxy and no_proxy."
        )
    return InvalidUrlError(f"Nothing usable answers at {url}: {reply.detail}.", Advice.CHECK_URL)


def _content_kind(reply: Reply) -> str:
    if not reply.body.strip():
        return "an empty body"
    if reply.body.lstrip()[:1] == b"<":
        return "an HTML page"
    return "JSON of another kind" if parse_object(reply.body) is not None else "something that is not JSON"
