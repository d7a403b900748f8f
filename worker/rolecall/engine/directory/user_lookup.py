"""Asks for users and their rooms, in the way that this server understands."""

from rolecall.engine.throttle.read_client import ReadClient
from rolecall.rocketchat.error_table import BAD_REQUEST, USER_NOT_FOUND
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    USER_INFO,
    WITH_ROOMS,
    QueryVariant,
    QueryVariants,
    UserInfo,
    parse_user_info,
)


class UserLookup:
    """What `users.info` tells; learns from the first answers how the rooms must be asked for."""

    def __init__(self, reader: ReadClient) -> None:
        self._reader = reader
        self._ways: QueryVariants = WITH_ROOMS

    async def by_id(self, user_id: str) -> UserInfo | CallResult:
        """Ask for a user by id; a Verdict says why there is none. Raises Stopped."""
        person = await self._ask(userId=user_id)
        if isinstance(person, UserInfo) and person.user_id != user_id:  # the server also looks among the usernames
            return CallResult(USER_NOT_FOUND, "", f"no id, but the username of {person.user_id}", None)
        return person

    async def by_username(self, username: str) -> UserInfo | CallResult:
        """Ask for a user by username, without the `@`; a Verdict says why there is none. Raises Stopped."""
        return await self._ask(username=username)

    async def _ask(self, **who: str) -> UserInfo | CallResult:
        """Ask in the ways that may still be the server's; the first user that is found shows which it is."""
        refused: CallResult | None = None
        without_rooms: tuple[QueryVariant, UserInfo] | None = None
        for way in self._ways:
            read = await self._reader.read(USER_INFO, **who, **way)
            person = parse_user_info(read.body) if read.body is not None else None
            if person is not None and person.rooms is not None:
                self._ways = [way]
                return person
            if person is not None:
                without_rooms = without_rooms or (way, person)
            elif read.verdict.rule in (BAD_REQUEST, USER_NOT_FOUND):
                refused = read.verdict
            else:
                return read.verdict
        if without_rooms is not None:  # nobody's rooms are shown to this account, in whatever way it asks
            way, person = without_rooms
            self._ways = [way]
            return person
        if refused is None:
            raise AssertionError("there is always a way left")
        return refused
