"""Search room by room: everyone with the role in it; a private group shows its roles only to its members."""

import asyncio
from collections.abc import AsyncIterator

from rolecall.engine.directory.find_query import ROLE_NOT_LISTED, ROOMS_NOT_LISTED, FindQuery, LookupTarget, to_gap
from rolecall.engine.directory.lookups import RoleListing, is_hidden_group, read_role_holders
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import LookupGap, LookupResult, RoleAssignment
from rolecall.rocketchat.error_table import FORBIDDEN, NO_SUCH_ROUTE, ROOM_NOT_FOUND, ROOM_NOT_JOINED
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    ALL_GROUPS,
    ROOM_INFO,
    ROOM_LISTS,
    USER_INFO,
    ListedRoom,
    RoleHolder,
    UserInfo,
    parse_listed_room,
    parse_room_info,
    parse_user_info,
)


class FindByRoom:
    """Finds who has the role in rooms."""

    def __init__(self, reader: ReadClient, query: FindQuery) -> None:
        self._reader = reader
        self._query = query
        self._kind = query.kind
        self._known: dict[str, asyncio.Task[UserInfo | None]] = {}

    async def targets(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """Return each room to look up; a LookupResult where a list has gaps. Raises ShutdownRequested."""
        if not await RoleListing(self._reader).contains(self._query.role):
            yield LookupResult("role", gap=LookupGap(ROLE_NOT_LISTED, self._query.role))
        if self._query.all_rooms:
            async for target in self._listed():
                yield target
            return
        for word in self._query.rooms:
            yield LookupTarget(f"room {word}", word)

    async def look_up(self, target: LookupTarget) -> LookupResult:
        """Look up one room, and each user who has the role in it. Raises ShutdownRequested."""
        room = ListedRoom(target.word, target.name) if target.name else await self._identify(target.word)
        if isinstance(room, LookupGap):
            return LookupResult(target.key, gap=room)
        read = await read_role_holders(self._reader, self._kind, room.room_id)
        if isinstance(read, CallResult):
            return LookupResult(target.key, room.room_id, gap=_why_no_roles(read, f"#{room.name}"))
        holders = [holder for holder in read.holders.values() if self._query.role in holder.roles]
        rows = [await self._row(room, holder) for holder in holders]
        known = (room.room_id, f"#{room.name}")
        note = "" if target.word in known else f"{target.word} is #{room.name}"
        return LookupResult(target.key, room.room_id, tuple(rows), note=note)

    async def _listed(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """List every room; where that is not allowed, those of the account, with a gap for the others."""
        paths = [ALL_GROUPS, ROOM_LISTS["groups"]] if self._kind == "groups" else [ROOM_LISTS[self._kind]]
        for path in paths:
            async for entry in self._reader.entries(path, self._kind):
                if isinstance(entry, CallResult):
                    yield self._list_gap(entry)
                    if entry.rule is FORBIDDEN or entry.rule.reason == NO_SUCH_ROUTE.reason:
                        break
                    return
                if room := parse_listed_room(entry):
                    yield LookupTarget(f"room {room.room_id}", room.room_id, room.name)
            else:
                return

    def _list_gap(self, result: CallResult) -> LookupResult:
        what = f"other {self._kind}" if result.rule is FORBIDDEN else f"the list of {self._kind}"
        gap = LookupGap(ROOMS_NOT_LISTED, what) if result.rule is FORBIDDEN else to_gap(result, what)
        return LookupResult("rooms", gap=gap)

    async def _identify(self, word: str) -> ListedRoom | LookupGap:
        """Find a room by `#name`, or by a word that is an id or a name."""
        variants = [{"roomName": word[1:]}] if word.startswith("#") else [{"roomId": word}, {"roomName": word}]
        refused: LookupGap | None = None
        for variant in variants:
            read = await self._reader.read(ROOM_INFO[self._kind], **variant)
            room = parse_room_info(self._kind, read.body) if read.body is not None else None
            if room is not None:
                return room
            if read.verdict.rule is not ROOM_NOT_FOUND:
                return to_gap(read.verdict, word)
            if self._kind == "groups" and await is_hidden_group(self._reader, **variant):
                return LookupGap(ROOM_NOT_JOINED.reason, word)
            refused = refused or to_gap(read.verdict, word)
        if refused is None:
            raise AssertionError("there is at least one variant")
        return refused

    async def _row(self, room: ListedRoom, holder: RoleHolder) -> RoleAssignment:
        user = await self._user(holder.user_id)
        name, active = (user.name, user.active) if user is not None else ("", None)
        roles = tuple(sorted(holder.roles))
        return RoleAssignment(room.room_id, holder.user_id, room.name, holder.username, name, roles, active)

    async def _user(self, user_id: str) -> UserInfo | None:
        """Read a user once, also one with several rooms; None where the server shows nothing."""
        if user_id not in self._known:
            self._known[user_id] = asyncio.create_task(self._read_user(user_id))
        return await self._known[user_id]

    async def _read_user(self, user_id: str) -> UserInfo | None:
        read = await self._reader.read(USER_INFO, userId=user_id)
        return parse_user_info(read.body) if read.body is not None else None


def _why_no_roles(result: CallResult, room: str) -> LookupGap:
    """Return why a room that exists does not show its roles; ROOM_NOT_FOUND means that it is not joined."""
    if result.rule is ROOM_NOT_FOUND:
        return LookupGap(ROOM_NOT_JOINED.reason, room)
    return to_gap(result, room)
