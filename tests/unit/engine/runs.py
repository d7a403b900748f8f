"""Runs on the virtual loop: a real store file, a client that follows a script."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from rolecall.engine.context import RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.models import NoReply, Outcome, Reply, Result, Row
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.store.records import Identity
from tests.support.engine import NEVER
from tests.support.store import FailingDatabase, as_store, import_rows
from tests.unit.engine.answers import OK, reply
from tests.unit.engine.virtual import virtual_clock

Step: TypeAlias = Reply | NoReply | float
"""An answer, or seconds after which a good one comes."""
TOOK = 0.05
"""Seconds that a scripted answer takes."""
PLAIN = Settings(rate=None, max_attempts=3, max_failures=NEVER, read_roles=False)
"""Without reading: the script is only for changing calls, and every prior state is unknown."""


class Scripted(Client):
    """Answers from a script of steps for each user, or from a function of time; the last step stays."""

    def __init__(self, ledger: FailingDatabase, script: Mapping[str, Sequence[Step]] | Callable[[float], Step]) -> None:
        self._ledger = ledger
        self._script = script
        self._next: Counter[str] = Counter()
        self.calls: list[tuple[str, float]] = []
        """The user of each call, and when it left."""
        self.answered: dict[str, Reply | NoReply] = {}
        """The last answer that was handed back for each user."""
        self.counters: list[str] = []
        """The rooms for which `groups.counters` was read."""
        self.counters_answer: Reply | NoReply = OK
        self.names: list[str] = []
        """The rooms that were looked up by name."""
        self.name_answer: Reply | NoReply = reply(400, b'{"success":false,"errorType":"error-room-not-found"}')
        self.me: list[float] = []
        """When `me` was read."""
        self.me_answer: Callable[[float], Reply | NoReply] = lambda _: OK
        self.in_flight = self.most_in_flight = 0

    def _step(self, user: str, now: float) -> Step:
        if not isinstance(self._script, Mapping):
            return self._script(now)
        steps = self._script.get(user, (OK,))
        self._next[user] += 1
        return steps[min(self._next[user], len(steps)) - 1]

    async def post_pair(self, path: str, room_id: str, user_id: str) -> Reply | NoReply:
        """Answer by the script, after making sure that the intent is on disk."""
        assert path == "/api/v1/groups.removeLeader"
        assert not self._ledger.failed, "the request leaves after the store has failed"
        assert on_disk(self._ledger.path)[user_id][0] == 1, "the request leaves before its intent is on disk"
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        self.calls.append((user_id, sent_at))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            step = self._step(user_id, sent_at)
            await asyncio.sleep(step if isinstance(step, float) else TOOK)
        finally:
            self.in_flight -= 1
        answer = OK if isinstance(step, float) else step
        if isinstance(answer, Reply):
            answer = answer._replace(sent_at=sent_at, received_at=loop.time())
        self.answered[user_id] = answer
        return answer

    async def get(self, path: str, **query: str) -> Reply | NoReply:
        """Answer `me`, `groups.counters`, and `groups.info` by name."""
        if path == "/api/v1/me":
            self.me.append(asyncio.get_running_loop().time())
            await asyncio.sleep(TOOK)
            return self.me_answer(self.me[-1])
        if path == "/api/v1/groups.info":
            self.names.append(query["roomName"])
            return self.name_answer
        assert path == "/api/v1/groups.counters"
        self.counters.append(query["roomId"])
        await asyncio.sleep(TOOK)
        return self.counters_answer


def on_disk(path: Path) -> dict[str, tuple[int, int, str | None]]:
    """Read each user's doubt, attempts and outcome through a connection of its own."""
    with sqlite3.connect(path) as db:
        found = db.execute("SELECT user_id, in_doubt, attempts, outcome FROM pair").fetchall()
    db.close()
    return {user: (doubt, attempts, outcome) for user, doubt, attempts, outcome in found}


class Lines:
    """A log that keeps the names of its events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def bind(self, **values: object) -> "Lines":
        """Keep no values."""
        return self

    def info(self, event: str, **values: object) -> None:
        """Keep one."""
        self.events.append(event)

    warning = info


class Run:
    """The store and the script of a run; `go` is one session."""

    def __init__(
        self,
        path: Path,
        users: Iterable[str | tuple[str, str]],
        script: Mapping[str, Sequence[Step]] | Callable[[float], Step],
        settings: Settings = PLAIN,
    ) -> None:
        """Take (room, user) pairs, or users who each stand in a room of their own."""
        self.path = path
        self.ledger = FailingDatabase(path)
        pairs = [user if isinstance(user, tuple) else (f"room-{user}", user) for user in users]
        rows = (Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2))
        import_rows(self.ledger, Identity("https://chat.example", REMOVE_LEADER.name, ""), rows)
        self.client = Scripted(self.ledger, script)
        self.settings = settings
        self.stop = StopSignal()
        self.log = Lines()

    @classmethod
    def resumed(
        cls,
        earlier: "Run",
        script: Mapping[str, Sequence[Step]] | Callable[[float], Step] | None = None,
        *,
        retry_failed: bool = False,
    ) -> "Run":
        """Return another session of a run; without a script every call succeeds."""
        run = cls.__new__(cls)
        run.path, run.ledger, run.log, run.stop = earlier.path, earlier.ledger, Lines(), StopSignal()
        run.client = Scripted(run.ledger, script or {})
        run.settings = replace(earlier.settings, retry_failed=retry_failed)
        return run

    async def go(self, admission: AdmissionController | None = None) -> None:
        """Process the rows, as far as the stop allows."""
        clock = virtual_clock()
        self.ledger.open_session("bulk.bot", clock.wall_ms())
        context = RunContext.create(self.settings, self.log, clock=clock, stop=self.stop, admission=admission)
        self.counted = context.outcomes
        await process_rows(as_store(self.ledger), self.client, REMOVE_LEADER, context)
        self.ledger.close_session(self.stop.reason or "", clock.wall_ms())

    def results(self) -> dict[str, Result]:
        """Return each user's result as the report has it."""
        return {result.user_id: result for result in self.ledger.results()}

    def outcomes(self) -> Counter[tuple[Outcome, str]]:
        """Count outcomes and reasons."""
        return Counter((result.outcome, result.reason) for result in self.ledger.results())


class Start:
    """Starts runs in one place, and closes their ledgers in the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: list[Run] = []

    def __call__(
        self,
        users: Iterable[str | tuple[str, str]],
        script: Mapping[str, Sequence[Step]] | Callable[[float], Step],
        settings: Settings = PLAIN,
    ) -> Run:
        """Start one; see Run."""
        self._runs.append(Run(self._path, users, script, settings))
        return self._runs[-1]

    def done(self) -> None:
        """Close what was opened."""
        for run in self._runs:
            run.ledger.close()
