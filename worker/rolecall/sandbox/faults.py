"""The fault plan: which calls get a fault, of which kind, and how often. It only decides; others inject the faults."""

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from rolecall.sandbox.write_routes import CHANGES

EVERY_ROUTE = "*"


class Kind(StrEnum):
    """Every kind of fault; 'acts' means that the call is carried out before the fault."""

    RESET_BEFORE = "reset_before"
    """Resets the connection (TCP RST) without acting."""
    DROP_AFTER = "drop_after"
    """Acts, then closes the connection without a response."""
    HANG_BEFORE = "hang_before"
    """Sends nothing, without acting, until the client disconnects or the sandbox closes."""
    HANG_AFTER = "hang_after"
    """Acts, then sends nothing until the client disconnects or the sandbox closes."""
    SLOW = "slow"
    """Acts, then sends the normal response after `seconds`."""
    STATUS = "status"
    """Responds with `status`, as JSON or (`html`) as the page of a proxy or firewall; acts only with `act`."""
    EXCEPTION = "exception"
    """400 `not primary` without errorType: an exception inside the server after `writes` of the four writes."""
    REPEATED = "repeated"
    """Acts twice, because a proxy repeats the call; the second response is sent."""
    TOO_MANY = "too_many"
    """429 without acting: the server's JSON with headers, or (`html`) a proxy's page; with `retry_after` if given."""
    OLD_TOO_MANY = "old_too_many"
    """The rate limit response of very old servers, without acting: a 400 with an errorType."""
    GARBAGE = "garbage"
    """200 with bytes that are not JSON; acts only with `act`."""
    EMPTY_200 = "empty_200"
    """200 without a body; acts only with `act`."""
    HTML_200 = "html_200"
    """200 with the login page of a proxy, without acting."""
    SUCCESS_MISSING = "success_missing"
    """200 with an empty JSON object; acts only with `act`."""
    SUCCESS_FALSE = "success_false"
    """200 with `{"success": false}`; acts only with `act`."""
    TRUNCATED = "truncated"
    """Acts, then closes the connection in the middle of the body."""
    WRONG_LENGTH = "wrong_length"
    """Acts; the Content-Length is shorter than the body."""
    HUGE = "huge"
    """200 with a body of 50 MB; acts only with `act`."""
    BOMB = "bomb"
    """200 with a small gzip body that decompresses to more than 100 MB; acts only with `act`."""
    ENDLESS = "endless"
    """200 with a body that never ends, one byte every `seconds`; acts only with `act`."""
    REDIRECT = "redirect"
    """302 to `location`; acts only with `act`."""
    NO_ERROR_TYPE = "no_error_type"
    """Acts; the normal response without its `errorType`."""
    UNKNOWN_ERROR_TYPE = "unknown_error_type"
    """Acts; the normal response, but an error has an unknown errorType."""
    NONSENSE_HEADERS = "nonsense_headers"
    """Acts; the normal response with invalid rate limit headers, see `nonsense`."""
    REVOKE = "revoke"
    """The caller's token is revoked before the call: this call and all further ones are rejected with 401."""


class Nonsense(StrEnum):
    """The invalid values of `X-RateLimit-Reset`."""

    SECONDS = "seconds"
    """Epoch seconds instead of milliseconds."""
    NEGATIVE = "negative"
    """A negative number."""
    PAST = "past"
    """One minute ago."""
    YEAR_AHEAD = "year_ahead"
    """One year from now."""
    TEXT = "text"
    """Not a number."""


ALWAYS_ACT = frozenset(
    {
        Kind.DROP_AFTER,
        Kind.EXCEPTION,
        Kind.HANG_AFTER,
        Kind.REPEATED,
        Kind.SLOW,
        Kind.TRUNCATED,
        Kind.WRONG_LENGTH,
        Kind.NO_ERROR_TYPE,
        Kind.UNKNOWN_ERROR_TYPE,
        Kind.NONSENSE_HEADERS,
        Kind.REVOKE,
    }
)
"""Kinds where the route handles the call first (and may refuse it as usual)."""

MAY_ACT = frozenset(
    {
        Kind.STATUS,
        Kind.GARBAGE,
        Kind.EMPTY_200,
        Kind.SUCCESS_MISSING,
        Kind.SUCCESS_FALSE,
        Kind.HUGE,
        Kind.BOMB,
        Kind.ENDLESS,
        Kind.REDIRECT,
    }
)
"""Kinds where it does so only with `act`; all other kinds never act."""


@dataclass(frozen=True, slots=True)
class FaultMatch:
    """The calls that a fault applies to; every given condition must be true."""

    room: str | None = None
    """The room as the call names it."""
    user: str | None = None
    """The user as the call names them."""
    nth: int | None = None
    """Only the nth call, counted from 1, of those that match route, room and user."""
    chance: float = 1.0
    """The probability for each such call, drawn from the plan's seed, the row and its attempt."""
    route: str | None = None
    """A route's name, `EVERY_ROUTE`, or None for every route that changes a role."""

    def matches(self, route: str, room: str, user: str) -> bool:
        """Return whether route, room and user match."""
        route_matches = route in CHANGES if self.route is None else self.route in (EVERY_ROUTE, route)
        return route_matches and self.room in (None, room) and self.user in (None, user)


EVERY_CALL = FaultMatch()


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its kind, the calls that it applies to, and how often. Raises ValueError for a wrong `act`."""

    kind: Kind
    when: FaultMatch = EVERY_CALL
    times: int | None = 1
    """How often for each row (route, room, user): 1 for the first attempt only, None for every attempt."""
    act: bool = False
    """Whether the call is carried out before the fault; for the kinds in `MAY_ACT` only."""
    status: int = 502
    html: bool = False
    text: str = ""
    """status: the error text or the heading of the page; empty for the usual one."""
    writes: int = 0
    """exception: how many writes of a role change were carried out before it, from 0 to 4."""
    seconds: float = 1.0
    """slow: the delay; too_many: the wait in the response; endless: the pause between two bytes."""
    retry_after: str | None = None
    """The text of the header `Retry-After`: seconds or an HTTP date."""
    location: str = "http://127.0.0.1:9/"
    nonsense: Nonsense = Nonsense.TEXT

    def __post_init__(self) -> None:
        if self.act and self.kind not in MAY_ACT:
            raise ValueError(f"whether {self.kind} acts is part of its kind; leave `act` out")

    @property
    def acts(self) -> bool:
        """Whether the route handles the call before the fault."""
        return self.act or self.kind in ALWAYS_ACT


@dataclass
class FaultPlan:
    """The faults of one sandbox, in order: a call gets the first fault that matches it and is not used up."""

    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    _calls: Counter[int] = field(default_factory=Counter, init=False)
    _row_calls: Counter[tuple[int, str, str, str]] = field(default_factory=Counter, init=False)
    _row_faults: Counter[tuple[int, str, str, str]] = field(default_factory=Counter, init=False)

    def add(self, *faults: Fault) -> None:
        """Add faults after the existing ones."""
        self.faults.extend(faults)

    def clear(self) -> None:
        """Remove every fault and reset every counter: normal responses from now on."""
        self.faults.clear()
        self._calls.clear()
        self._row_calls.clear()
        self._row_faults.clear()

    def match(self, route: str, room: str, user: str) -> Fault | None:
        """Count one call and return its fault, or None."""
        for index, fault in enumerate(self.faults):
            if fault.when.matches(route, room, user) and self._is_due(index, fault, (route, room, user)):
                return fault
        return None

    def _is_due(self, index: int, fault: Fault, row: tuple[str, str, str]) -> bool:
        """Count one call that matches a fault and return whether the call gets the fault."""
        key = (index, *row)
        self._calls[index] += 1
        self._row_calls[key] += 1
        if fault.times is not None and self._row_faults[key] >= fault.times:
            return False
        if fault.when.nth not in (None, self._calls[index]) or not self._is_drawn(fault.when.chance, key):
            return False
        self._row_faults[key] += 1
        return True

    def _is_drawn(self, chance: float, key: tuple[int, str, str, str]) -> bool:
        """Draw for one attempt of one row, so that the result does not depend on the order of the rows."""
        if chance >= 1.0:
            return True
        draw = random.Random(f"{self.seed}:{key}:{self._row_calls[key]}")  # noqa: S311 - repeatable, not secret
        return draw.random() < chance
