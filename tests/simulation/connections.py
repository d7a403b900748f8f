"""The worker's connections: kept alive, used again, and closed by the server while they are idle.

The pool is aiohttp's: the connection that has been idle for longest is used first, none after `KEEPALIVE`, and none
whose end has already arrived. A request can still cross with that end.
"""

import math
from collections import deque
from dataclasses import dataclass

from rolecall.rocketchat.client import KEEPALIVE


@dataclass(eq=False, slots=True)
class Connection:
    """One connection of a process."""

    number: int
    incarnation: int
    """Of the server: a restart closes its connections."""
    idle_since: float = math.inf
    """When its last response had arrived."""
    closes_at: float = math.inf
    """When the server closes it, because it is idle."""

    @property
    def is_used_again(self) -> bool:
        """True where an earlier request had its response."""
        return self.idle_since < math.inf


class ConnectionPool:
    """The idle connections of one process."""

    def __init__(self) -> None:
        self._idle: deque[Connection] = deque()
        self.opened = 0
        """Connections that were opened, in all."""

    def acquire(self, now: float, seen_until: float, incarnation: int) -> Connection:
        """Return the connection of the next request: an idle one, or a new one.

        What the server did before `seen_until` has arrived. `incarnation`: that of the server.
        """
        while self._idle:
            connection = self._idle.popleft()
            is_open = connection.closes_at > seen_until and connection.incarnation == incarnation
            if is_open and now - connection.idle_since <= KEEPALIVE:
                return connection
        return self.open(incarnation)

    def open(self, incarnation: int) -> Connection:
        """Return a new connection."""
        self.opened += 1
        return Connection(self.opened, incarnation)

    def release(self, connection: Connection, now: float, closes_at: float) -> None:
        """Keep a connection whose response has arrived; the server closes it at `closes_at` if no request comes."""
        connection.idle_since, connection.closes_at = now, closes_at
        self._idle.append(connection)
