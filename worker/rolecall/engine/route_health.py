"""Decides whether a 401 or a 404 is true of every call, or only of one bad instance behind a load balancer.

`CredentialsCheck` is one for a session: it reads `me`. `RouteHealth` is one for each route of the session.
"""

import asyncio
import math
from enum import Enum, auto

from rolecall.engine.clock import Clock
from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import Action, ErrorScope
from rolecall.rocketchat.preflight import ME, is_authenticated, is_rocketchat_response
from rolecall.rocketchat.response_classifier import CallResult

CONFIRM_AFTER = 1.0
"""Seconds between the two refusals of `me` that prove that the credentials are not accepted."""
VALID_FOR = 10.0
"""Seconds for which a `me` that accepted the credentials counts for later calls: its own route is limited too, and a
load balancer that alternates would send each repeated call to the same bad instance if `me` came between."""
MAX_REFUSALS = 3
"""Refusals of a route, each after a good `me`, that prove that the route refuses every call."""
FIRST_PAUSE, MAX_PAUSE = 0.5, 3.0
"""Seconds before a refused call is repeated: doubled each time. Several repetitions pass while one `me` is valid."""


class Credentials(Enum):
    """What `me` shows of the credentials."""

    ACCEPTED = auto()
    REFUSED = auto()
    UNKNOWN = auto()
    """Rocket.Chat did not respond, or limits the requests."""


class CredentialsCheck:
    """Checks the credentials with `me`, one check at a time; calls that wait for a check share its result."""

    def __init__(self) -> None:
        self._check = asyncio.Lock()
        self._result = Credentials.UNKNOWN
        self._finished_at = float("-inf")
        self._succeeded_at = float("-inf")

    @property
    def last(self) -> Credentials:
        """The result of the last check."""
        return self._result

    def record_success(self, sent_at: float) -> None:
        """Record that a call sent at this moment was accepted, and so were its credentials."""
        self._succeeded_at = max(self._succeeded_at, sent_at)

    async def run(self, client: Client, clock: Clock) -> Credentials:
        """Return whether the credentials are accepted, by two readings of `me` where the first refuses them."""
        requested_at = clock.now()
        async with self._check:
            is_recent = self._result is Credentials.ACCEPTED and clock.now() - self._finished_at < VALID_FOR
            if not is_recent and self._finished_at < requested_at:
                self._result = await self._read_twice(client, clock)
                self._finished_at = clock.now()
            return self._result

    async def _read_twice(self, client: Client, clock: Clock) -> Credentials:
        began_at = clock.now()
        first = _credentials_in(await client.get(ME))
        if first is not Credentials.REFUSED:
            return first
        await asyncio.sleep(CONFIRM_AFTER)
        second = _credentials_in(await client.get(ME))
        # Meanwhile another call may have been accepted: then both readings came from bad instances.
        return Credentials.ACCEPTED if self._succeeded_at >= began_at else second


def _credentials_in(reply: Reply | NoReply) -> Credentials:
    if is_authenticated(reply):
        return Credentials.ACCEPTED
    is_refusal = isinstance(reply, Reply) and reply.status == 401 and is_rocketchat_response(reply)
    return Credentials.REFUSED if is_refusal else Credentials.UNKNOWN


class RouteHealth:
    """Knows whether a route of this session ever accepted a call, and counts its refusals."""

    def __init__(
        self, client: Client, clock: Clock, credentials: CredentialsCheck, *, max_refusals: float = math.inf
    ) -> None:
        """Create the health of one route; `max_refusals`: those of one call that are final for this call."""
        self._max_refusals = max_refusals
        self._client = client
        self._clock = clock
        self._credentials = credentials
        self._accepted = False
        self._refusals = 0
        self._counted_at = float("-inf")
        self.one_at_a_time = asyncio.Lock()
        """Locked while a refused call is repeated, until the route has accepted a call."""

    @property
    def has_accepted(self) -> bool:
        """True once the route has accepted a call in this session."""
        return self._accepted

    def record_response(self, reply: Reply | NoReply, result: CallResult) -> None:
        """Record a response; success, or Rocket.Chat's refusal of a row, shows that route and credentials are good."""
        rule = result.rule
        concerns_call = rule.scope in (ErrorScope.ROW, ErrorScope.ROOM)
        if rule.action is Action.FINISH and concerns_call and isinstance(reply, Reply):
            self._accepted = True
            self._credentials.record_success(reply.sent_at)

    async def is_final(self, reply: Reply | NoReply, result: CallResult, refusals: int) -> bool:
        """Return whether a refusal with Action.STOP is final; `refusals`: those of this call so far.

        401: `me` refuses the credentials too, twice. 401 or 404: `me` accepts the credentials, and the route refused
        `MAX_REFUSALS` calls, one after the other, and accepted none; or it refused this call too often.
        """
        is_missing = result.rule.scope is ErrorScope.ROUTE
        if is_missing and self._accepted:
            return False
        credentials = await self._credentials.run(self._client, self._clock)
        if credentials is Credentials.REFUSED:
            return not is_missing
        if credentials is Credentials.UNKNOWN or not isinstance(reply, Reply):
            return False
        if self._accepted or refusals >= self._max_refusals:
            return refusals >= self._max_refusals
        if self._refusals < MAX_REFUSALS and reply.sent_at >= self._counted_at:
            self._refusals += 1
            self._counted_at = self._clock.now()
        return self._refusals >= MAX_REFUSALS


def pause_before_retry(refusals: int) -> float:
    """Return the seconds to wait after so many refusals of one call."""
    return min(FIRST_PAUSE * 2.0 ** min(refusals - 1, 10), MAX_PAUSE)
