"""The rules that several workers keep: at each call that leaves, and at each change of the shared database."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rolecall.cluster.database.lease import MARGIN, STALLED
from rolecall.engine.throttle.adaptive_concurrency import max_rows
from rolecall.models import Outcome, PriorState
from rolecall.store.records import Batch
from tests.simulation.cluster.tables import Job, Shard, Tables, Token
from tests.simulation.network import Sent
from tests.simulation.scenario import Scenario
from tests.simulation.violation import Violation, require
from tests.simulation.workspace import Pair
from tests.support.memory_contents import Entry

if TYPE_CHECKING:
    from tests.simulation.cluster.database import Database
    from tests.simulation.cluster.process import WorkerProcess

CLOCK_ERROR = 0.01
"""Seconds by which a worker's clock may err within the time of a lease."""


class Commit(NamedTuple):
    """A batch that is about to be durable."""

    process: "WorkerProcess"
    shard: Shard
    token: Token
    batch: Batch
    stop: str
    """The stop of the run when the commit began."""


@dataclass
class ClusterWatch:
    """Watches all workers. Rules of the database raise later, with `violation`: the caller is a part of the world."""

    scenario: Scenario
    note: Callable[..., None]
    violation: Violation | None = None
    """The first rule that was broken."""
    takeovers: int = 0
    """Shards that were taken from a worker that had not ended its work on them."""
    fences: int = 0
    """Commits that were refused."""
    left_open: dict[int, set[Pair]] = field(default_factory=dict)
    """The rows in doubt that a process left, by its number."""
    doubted_from: dict[Pair, Token] = field(default_factory=dict)
    """The first start of its shard to which each of these rows was left."""
    lost: set[int] = field(default_factory=set)
    """The processes that may have got an answer and not recorded it: dead, without the database, or without a lease."""
    starts: dict[Sent, Token] = field(default_factory=dict)
    """The start of its shard that each call belongs to."""
    _intents: dict[Pair, tuple[int, Token]] = field(default_factory=dict)
    """The process, and the token, of the last intent of each pair."""
    _attempts: Counter[tuple[int, Token]] = field(default_factory=Counter)
    """The intents of each row in each start of its shard."""
    _after_stop: Counter[tuple[int, float]] = field(default_factory=Counter)
    """The calls of each process that left after a stop: they were prepared before."""
    _in_flight: list[Sent] = field(default_factory=list)

    def check(self, rule: Callable[[], None]) -> None:
        """Apply a rule in the world, where nothing may be raised."""
        try:
            rule()
        except Violation as violation:
            self.violation = self.violation or violation

    def at_lost(self, process: "WorkerProcess", why: str) -> None:
        """Record that a process may not record what it has got."""
        self.note("lost", process.number, why)
        self.lost.add(process.number)

    # Calls

    def at_send(self, process: "WorkerProcess", sent: Sent, tables: Tables) -> None:
        """Check a changing call that leaves."""
        self.check(lambda: self._check_call(process, sent, tables))

    def _check_call(self, process: "WorkerProcess", sent: Sent, tables: Tables) -> None:
        shard = tables.shard_of(sent.pair)
        if shard is None:
            raise Violation("others", f"{sent.pair} is not in the job")
        entry = shard.contents.entries[shard.contents.keys[sent.pair]]
        is_intended = entry.in_doubt and entry.recorded is None and entry.attempts > 0
        require("intent", is_intended, "a call of {} leaves without an intent on disk: {}", sent.pair, entry)
        owner, token = self._intents.get(sent.pair, (0, (0, 0)))
        is_own = owner == process.number
        require("intent", is_own, "process {}: the intent of {} is that of {}", process.number, sent.pair, owner)
        age = process.heartbeat_age()
        is_leased = age < STALLED - MARGIN + CLOCK_ERROR
        require("lease", is_leased, "process {} calls {}, {:.3f} s after its heartbeat", process.number, sent, age)
        self.starts[sent] = token
        is_newest = shard.token == token
        require("fence", is_newest, "{} is called with the token {}, and {} is newer", sent.pair, token, shard.token)
        self._check_flight(process, sent)
        if tables.stop:
            stopped = (process.number, tables.resumed_at)
            self._after_stop[stopped] += 1
            number, most = self._after_stop[stopped], max_rows(self.scenario.settings.concurrency)
            require("stop", number <= most, "process {}: call {} leaves after the stop", process.number, number)

    def _check_flight(self, process: "WorkerProcess", sent: Sent) -> None:
        self._in_flight = [each for each in self._in_flight if not each.has_ended]
        own = [each for each in self._in_flight if each.session == process.number]
        require("repetition", all(each.pair != sent.pair for each in own), "{} is called twice at once", sent.pair)
        self._in_flight.append(sent)
        most = self.scenario.settings.concurrency
        require("concurrency", len(own) < most, "process {}: {} calls are in flight", process.number, len(own) + 1)

    # Commits

    def at_commit(self, commit: Commit) -> None:
        """Check a batch that is about to be durable."""
        self.check(lambda: self._check_commit(commit))
        entries = commit.shard.contents.entries
        for intent in commit.batch.intents:
            entry = entries.get(intent.key)
            if entry is not None:
                self._intents[entry.room_id, entry.user_id] = (commit.process.number, commit.token)
        self.note("committed", commit.process.number, commit.shard.shard_id, *map(len, commit.batch))

    def _check_commit(self, commit: Commit) -> None:
        shard, batch, entries = commit.shard, commit.batch, commit.shard.contents.entries
        is_newest = shard.token == commit.token
        require("fence", is_newest, "shard {}: {} commits, and {} has it", shard.shard_id, commit.token, shard.token)
        stopped = bool(commit.stop and batch.intents)
        require("stop", not stopped, "{} intents are committed after the stop: {}", len(batch.intents), commit.stop)
        for outcome in batch.outcomes:
            entry = entries.get(outcome.key)
            is_open = entry is not None and entry.outcome in (None, Outcome.UNKNOWN)
            require("once", is_open, "{} is settled again: {}", entry, outcome)
        for intent in batch.intents:
            entry = entries.get(intent.key)
            if entry is None:
                raise Violation("others", f"shard {shard.shard_id} has no row {intent.key}")
            self._check_intent(commit, entry, intent.prior.state)

    def _check_intent(self, commit: Commit, entry: Entry, prior: PriorState) -> None:
        settled = any(outcome.key == entry.key for outcome in commit.batch.outcomes)
        is_open = entry.outcome in (None, Outcome.UNKNOWN) and not settled
        require("repetition", is_open, "an intent of {}, which is settled", entry)
        self._attempts[entry.key, commit.token] += 1
        attempts, most = self._attempts[entry.key, commit.token], self.scenario.settings.max_attempts
        require("attempts", attempts <= 3 * most + 20, "{} intents of {}", attempts, entry)
        known = entry.prior is not None and entry.prior.state is not PriorState.UNKNOWN
        is_lost = entry.in_doubt and known and prior is PriorState.UNKNOWN
        require("prior", not is_lost, "{} is in doubt, and loses its prior state", entry)

    # Shards and jobs

    def at_take(self, process: "WorkerProcess", shard: Shard, token: Token) -> None:
        """Check that a shard goes to a newer token, and record what its former holder leaves."""
        self.note("taken", process.number, shard.shard_id, *token)
        old = shard.token
        self.check(lambda: require("token", token > old, "shard {}: {} after {}", shard.shard_id, token, old))
        if not shard.holder:
            return
        in_doubt = {(entry.room_id, entry.user_id) for entry in shard.open_rows if entry.in_doubt}
        for pair in in_doubt:
            self.left_open.setdefault(self._intents[pair][0], set()).add(pair)
            self.doubted_from.setdefault(pair, token)
        self.takeovers += shard.holder != process.name

    def at_finish(self, shard: Shard, token: Token) -> None:
        """Check a shard that ends."""
        self.note("finished", shard.shard_id, *token)
        left = shard.open_rows
        self.check(lambda: require("every row", not left, "shard {} ends without {}", shard.shard_id, left[:1]))

    def at_job_end(self, tables: Tables, job: Job) -> None:
        """Check that a shard of an active run that loses its job has another one.

        A job that was begun before a person resumed the run ends with the stop; the shard is brought back later.
        """
        shard = next((each for each in tables.shards.values() if each.lock == job.lock), None)
        if shard is None:
            return
        self.note("job ended", job.job_id, shard.shard_id, job.status)
        is_old = job.begun_at <= tables.resumed_at
        is_served = shard.is_done or not tables.is_active or tables.has_job(shard) or is_old
        self.check(lambda: require("handover", is_served, "shard {} has no job any more", shard.shard_id))

    def at_stalled(self, database: "Database", jobs: Sequence[Job]) -> None:
        """Check jobs that others are about to end: the heartbeats of their workers are old."""
        seen = database.tables.queue_workers
        for job in jobs:
            age = database.now() - seen.get(job.worker or 0, -math.inf)
            self.check(partial(require, "lease", age >= STALLED, "{} is taken over after {} s", job, age))
