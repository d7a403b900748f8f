"""Tells 'no such private group' from 'the account is not a member of it', by one call a room."""

from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.models import Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import ROOM_NOT_FOUND, ROOM_NOT_JOINED
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import COUNTERS, is_joined, is_route_unavailable

TOO_MANY = 429
MAX_UNANSWERED = 3
"""Questions in a row without an answer, after which no more are put: what they tell is not worth a stall."""


class RoomVisibilityResolver:
    """Asks `groups.counters`, which needs no membership; costs nothing further once that is refused."""

    def __init__(self, client: Client, turnstile: RouteLimiter) -> None:
        """Take the client, and the turnstile of this route (each route has a window of its own)."""
        self._client = client
        self._turnstile = turnstile
        self._refused = False
        self._unanswered = 0

    async def explain(self, verdict: CallResult, room_id: str) -> CallResult:
        """Give the verdict again, with `room_not_joined` where the server knows the room."""
        if verdict.rule is not ROOM_NOT_FOUND or self._refused:
            return verdict
        await self._turnstile.enter()
        try:
            reply = await self._client.get(COUNTERS, roomId=room_id)
        except BaseException:
            self._turnstile.withdraw()
            raise
        self._turnstile.answered(reply, refused=False)
        answered = isinstance(reply, Reply) and reply.status < TOO_MANY
        self._unanswered = 0 if answered else self._unanswered + 1
        self._refused = is_route_unavailable(reply) or self._unanswered >= MAX_UNANSWERED
        return verdict._replace(rule=ROOM_NOT_JOINED) if is_joined(reply) is False else verdict
