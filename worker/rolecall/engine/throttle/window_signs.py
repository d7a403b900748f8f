"""What the headers of a window show besides its room: an account that is exempt, and other clients.

Newer servers send the rate limit headers down to `Remaining: 0` to accounts with the permission
`api-bypass-rate-limit` as well. That an account has it is no proof; a call that was accepted beyond the limit is.
Other clients behind the same address use up the same windows: each of their calls takes one of ours away.
"""

from collections.abc import Callable
from enum import Enum, auto

MAX_SHARE = 16
"""In a shared window a sixteenth of what is left may be in flight, and at least one call."""


class ProbeState(Enum):
    """What is known of the account's exemption."""

    IMPOSSIBLE = auto()
    """The account has not got the permission, or was refused."""
    POSSIBLE = auto()
    PROBING = auto()
    """A call beyond the limit is in flight."""
    PROVEN = auto()


class Exemption:
    """Whether the limits in the headers are enforced; one for all routes of a run. One 429 ends it for good."""

    def __init__(self, *, is_possible: bool = False) -> None:
        self._state = ProbeState.POSSIBLE if is_possible else ProbeState.IMPOSSIBLE
        self.is_proven = False
        """True where the headers need not be obeyed."""
        self._listeners: list[Callable[[], None]] = []

    def on_news(self, listener: Callable[[], None]) -> None:
        """Call this when waiting calls of any route may leave sooner: the exemption is proven, or may be probed."""
        self._listeners.append(listener)

    @property
    def may_probe(self) -> bool:
        """True where one call beyond the limit may leave."""
        return self._state is ProbeState.POSSIBLE

    def start_probe(self) -> None:
        """Record that a call beyond the limit leaves; no other route sends one meanwhile."""
        self._state = ProbeState.PROBING

    def end_probe(self) -> None:
        """Record that the probe did not leave, was not answered, or came into a window that had room."""
        if self._state is ProbeState.PROBING:
            self._state = ProbeState.POSSIBLE
            self._notify()

    def record_acceptance(self) -> None:
        """Record a call that was accepted although it was sent after `Remaining: 0` of the same window had come."""
        if self._state in (ProbeState.POSSIBLE, ProbeState.PROBING):
            self._state, self.is_proven = ProbeState.PROVEN, True
            self._notify()

    def record_refusal(self) -> None:
        """Record 'too many requests' on any route: from now on the headers are obeyed, and nothing is probed."""
        self._state, self.is_proven = ProbeState.IMPOSSIBLE, False

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


class SharedWindowDetector:
    """Notices that the server has counted more calls than were sent. A window without such a sign ends the suspicion.

    The first window of a run may have been begun by an earlier run, so it is suspected only while it lasts.
    """

    def __init__(self) -> None:
        self.is_shared = False
        self._is_first = True
        self._is_only_suspected = False
        self._others_seen = False
        self._responses = 0

    def record_window(self, counted: int, sent: int, *, is_only: bool) -> int:
        """Record a new window; return how many of its calls count as earlier than ours, so that they are no sign.

        `is_only`: no other window is known, so that it follows one that has ended, and is not another instance's.
        """
        earlier = max(0, counted - sent) if self._is_first or not is_only else 0
        if self._is_first:
            self.is_shared = self._is_only_suspected = earlier > 0
        self._is_first = False
        return earlier

    def record_count(self, counted: int, sent: int) -> None:
        """Compare the calls that the server has counted, without the earlier ones, with those that were sent."""
        self._responses += 1
        if counted > sent:
            self.is_shared = self._others_seen = True

    def record_end(self) -> None:
        """Record that no window is known any more, and begin to compare anew."""
        if self._responses > 1 or self._others_seen or self._is_only_suspected:
            self.is_shared = self._others_seen
        self._is_only_suspected = False
        self._others_seen, self._responses = False, 0

    def max_in_flight(self, left: int) -> int:
        """Return how many calls may be in flight where a shared window has room for `left`."""
        return max(1, left // MAX_SHARE)
