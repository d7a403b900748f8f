"""Accounts that the server counts, but never refuses.

Newer servers send the rate limit headers down to `Remaining: 0` to accounts with the permission
`api-bypass-rate-limit` as well. That an account has it is no proof; a call that was accepted beyond the limit is.
"""

from enum import Enum, auto


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

    def record_acceptance(self) -> None:
        """Record a call that was accepted although it was sent after `Remaining: 0` of the same window had come."""
        if self._state is not ProbeState.IMPOSSIBLE:
            self._state, self.is_proven = ProbeState.PROVEN, True

    def record_refusal(self) -> None:
        """Record 'too many requests' on any route: from now on the headers are obeyed, and nothing is probed."""
        self._state, self.is_proven = ProbeState.IMPOSSIBLE, False
