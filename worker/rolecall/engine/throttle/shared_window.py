"""Windows that other clients behind the same address use up too: each of their calls takes one of ours away."""

MAX_SHARE = 16
"""In a shared window a sixteenth of what is left may be in flight, and at least one call."""


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
