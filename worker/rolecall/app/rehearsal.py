"""Rehearse on a real server: give and take a role of a test user, and compare every answer with the expected one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from rolecall.app.connection import AppContext, Connection, connect
from rolecall.app.doctor import Finding, Status
from rolecall.app.errors import OperatorError
from rolecall.engine.settlement import MESSAGE_TOLERANCE
from rolecall.models import NoReply, Reply
from rolecall.rocketchat.error_table import ROOM_NOT_FOUND, USER_NOT_FOUND, Answer
from rolecall.rocketchat.operations import OPERATIONS, Operation, Role
from rolecall.rocketchat.response_classifier import CallResult, classify, classify_read, rate_limit_delay
from rolecall.rocketchat.responses import (
    ROLES,
    ROOM_INFO,
    ROOM_ROLES,
    SYNC_MESSAGES,
    USER_INFO,
    Body,
    UserInfo,
    parse_described_roles,
    parse_role_holders,
    parse_role_messages,
    parse_room_info,
    parse_user_info,
)
from rolecall.text import rfc3339

MAX_RATE_LIMIT_WAIT = 120.0
"""Seconds that a rate limited call is delayed."""
NO_SUCH_ID = "rolecallRehearse0"
"""An id of 17 characters that no room and no user has."""
ROLE = Role.LEADER
HAD_ROLE = "the user has the role already, perhaps from another account: name another test user"
"""What an operator can do where the first call changed nothing."""
SPECIFIC_RULES = {"room": ROOM_NOT_FOUND, "user": USER_NOT_FOUND}
"""The rule of a call for an id that does not exist."""

Confirm = Callable[["Rehearsal"], bool]


class Rehearsal(NamedTuple):
    """Where a role is given and taken, and whose."""

    workspace: str
    kind: str
    """`groups` or `channels`."""
    room_id: str
    room_name: str
    user_id: str
    username: str

    def operation(self, *, adds: bool) -> Operation:
        """Return the operation that gives or takes the role."""
        return OPERATIONS[f"{self.kind}.{'add' if adds else 'remove'}{ROLE.title()}"]


async def rehearse(app: AppContext, room: str, user: str, confirm: Confirm) -> AsyncGenerator[Finding, None]:
    """Yield a finding for each step: OK where the answer is the expected one, else a problem with both.

    `room` is an id or `#name`, `user` an id or `@name` of a member without the role, so that nothing is lost; the role
    is taken again in any case. Nothing is changed before `confirm`. Raises RolecallError before that.
    """
    async with connect(app) as connection:
        rehearser = _Rehearser(app, connection, await _prepare(app, connection, room, user))
        if not confirm(rehearser.rehearsal):
            raise OperatorError("Nothing was sent.")
        async with aclosing(rehearser.run()) as findings:
            async for finding in findings:
                yield finding


async def _prepare(app: AppContext, connection: Connection, room: str, user: str) -> Rehearsal:
    """Find the room and the user. Raises OperatorError where either cannot be used."""
    query = {"roomName": room[1:]} if room.startswith("#") else {"roomId": room}
    for kind, path in ROOM_INFO.items():
        body = await _read(app, connection, path, **query)
        if body is not None and (found := parse_room_info(kind, body)) is not None:
            break
    else:
        raise OperatorError(f"There is no room {room} that the account has joined. Nothing was changed.")
    who = {"username": user[1:]} if user.startswith("@") else {"userId": user}
    body = await _read(app, connection, USER_INFO, **who)
    info = parse_user_info(body) if body is not None else None
    if info is None or not _is_named(info, user):
        raise OperatorError(f"There is no user {user}. Nothing was changed.")
    rehearsal = Rehearsal(app.connection.url, kind, found.room_id, found.name, info.user_id, info.username)
    await _require_no_role(app, connection, rehearsal)
    return rehearsal


def _is_named(info: UserInfo, user: str) -> bool:
    """Return whether this is the user of an id or `@name`: the server looks among the others, too."""
    if user.startswith("@"):
        return info.username.removeprefix("@").lower() == user[1:].lower()
    return info.user_id == user


async def _require_no_role(app: AppContext, connection: Connection, rehearsal: Rehearsal) -> None:
    """Raise OperatorError where the user has the role, or where that cannot be read."""
    roles = await _roles(app, connection, rehearsal)
    if roles is None:
        raise OperatorError(f"The roles in #{rehearsal.room_name} cannot be read. Nothing was changed.")
    if ROLE in roles:
        who = f"@{rehearsal.username} is {ROLE} of #{rehearsal.room_name}"
        raise OperatorError(f"{who}: name another user. Nothing was changed.")
    body = await _read(app, connection, ROLES)
    described = parse_described_roles(body) if body is not None else None
    if described is not None and ROLE not in described:
        why = f"the lists of the rooms leave out the role {ROLE}, which has no description"
        raise OperatorError(f"Whether @{rehearsal.username} is {ROLE} cannot be read: {why}. Nothing was changed.")


async def _roles(app: AppContext, connection: Connection, rehearsal: Rehearsal) -> frozenset[str] | None:
    """Return the roles of the user in the room; None where they cannot be read."""
    body = await _read(app, connection, ROOM_ROLES[rehearsal.kind], roomId=rehearsal.room_id)
    if body is None:
        return None
    return next((each.roles for each in parse_role_holders(body) if each.user_id == rehearsal.user_id), frozenset())


async def _read(app: AppContext, connection: Connection, path: str, **query: str) -> Body | None:
    return classify_read(await _patiently(app, lambda: connection.client.get_listing(path, **query))).body


async def _patiently(app: AppContext, call: Callable[[], Awaitable[Reply | NoReply]]) -> Reply | NoReply:
    """Make a call, and once more after the delay where it is rate limited."""
    reply = await call()
    delay = rate_limit_delay(reply)
    if delay is None or delay > MAX_RATE_LIMIT_WAIT:
        return reply
    app.observer.waiting(delay)
    await asyncio.sleep(delay)
    return await call()


@dataclass(slots=True)
class _Rehearser:
    """Makes the calls of one rehearsal."""

    app: AppContext
    connection: Connection
    rehearsal: Rehearsal
    may_have_role: bool = field(default=False, init=False)
    """Whether the user may have the role because of this rehearsal."""
    had_role: bool = field(default=False, init=False)
    """Whether the user had the role before, so that nothing is taken."""

    async def run(self) -> AsyncGenerator[Finding, None]:
        """Yield a finding for each step; the role is taken in the end in any case."""
        try:
            yield await self._change("give the role", Answer.DONE, adds=True)
            if self.had_role:
                return
            yield await self._read_back("read the role back", expected=True)
            yield await self._change("give it again", Answer.NOOP, adds=True)
            yield await self._change("take the role", Answer.DONE, adds=False)
            yield await self._read_back("read that it is gone", expected=False)
            yield await self._change("take it again", Answer.NOOP, adds=False)
            for what in SPECIFIC_RULES:
                yield await self._refused(what)
            yield await self._messages()
        finally:
            if self.may_have_role:
                await self._call(self.rehearsal.operation(adds=False))

    async def _call(self, operation: Operation, *, room_id: str = "", user_id: str = "") -> CallResult:
        room, user, client = (
            room_id or self.rehearsal.room_id,
            user_id or self.rehearsal.user_id,
            self.connection.client,
        )
        return classify(await _patiently(self.app, lambda: client.post_pair(operation.path, room, user)), operation)

    async def _change(self, step: str, expected: Answer, *, adds: bool) -> Finding:
        operation = self.rehearsal.operation(adds=adds)
        is_given, self.may_have_role = self.may_have_role, self.may_have_role or adds
        result = await self._call(operation)
        answer = result.rule.answer
        if adds and not is_given and answer is Answer.NOOP:  # given by another account since the role was read
            self.may_have_role, self.had_role = False, True
            seen = f"{_describe(result)}: the role is left as it is"
            return Finding(step, Status.PROBLEM, f"expected {operation.name}: {operation.done}, got {seen}", HAD_ROLE)
        if not adds and answer in (Answer.DONE, Answer.NOOP):
            self.may_have_role = False
        words = operation.done if expected is Answer.DONE else operation.nothing_to_do
        return _compare(
            step, f"{operation.name}: {words}", _describe(result), is_expected=answer is expected, result=result
        )

    async def _read_back(self, step: str, *, expected: bool) -> Finding:
        roles = await _roles(self.app, self.connection, self.rehearsal)
        seen = "not readable" if roles is None else f"roles {', '.join(sorted(roles)) or 'none'}"
        wanted = f"{ROLE} {'among' if expected else 'not among'} the user's roles"
        return _compare(step, wanted, seen, is_expected=roles is not None and (ROLE in roles) is expected)

    async def _refused(self, what: str) -> Finding:
        rule = SPECIFIC_RULES[what]
        ids = {f"{what}_id": NO_SUCH_ID}
        result = await self._call(self.rehearsal.operation(adds=False), **ids)
        step = f"a {what} that does not exist"
        return _compare(
            step, rule.reason, _describe(result), is_expected=result.rule.reason == rule.reason, result=result
        )

    async def _messages(self) -> Finding:
        """Compare the system messages, which settle rows whose response was lost."""
        step, account = "read the system messages", self.connection.account.user_id
        if self.connection.server_date is None:
            return Finding(step, Status.SKIPPED, "the responses have no Date")
        since = rfc3339(round(self.connection.server_date * 1000) - MESSAGE_TOLERANCE) or ""
        body = await _read(self.app, self.connection, SYNC_MESSAGES, roomId=self.rehearsal.room_id, lastUpdate=since)
        changes = [
            message.adds
            for message in (parse_role_messages(body) if body is not None else [])
            if (message.username, message.role, message.account_id) == (self.rehearsal.username, ROLE, account)
        ]
        seen = ", ".join("given" if adds else "taken" for adds in changes) or "none"
        wanted = "one that the role was given, then one that it was taken, by this account"
        return _compare(step, wanted, seen, is_expected=changes == [True, False])


def _describe(result: CallResult) -> str:
    status = "no response" if result.status is None else str(result.status)
    return f"{status} {result.rule.reason or result.rule.outcome}".strip()


def _compare(step: str, expected: str, seen: str, *, is_expected: bool, result: CallResult | None = None) -> Finding:
    if is_expected:
        return Finding(step, Status.OK, f"as expected ({expected})")
    hint = result.rule.hint if result is not None else ""
    message = f" '{result.message}'" if result is not None and result.message else ""
    return Finding(step, Status.PROBLEM, f"expected {expected}, got {seen}{message}", hint or "report this difference")
