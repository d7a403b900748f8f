"""Reads users and their rooms, with the query that this server understands."""

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
    """Reads `users.info`; learns from the first responses which query returns the rooms."""

    def __init__(self, reader: ReadClient) -> None:
        self._reader = reader
        self._variants: QueryVariants = WITH_ROOMS

    async def by_id(self, user_id: str) -> UserInfo | CallResult:
        """Read a user by id; a CallResult says why there is none. Raises ShutdownRequested."""
        user = await self._read(userId=user_id)
        if isinstance(user, UserInfo) and user.user_id != user_id:  # the server also looks among the usernames
            message = f"{user_id} is no id, but the username of {user.user_id}: call its column username"
            return CallResult(USER_NOT_FOUND, "", message, None)
        return user

    async def by_username(self, username: str) -> UserInfo | CallResult:
        """Read a user by username, without the `@`; a CallResult says why there is none. Raises ShutdownRequested."""
        return await self._read(username=username)

    async def _read(self, **key: str) -> UserInfo | CallResult:
        """Try the query variants that may be the server's; the first user that is found shows which it is."""
        refused: CallResult | None = None
        without_rooms: tuple[QueryVariant, UserInfo] | None = None
        for variant in self._variants:
            read = await self._reader.read(USER_INFO, **key, **variant)
            user = parse_user_info(read.body) if read.body is not None else None
            user = user._replace(read_at=read.date) if user is not None else None
            if user is not None and user.rooms is not None:
                self._variants = [variant]
                return user
            if user is not None:
                without_rooms = without_rooms or (variant, user)
            elif read.verdict.rule in (BAD_REQUEST, USER_NOT_FOUND):
                refused = read.verdict
            else:
                return read.verdict
        if without_rooms is not None:  # no query variant shows the rooms of other users to this account
            variant, user = without_rooms
            self._variants = [variant]
            return user
        if refused is None:
            raise AssertionError("there is at least one variant")
        return refused
