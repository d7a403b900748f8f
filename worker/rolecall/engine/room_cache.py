"""Rooms that reject every request: a cache of them, and the reason behind 'no such room'.

The first row of an unknown room is sent alone; the room's other rows wait for its result. Memory stays bounded: the
oldest room is forgotten first, and sending a row to a forgotten room is harmless.
"""

from collections import OrderedDict
from typing import NamedTuple, TypeVar

from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.models import DueRow, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import ROOM_NOT_FOUND, ROOM_NOT_JOINED, TOO_MANY_REQUESTS, ErrorScope
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import COUNTERS, is_joined, is_route_unavailable

T = TypeVar("T")

MAX_PARKED = 1000
"""Rows that may wait for the first row of their room; further rows are sent at once."""
USABLE_ROOM = DONE | NOTHING_TO_DO
"""Outcomes that show that a room accepts requests."""
MAX_ROOMS = 10_000
"""Rooms of each kind (accepting, rejecting) that are remembered."""
MAX_UNANSWERED = 3
"""Requests in a row without a usable response, after which the resolver sends no more: they are not worth a delay."""


class RejectedRoom(NamedTuple):
    """Why a room rejects every request, and which row got that response."""

    result: CallResult
    line: int


class RoomCache:
    """What the responses of this session showed about rooms."""

    def __init__(self) -> None:
        self._accepting: OrderedDict[str, None] = OrderedDict()
        self._rejected: OrderedDict[str, RejectedRoom] = OrderedDict()
        self._waiting: dict[str, list[DueRow]] = {}
        self.parked = 0
        """Rows that wait for the first row of their room."""

    def admit(self, row: DueRow) -> bool:
        """Return True for a row that may be sent; False parks it until the first row of its room has a result."""
        room = row.room_id
        if room in self._accepting or room in self._rejected or self.parked >= MAX_PARKED:
            return True
        waiting = self._waiting.get(room)
        if waiting is None:
            self._waiting[room] = []
            return True
        waiting.append(row)
        self.parked += 1
        return False

    def rejection(self, row: DueRow) -> RejectedRoom | None:
        """Return why a row need not be sent; None where it must be. A row in doubt is always sent, to settle it."""
        return None if row.in_doubt else self._rejected.get(row.room_id)

    def record_response(self, row: DueRow, result: CallResult) -> list[DueRow]:
        """Learn from the result of a row; return the parked rows that need not wait any more."""
        if result.rule.scope is ErrorScope.ROOM:
            _remember(self._rejected, row.room_id, RejectedRoom(result, row.line))
        else:
            if self._rejected and result.rule.outcome in USABLE_ROOM:
                self._rejected.pop(row.room_id, None)
            if row.room_id not in self._accepting:
                _remember(self._accepting, row.room_id, None)
        released = self._waiting.pop(row.room_id, None)
        if not released:
            return []
        self.parked -= len(released)
        return released


def _remember(known: OrderedDict[str, T], room: str, value: T) -> None:
    known[room] = value
    known.move_to_end(room)
    if len(known) > MAX_ROOMS:
        known.popitem(last=False)


class RoomVisibilityResolver:
    """Distinguishes 'no such private group' from 'the account is not a member of it', by one request for each room.

    It reads `groups.counters`, which needs no membership, and sends nothing more once that is refused.
    """

    def __init__(self, client: Client, limiter: RouteLimiter) -> None:
        """`limiter` is that of the route `groups.counters`."""
        self._client = client
        self._limiter = limiter
        self._is_refused = False
        self._unanswered = 0

    async def resolve(self, result: CallResult, room_id: str) -> CallResult:
        """Return the result, with `room_not_joined` where it was `room_not_found` and the server knows the room."""
        if result.rule is not ROOM_NOT_FOUND or self._is_refused:
            return result
        await self._limiter.acquire()
        try:
            reply = await self._client.get(COUNTERS, roomId=room_id)
        except BaseException:
            self._limiter.cancel()
            raise
        self._limiter.record_response(reply, refused=False)
        is_answered = isinstance(reply, Reply) and reply.status < TOO_MANY_REQUESTS
        self._unanswered = 0 if is_answered else self._unanswered + 1
        self._is_refused = is_route_unavailable(reply) or self._unanswered >= MAX_UNANSWERED
        return result._replace(rule=ROOM_NOT_JOINED) if is_joined(reply) is False else result
