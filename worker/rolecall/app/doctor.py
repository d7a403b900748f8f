"""Examine a workspace and an account before the first run: one finding for each thing that a run depends on."""

from collections.abc import AsyncGenerator, Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from rolecall.app.connection import AppContext
from rolecall.engine.clock import Clock
from rolecall.models import NoReply, Reply, RolecallError
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import is_loopback
from rolecall.rocketchat.error_table import TOO_MANY_REQUESTS
from rolecall.rocketchat.operations import Role
from rolecall.rocketchat.preflight import BYPASS_RATE_LIMIT, INFO, ME, Account, parse_account, parse_version
from rolecall.rocketchat.rate_limit_headers import Limits, parse_limits, server_date
from rolecall.rocketchat.response_classifier import classify_read
from rolecall.rocketchat.responses import (
    PERMISSIONS,
    ROLES,
    ROOM_LISTS,
    ROOM_MEMBERS,
    ROOM_ROLES,
    Body,
    parse_described_roles,
    parse_listed_room,
    parse_members,
    parse_permission,
    parse_role_holders,
)

MAX_PROBES = 60
"""Calls that may be spent on whether the rate limit is enforced; a higher limit is not tested."""
NOT_FOUND = 404
MAX_CLOCK_DIFFERENCE = 60.0
"""Seconds between this machine's clock and the server's that need no attention."""
SEES_ROOMS_OF_OTHERS = "view-other-user-channels"
LISTS_ALL_GROUPS = "view-room-administration"


class Status(StrEnum):
    """Whether a finding needs attention."""

    OK = "ok"
    WARNING = "warning"
    """A run works, but something is missing for some jobs."""
    PROBLEM = "problem"
    """A run does not work."""
    SKIPPED = "skipped"
    """It was not examined."""


class Finding(NamedTuple):
    """What was found of one thing."""

    check: str
    status: Status
    text: str
    todo: str = ""
    """What to do; empty where there is nothing."""
    error: RolecallError | None = None
    """With what a run would end."""


class Visit(NamedTuple):
    """What the checks share."""

    client: Client
    app: AppContext
    account: Account
    permissions: Body | None
    """The response of `permissions.listAll`; None where the account may not read it."""


async def examine(app: AppContext) -> AsyncGenerator[Finding, None]:
    """Yield a finding for each thing that a run depends on; what depends on a problem is not examined.

    The calls only read; some of them count in the rate limit of their own route.
    """
    yield _address(app)
    try:
        proxy = app.connection.proxy
    except RolecallError as error:
        yield Finding("proxy", Status.PROBLEM, str(error), "correct the variable", error)
        return
    yield Finding("proxy", Status.OK, f"through {_without_password(proxy)}" if proxy else "none")
    try:
        async with Client(app.connection, app.credentials) as client:
            async for finding in _examine_server(client, app):
                yield finding
    except RolecallError as error:  # a CA file that cannot be used
        yield Finding("connection", Status.PROBLEM, str(error), "name a readable PEM file", error)


def _address(app: AppContext) -> Finding:
    url = app.connection.url
    if url.startswith("https://") or is_loopback(urlsplit(url).hostname or ""):
        return Finding("address", Status.OK, url)
    return Finding("address", Status.WARNING, f"{url}: the token is sent unencrypted", "use https:// if it is offered")


def _without_password(proxy: str) -> str:
    parts = urlsplit(proxy)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def _examine_server(client: Client, app: AppContext) -> AsyncGenerator[Finding, None]:
    info, me = await client.get(INFO), await client.get(ME)
    if isinstance(me, Reply):
        yield Finding("connection", Status.OK, _connected(app.connection.url, app.connection.ca_file))
    try:
        account = parse_account(me, app.connection.url)
    except RolecallError as error:
        check = "account" if isinstance(me, Reply) else "connection"
        yield Finding(check, Status.PROBLEM, str(error), "see the message", error)
        return
    yield _version(info)
    if isinstance(me, Reply):
        yield _clock(me)
    roles = ", ".join(account.roles) or "none"
    yield Finding("account", Status.OK, f"@{account.username} ({account.user_id}), workspace roles: {roles}")
    permissions = classify_read(await client.get_listing(PERMISSIONS)).body
    visit = Visit(client, app, account, permissions)
    for finding in _permissions(visit):
        yield finding
    yield await _described_roles(client)
    async for finding in _rooms(client):
        yield finding
    async for finding in _rate_limit(visit):  # at the end: it may use up the limit
        yield finding


def _connected(url: str, ca_file: str | None) -> str:
    if not url.startswith("https://"):
        return "the server answers, without TLS"
    trusted = f"by {ca_file}" if ca_file else "by this machine"
    return f"the server answers, its TLS certificate is trusted {trusted}"


def _version(reply: Reply | NoReply) -> Finding:
    version = parse_version(classify_read(reply).body or {})
    if version:
        return Finding("version", Status.OK, f"Rocket.Chat {version}")
    return Finding("version", Status.WARNING, "not shown", "nothing: a run does not need it")


def _clock(reply: Reply) -> Finding:
    date = server_date(reply.headers)
    if date is None:
        return Finding("clock", Status.WARNING, "the responses have no Date", "let the proxy pass it on")
    difference = Clock().wall_ms() / 1000 - date
    text = f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} the server's"
    if abs(difference) <= MAX_CLOCK_DIFFERENCE:
        return Finding("clock", Status.OK, text)
    return Finding("clock", Status.WARNING, text, "synchronise the clocks: times in reports come from both")


def _permissions(visit: Visit) -> list[Finding]:
    """Return who may change each role, and what the account sees of others."""
    if visit.permissions is None:
        return [Finding("permissions", Status.WARNING, "not readable", "rehearse in a test room to see what works")]
    own, found = frozenset(visit.account.roles), []
    for role in Role:
        holders = parse_permission(visit.permissions, f"set-{role}") or frozenset()
        if holders & own:
            found.append(Finding(f"set-{role}", Status.OK, "in every room that the account has joined"))
        elif holders & set(Role):
            rooms = "/".join(sorted(holders & set(Role)))
            text = f"only in rooms in which the account is {rooms}"
            found.append(
                Finding(f"set-{role}", Status.WARNING, text, f"make it one there, or give its role 'set-{role}'")
            )
        else:
            found.append(Finding(f"set-{role}", Status.PROBLEM, "in no room", f"give its role 'set-{role}'"))
    for permission, use in (
        (SEES_ROOMS_OF_OTHERS, "find people's roles (find --users, offboard)"),
        (LISTS_ALL_GROUPS, "list every private group (find --all-rooms)"),
    ):
        if own & (parse_permission(visit.permissions, permission) or frozenset()):
            found.append(Finding(permission, Status.OK, f"the account can {use}"))
        else:
            text = f"the account cannot {use}"
            found.append(Finding(permission, Status.WARNING, text, f"give its role '{permission}'"))
    return found


async def _described_roles(client: Client) -> Finding:
    body = classify_read(await client.get_listing(ROLES)).body
    described = parse_described_roles(body) if body is not None else None
    if described is None:
        return Finding("roles", Status.WARNING, "not readable", "give the account's role 'access-permissions'")
    hidden = [role.value for role in Role if role not in described]
    if not hidden:
        return Finding("roles", Status.OK, "leader, moderator and owner stand in the lists of a room")
    text = f"the lists of a room leave out {', '.join(hidden)}: the prior roles of such rows are unknown"
    return Finding("roles", Status.WARNING, text, "give the role a description, or restart the server")


async def _rate_limit(visit: Visit) -> AsyncGenerator[Finding, None]:
    """Yield what the headers say, and whether the server refuses what exceeds it."""
    limits = visit.account.limits
    if limits is None:
        yield Finding("rate limit", Status.OK, "none: the responses have no rate limit headers")
        return
    text = f"{limits.limit} calls in a window, for each method and address"
    holders = parse_permission(visit.permissions, BYPASS_RATE_LIMIT) if visit.permissions is not None else None
    if holders is not None and holders & frozenset(visit.account.roles):
        text += f"; its role has '{BYPASS_RATE_LIMIT}'"
    else:
        text += f"; its role does not have '{BYPASS_RATE_LIMIT}'"
    yield Finding("rate limit", Status.OK, text)
    yield await _enforcement(visit, limits)


async def _enforcement(visit: Visit, limits: Limits) -> Finding:
    """Use up the window of one method, and one call more: only its answer shows whether the limit is enforced."""
    name = "rate limit enforced"
    if limits.limit > MAX_PROBES:
        return Finding(name, Status.SKIPPED, f"a window of {limits.limit} calls is not used up for a test")
    seen: Limits | None = None
    for _ in range(limits.limit + 2):
        reply = await visit.client.get(ROOM_LISTS["groups"], count="1")
        if isinstance(reply, NoReply):
            return Finding(name, Status.SKIPPED, reply.detail)
        if reply.status == TOO_MANY_REQUESTS:
            return Finding(name, Status.OK, "yes: a call beyond the window is refused", _less_limited(visit))
        now = parse_limits(reply.headers)
        if seen is not None and now is not None and seen.remaining == now.remaining == 0:
            return Finding(name, Status.OK, "no: calls beyond the window are answered")
        seen = now
    return Finding(name, Status.SKIPPED, "another window began meanwhile")


def _less_limited(visit: Visit) -> str:
    return f"to be faster, give the role of @{visit.account.username} '{BYPASS_RATE_LIMIT}'"


async def _rooms(client: Client) -> AsyncGenerator[Finding, None]:
    """Yield how many groups the account has joined, and whether it reads roles and members of the first."""
    read = classify_read(await client.get_listing(ROOM_LISTS["groups"], count="1"))
    if read.body is None and read.verdict.status != NOT_FOUND:  # so says a server before 7.0 where there is none
        reason = read.verdict.rule
        yield Finding("groups", Status.SKIPPED, f"not readable: {reason.reason}", reason.hint)
        return
    body = read.body or {}
    groups, total = body.get("groups"), body.get("total")
    first = groups[0] if isinstance(groups, list) and groups else None
    room = parse_listed_room(first) if isinstance(first, dict) else None
    if room is None:
        todo = "invite it into the groups of the job: an admin too must be a member"
        yield Finding("groups", Status.WARNING, "the account has joined no private group", todo)
        return
    yield Finding("groups", Status.OK, f"the account has joined {total} private groups")
    roles = classify_read(await client.get_listing(ROOM_ROLES["groups"], roomId=room.room_id))
    members = classify_read(await client.get_listing(ROOM_MEMBERS["groups"], roomId=room.room_id, count="1"))
    if roles.body is not None:
        holders = len(parse_role_holders(roles.body))
        yield Finding("readable roles", Status.OK, f"#{room.name}: {holders} members with a role")
    else:
        yield _unreadable("readable roles", room.name, roles.verdict.rule.hint)
    if members.body is not None:
        yield Finding("readable members", Status.OK, f"#{room.name}: {parse_members(members.body)[1]} members")
    else:
        yield _unreadable("readable members", room.name, members.verdict.rule.hint)


def _unreadable(check: str, room: str, hint: str) -> Finding:
    return Finding(check, Status.WARNING, f"#{room}: not readable, so outcomes there are inferred", hint)


def worst(findings: Sequence[Finding]) -> Finding | None:
    """Return the first problem, which decides the exit code; None without one."""
    return next((finding for finding in findings if finding.status is Status.PROBLEM), None)
