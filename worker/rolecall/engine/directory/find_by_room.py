"""Asks room by room: everyone with the role in it; a private group tells its members only."""

import asyncio
from collections.abc import AsyncIterator

from rolecall.engine.directory.find_gaps import ROOMS_NOT_LISTED, to_gap
from rolecall.engine.directory.find_query import FindQuery
from rolecall.engine.directory.find_target import LookupTarget
from rolecall.engine.directory.role_check import read_role_holders
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import LookupGap, LookupResult, RoleAssignment
from rolecall.rocketchat.error_table import FORBIDDEN, NO_SUCH_ROUTE, ROOM_NOT_FOUND, ROOM_NOT_JOINED
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    ALL_GROUPS,
    COUNTERS,
    ROOM_INFO,
    ROOM_LISTS,
    USER_INFO,
    ListedRoom,
    RoleHolder,
    UserInfo,
    parse_joined,
    parse_listed_room,
    parse_room_info,
    parse_user_info,
)


class FindByRoom:
    """Finds who has the role in rooms."""

    def __init__(self, reader: ReadClient, question: FindQuery) -> None:
        self._reader = reader
        self._question = question
        self._kind = question.kind
        self._known: dict[str, asyncio.Task[UserInfo | None]] = {}

    async def units(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """Give each room to ask for; a Finding where a list has gaps. Raises Stopped."""
        if self._question.all_rooms:
            async for unit in self._listed():
                yield unit
            return
        for word in self._question.rooms:
            yield LookupTarget(f"room {word}", word)

    async def ask(self, unit: LookupTarget) -> LookupResult:
        """Ask for one room, and for each user who has the role in it. Raises Stopped."""
        room = ListedRoom(unit.word, unit.name) if unit.name else await self._identify(unit.word)
        if isinstance(room, LookupGap):
            return LookupResult(unit.key, gap=room)
        holders = await read_role_holders(self._reader, self._kind, room.room_id)
        if isinstance(holders, CallResult):
            return LookupResult(unit.key, room.room_id, gap=_why_no_roles(holders, f"#{room.name}"))
        rows = [await self._row(room, holder) for holder in holders if self._question.role in holder.roles]
        known = (room.room_id, f"#{room.name}")
        note = "" if unit.word in known else f"{unit.word} is #{room.name}"
        return LookupResult(unit.key, room.room_id, tuple(rows), note=note)

    async def _listed(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """List every room; where that is not allowed, those of the account, and say so."""
        paths = [ALL_GROUPS, ROOM_LISTS["groups"]] if self._kind == "groups" else [ROOM_LISTS[self._kind]]
        for path in paths:
            async for entry in self._reader.entries(path, self._kind):
                if isinstance(entry, CallResult):
                    yield self._list_broke_off(entry)
                    if entry.rule is FORBIDDEN or entry.rule.reason == NO_SUCH_ROUTE.reason:
                        break
                    return
                if room := parse_listed_room(entry):
                    yield LookupTarget(f"room {room.room_id}", room.room_id, room.name)
            else:
                return

    def _list_broke_off(self, verdict: CallResult) -> LookupResult:
        what = f"other {self._kind}" if verdict.rule is FORBIDDEN else f"the list of {self._kind}"
        unseen = LookupGap(ROOMS_NOT_LISTED, what) if verdict.rule is FORBIDDEN else to_gap(verdict, what)
        return LookupResult("rooms", gap=unseen)

    async def _identify(self, word: str) -> ListedRoom | LookupGap:
        """Find a room by `#name`, or by a word that is an id or a name."""
        ways = [{"roomName": word[1:]}] if word.startswith("#") else [{"roomId": word}, {"roomName": word}]
        refused: LookupGap | None = None
        for way in ways:
            read = await self._reader.read(ROOM_INFO[self._kind], **way)
            room = parse_room_info(self._kind, read.body) if read.body is not None else None
            if room is not None:
                return room
            if read.verdict.rule is not ROOM_NOT_FOUND:
                return to_gap(read.verdict, word)
            if self._kind == "groups" and await self._exists(way):
                return LookupGap(ROOM_NOT_JOINED.reason, word)
            refused = refused or to_gap(read.verdict, word)
        if refused is None:
            raise AssertionError("there is always a way")
        return refused

    async def _exists(self, way: dict[str, str]) -> bool:
        """Tell whether there is such a group all the same."""
        read = await self._reader.read(COUNTERS, **way)
        return read.body is not None and parse_joined(read.body) is False

    async def _row(self, room: ListedRoom, holder: RoleHolder) -> RoleAssignment:
        person = await self._person(holder.user_id)
        name, active = (person.name, person.active) if person is not None else ("", None)
        roles = tuple(sorted(holder.roles))
        return RoleAssignment(room.room_id, holder.user_id, room.name, holder.username, name, roles, active)

    async def _person(self, user_id: str) -> UserInfo | None:
        """Ask for a user once, however many rooms they have; None where nothing is told."""
        if user_id not in self._known:
            self._known[user_id] = asyncio.create_task(self._read_person(user_id))
        return await self._known[user_id]

    async def _read_person(self, user_id: str) -> UserInfo | None:
        read = await self._reader.read(USER_INFO, userId=user_id)
        return parse_user_info(read.body) if read.body is not None else None


def _why_no_roles(verdict: CallResult, room: str) -> LookupGap:
    """Say why a room that was found does not tell its roles; one that hides them is one that is not joined."""
    if verdict.rule is ROOM_NOT_FOUND:
        return LookupGap(ROOM_NOT_JOINED.reason, room)
    return to_gap(verdict, room)
