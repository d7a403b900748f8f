"""The shared database: statements arrive, take time, and are carried out one after the other; it can go away.

What it does for each statement is in `statements` and `job_tables`. After a crash it has what was committed.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

import psycopg

from tests.simulation.cluster.connection import Notification, SimulatedConnection
from tests.simulation.cluster.process import WorkerProcess
from tests.simulation.cluster.tables import Shard, Tables
from tests.simulation.cluster.watch import ClusterWatch
from tests.simulation.loop import Timeline
from tests.unit.engine.virtual import EPOCH

Reply = Callable[[list[Any] | psycopg.Error], None]
"""Receives the rows of a statement, or its error."""
Execute = Callable[["Database", SimulatedConnection, Any, Reply], None]
"""What a statement does."""
Rows = list[Any]
Answer = Callable[["Database", SimulatedConnection, Mapping[str, Any]], Rows]
"""A statement that is carried out when it arrives."""


class Database:
    """One database that all workers use."""

    def __init__(
        self,
        tables: Tables,
        statements: Callable[[str], Execute],
        watch: ClusterWatch,
        timeline: Timeline,
        loop: asyncio.AbstractEventLoop,
        random: Random,
        *,
        skew: float,
        latency: float,
        commit_time: float,
    ) -> None:
        """`skew`: that of its clock. `latency`, `commit_time`: on average. All are in seconds."""
        self.tables = tables
        self.watch = watch
        self.timeline = timeline
        self.random = random
        self.skew = skew
        self.commit_time = commit_time
        self.is_down = False
        self.incarnation = 0
        self.failing_commits = 0
        """Commits that will fail."""
        self.lost_notifications = 0.0
        """The share of notifications that do not arrive."""
        self.on_fetch: Callable[[WorkerProcess], None] = lambda process: None
        """Called when a worker has begun a job, and does not know it yet."""
        self.locks: dict[tuple[str, str], SimulatedConnection] = {}
        """The locks of sessions: who is active for a workspace behind an address."""
        self._statements = statements
        self._loop = loop
        self._latency = latency
        self._connections: dict[int, SimulatedConnection] = {}

    def now(self) -> float:
        """Return its time: seconds since the epoch."""
        return EPOCH + self.skew + self._loop.time()

    def now_ms(self) -> int:
        """Return its time in milliseconds."""
        return int(self.now() * 1000)

    async def connect(self, process: WorkerProcess) -> Any:
        """Return a connection for a process. Raises psycopg.OperationalError while the database is away."""
        await asyncio.sleep(self._draw_latency())
        if self.is_down or process.is_dead:
            raise psycopg.OperationalError("the database is away")
        number = self.tables.next_number("backend")
        connection = self._connections[number] = SimulatedConnection(self, process, number)
        return connection

    def drop(self, connection: SimulatedConnection) -> None:
        """End a session whose client is gone: its transaction is undone, its locks are free."""
        self._connections.pop(connection.number, None)
        if connection.undo is not None:
            connection.is_cut = True
            self.roll_back(connection)
        self.locks = {name: owner for name, owner in self.locks.items() if owner is not connection}

    def can_undo(self, connection: SimulatedConnection, undo: Callable[[], object]) -> None:
        """Record how a change is undone, where it is a part of a transaction."""
        if connection.undo is not None:
            connection.undo.append(undo)

    def roll_back(self, connection: SimulatedConnection) -> None:
        """Undo the transaction of a connection, if one is open."""
        undo, connection.undo = connection.undo or [], None
        for each in reversed(undo):
            each()

    @property
    def channels(self) -> set[str]:
        """Return the channels that some connection listens to."""
        return {channel for connection in self._connections.values() for channel in connection.channels}

    def connections_of(self, process: WorkerProcess) -> list[SimulatedConnection]:
        """Return the open connections of a process, the oldest first."""
        return [each for each in self._connections.values() if each.process is process]

    def send(self, connection: SimulatedConnection, query: str, values: Any, reply: asyncio.Future[list[Any]]) -> None:
        """Let a statement arrive, and its answer come back."""
        incarnation = self.incarnation

        def arrive() -> None:
            if connection.is_cut or self.is_down or self.incarnation != incarnation:
                return
            self._statements(query)(self, connection, values, answer)
            if connection.number not in self._connections:  # closed since it was sent: its session ends behind it
                self.drop(connection)

        def answer(result: list[Any] | psycopg.Error) -> None:
            back = max(self._draw_latency(), connection.stalled_until - self._loop.time())
            self.timeline.after(back, lambda: deliver(result))

        def deliver(result: list[Any] | psycopg.Error) -> None:
            if reply.done():
                return
            if isinstance(result, psycopg.Error):
                reply.set_exception(result)
            else:
                reply.set_result(result)

        self.timeline.after(self._draw_latency(), arrive)

    def crash(self) -> None:
        """Stop at once: what is under way is lost, and every connection."""
        self.is_down, self.incarnation = True, self.incarnation + 1
        for shard in self.tables.shards.values():
            shard.sharing = 0
            shard.waiting.clear()
        for connection in list(self._connections.values()):
            connection.lose("terminating connection due to crash of the server")
            self.drop(connection)

    def start(self) -> None:
        """Start again, with what was committed."""
        self.is_down = False

    def notify(self, channel: str, payload: str) -> None:
        """Notify every connection that listens to a channel; some of it may be lost."""
        for connection in list(self._connections.values()):
            if channel in connection.channels and self.random.random() >= self.lost_notifications:
                notification = Notification(channel, payload)
                self.timeline.after(self._draw_latency(), partial(connection.notify, notification))

    def _draw_latency(self) -> float:
        return self.random.uniform(0.5, 1.5) * self._latency

    # The line of a shard, and who waits for it

    def share(self, shard: Shard, act: Callable[[], None]) -> None:
        """Let a commit begin: after those that wait to change the line of its shard."""
        shard.waiting.append(lambda: self._begin_shared(shard, act))
        self.serve(shard)

    def change(self, shard: Shard, act: Callable[[], None]) -> None:
        """Change the line of a shard: after the commits that are under way."""
        shard.waiting.append(lambda: None if shard.sharing else self._begin_change(shard, act))
        self.serve(shard)

    def serve(self, shard: Shard) -> None:
        """Let those begin that can."""
        while shard.waiting:
            before = len(shard.waiting)
            shard.waiting[0]()
            if len(shard.waiting) == before:
                return

    def _begin_shared(self, shard: Shard, act: Callable[[], None]) -> None:
        shard.waiting.popleft()
        shard.sharing += 1
        act()

    def _begin_change(self, shard: Shard, act: Callable[[], None]) -> None:
        shard.waiting.popleft()
        act()
