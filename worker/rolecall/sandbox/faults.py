"""The fault plan: which calls go wrong, in which way, and how often. It decides and does nothing itself."""

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from rolecall.sandbox.methods import CHANGES

EVERY_ROUTE = "*"


class Kind(StrEnum):
    """Everything that can go wrong; 'acts' means that the call is carried out before."""

    RESET_BEFORE = "reset_before"
    """The connection is reset (TCP RST) before acting."""
    DROP_AFTER = "drop_after"
    """Acts, then closes the connection without an answer."""
    HANG_BEFORE = "hang_before"
    """Stays silent without acting until the client leaves or the sandbox closes."""
    HANG_AFTER = "hang_after"
    """Acts, then stays silent until the client leaves or the sandbox closes."""
    SLOW = "slow"
    """Acts, then answers properly after `seconds`."""
    STATUS = "status"
    """Answers `status`, as JSON or (`html`) as a proxy's page; acts before if told to."""
    TOO_MANY = "too_many"
    """429 without acting: the server's JSON with headers, or (`html`) a proxy's page; `retry_after` as given."""
    OLD_TOO_MANY = "old_too_many"
    """'Too many requests' as very old servers said it, without acting: a 400 with that errorType."""
    GARBAGE = "garbage"
    """200 with bytes that are not JSON; acts before if told to."""
    EMPTY_200 = "empty_200"
    """200 without a body; acts before if told to."""
    HTML_200 = "html_200"
    """200 with the login page of a proxy, without acting."""
    SUCCESS_MISSING = "success_missing"
    """200 with an empty JSON object; acts before if told to."""
    SUCCESS_FALSE = "success_false"
    """200 with `{"success": false}`; acts before if told to."""
    TRUNCATED = "truncated"
    """Acts, then closes the connection in the middle of the body."""
    WRONG_LENGTH = "wrong_length"
    """Acts; the Content-Length is shorter than the body that follows."""
    HUGE = "huge"
    """200 with a body of 50 MB; acts before if told to."""
    BOMB = "bomb"
    """200 with a small gzip body that expands to more than 100 MB; acts before if told to."""
    ENDLESS = "endless"
    """200 with a body that never ends, a byte each `seconds`; acts before if told to."""
    REDIRECT = "redirect"
    """302 to `location`, without acting."""
    NO_ERROR_TYPE = "no_error_type"
    """The ordinary answer without its `errorType`."""
    UNKNOWN_ERROR_TYPE = "unknown_error_type"
    """The ordinary answer; a refusal gets an errorType that nobody has heard of."""
    NONSENSE_HEADERS = "nonsense_headers"
    """The ordinary answer with rate-limit headers that make no sense, as `nonsense` says."""
    REVOKE = "revoke"
    """The caller's token is revoked just before: this call and all further ones are refused with 401."""


class Nonsense(StrEnum):
    """What is wrong with `X-RateLimit-Reset`."""

    SECONDS = "seconds"
    """Epoch seconds instead of milliseconds."""
    NEGATIVE = "negative"
    """A negative number."""
    PAST = "past"
    """A minute ago."""
    YEAR_AHEAD = "year_ahead"
    """A year from now."""
    TEXT = "text"
    """Words."""


ALWAYS_ACT = frozenset(
    {
        Kind.DROP_AFTER,
        Kind.HANG_AFTER,
        Kind.SLOW,
        Kind.TRUNCATED,
        Kind.WRONG_LENGTH,
        Kind.NO_ERROR_TYPE,
        Kind.UNKNOWN_ERROR_TYPE,
        Kind.NONSENSE_HEADERS,
        Kind.REVOKE,
    }
)
"""Kinds that hand the call to the method first (which may refuse it as ever)."""

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
    }
)
"""Kinds that do so where `act` says it; all others never do."""


@dataclass(frozen=True, slots=True)
class FaultMatch:
    """Which calls a fault is for; everything that is given must hold."""

    room: str | None = None
    """The room as the call names it."""
    user: str | None = None
    """The user as the call names it."""
    nth: int | None = None
    """Only the nth call, counted from 1, of those that the route, the room and the user let through."""
    chance: float = 1.0
    """The probability for each such call, decided by the plan's seed, the row and its attempt."""
    route: str | None = None
    """A route's name, `EVERY_ROUTE`, or None for every route that changes a role."""

    def names(self, route: str, room: str, user: str) -> bool:
        """Return whether route, room and user are those meant."""
        meant = route in CHANGES if self.route is None else self.route in (EVERY_ROUTE, route)
        return meant and self.room in (None, room) and self.user in (None, user)


EVERY_CALL = FaultMatch()


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, for which calls and how often."""

    kind: Kind
    when: FaultMatch = EVERY_CALL
    times: int | None = 1
    """How often for each row (route, room, user): 1 spoils the first attempt only, None every attempt."""
    act: bool = False
    """Whether the call is carried out before; for the kinds in `MAY_ACT` only."""
    status: int = 502
    html: bool = False
    seconds: float = 1.0
    """slow: the delay; too_many: the wait that is told; endless: the pause between two bytes."""
    retry_after: str | None = None
    """The text of the header `Retry-After`: seconds or an HTTP date."""
    location: str = "http://127.0.0.1:9/"
    nonsense: Nonsense = Nonsense.TEXT

    def __post_init__(self) -> None:
        if self.act and self.kind not in MAY_ACT:
            raise ValueError(f"whether {self.kind} acts is part of its kind; leave `act` out")

    @property
    def acts(self) -> bool:
        """Whether the call is handed to the method before the fault shows."""
        return self.act or self.kind in ALWAYS_ACT


@dataclass
class FaultPlan:
    """The faults of one sandbox, in order: the first one that is for a call and not used up spoils it."""

    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    _seen: Counter[int] = field(default_factory=Counter, init=False)
    _row_seen: Counter[tuple[int, str, str, str]] = field(default_factory=Counter, init=False)
    _row_struck: Counter[tuple[int, str, str, str]] = field(default_factory=Counter, init=False)

    def add(self, *faults: Fault) -> None:
        """Add faults behind those that are there."""
        self.faults.extend(faults)

    def clear(self) -> None:
        """Forget every fault and every count: honest answers from now on."""
        self.faults.clear()
        self._seen.clear()
        self._row_seen.clear()
        self._row_struck.clear()

    def strike(self, route: str, room: str, user: str) -> Fault | None:
        """Count one call and return the fault that spoils it, or None."""
        for place, fault in enumerate(self.faults):
            if fault.when.names(route, room, user) and self._strikes(place, fault, (route, room, user)):
                return fault
        return None

    def _strikes(self, place: int, fault: Fault, row: tuple[str, str, str]) -> bool:
        """Count one call that a fault could be for; return whether it is."""
        key = (place, *row)
        self._seen[place] += 1
        self._row_seen[key] += 1
        if fault.times is not None and self._row_struck[key] >= fault.times:
            return False
        if fault.when.nth not in (None, self._seen[place]) or not self._lot_falls(fault.when.chance, key):
            return False
        self._row_struck[key] += 1
        return True

    def _lot_falls(self, chance: float, key: tuple[int, str, str, str]) -> bool:
        """Draw for one attempt of one row, so that the order in which rows arrive changes nothing."""
        if chance >= 1.0:
            return True
        draw = random.Random(f"{self.seed}:{key}:{self._row_seen[key]}")  # noqa: S311 - repeatable, not secret
        return draw.random() < chance
