"""Counts over time in bounded memory: bins that double their width when there are too many of them."""

from collections import Counter

NARROWEST = 60_000 / 512
"""Milliseconds; doubled nine times it is a minute, the usual window of a server's limit."""
MOST = 1_024
"""Bins that are kept; only those that hold something count, so a pause between two sessions costs nothing."""
MOST_OF_ONE = 64
"""Bins that one stretch of time is spread over; a longer one widens them first."""


class TimeBins:
    """Amounts by time, in milliseconds since the epoch; `at[n]` belongs to `n * width` up to `(n + 1) * width`."""

    def __init__(self, width: float = NARROWEST, most: int = MOST) -> None:
        self.width = width
        self.at: Counter[int] = Counter()
        self._most = most

    def add(self, time: int, amount: int = 1) -> None:
        """Count something that happened at one moment."""
        self.at[int(time // self.width)] += amount
        while len(self.at) > self._most:
            self.widen()

    def spread(self, begin: int, end: int) -> None:
        """Add the milliseconds of a stretch of time to the bins that they fall into."""
        while (end - begin) / self.width > MOST_OF_ONE:
            self.widen()
        at = begin
        while at < end:
            number = int(at // self.width)
            until = min(end, max(at + 1, int((number + 1) * self.width)))
            self.at[number] += until - at
            at = until
        while len(self.at) > self._most:
            self.widen()

    def widen(self) -> None:
        """Double the width of every bin."""
        self.width *= 2
        halved: Counter[int] = Counter()
        for number, amount in self.at.items():
            halved[number // 2] += amount
        self.at = halved
