"""The tables of the shared database: one run with its shards, and the jobs and workers of the queue."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rolecall.cluster.database.job_queue import PROCESS_SHARD
from rolecall.models import FoundName, NameKey, Result, Row
from rolecall.store.records import Identity
from tests.simulation.workspace import Pair
from tests.support.memory_contents import Contents, Entry, JobImport, keys_by_pair

Token = tuple[int, int]
RUN_ID = 1
WORKSPACE = "main"
QUEUE = f"ws:{WORKSPACE}"


@dataclass(eq=False)
class Shard:
    """A shard with its rows, and who may write them."""

    shard_id: int
    contents: Contents
    token: Token = (0, 0)
    holder: str = ""
    is_done: bool = False
    sharing: int = 0
    """Commits under way: they have locked the line of the shard, as FOR SHARE does."""
    waiting: deque[Callable[[], None]] = field(default_factory=deque)
    """What waits for this line, in order."""

    @property
    def lock(self) -> str:
        """The lock of its jobs."""
        return f"shard:{self.shard_id}"

    @property
    def open_rows(self) -> list[Entry]:
        """The rows without an outcome."""
        return [entry for entry in self.contents.entries.values() if entry.recorded is None]


@dataclass(eq=False)
class Job:
    """A job of the queue."""

    job_id: int
    task: str
    queue: str
    lock: str
    queueing_lock: str
    arguments: Mapping[str, Any]
    status: str = "todo"
    attempts: int = 0
    worker: int | None = None
    begun_at: float = 0.0

    def to_row(self) -> dict[str, Any]:
        """Return the columns that the queue's client reads."""
        return {
            "id": self.job_id,
            "status": self.status,
            "task_name": self.task,
            "priority": 0,
            "lock": self.lock,
            "queueing_lock": self.queueing_lock,
            "args": dict(self.arguments),
            "scheduled_at": None,
            "queue_name": self.queue,
            "attempts": self.attempts,
            "worker_id": self.worker,
        }


@dataclass(eq=False)
class Tables:
    """What is on the disk of the database. Times are its own: seconds since the epoch."""

    operation: str
    settings: Mapping[str, Any]
    shards: dict[int, Shard]
    meta: dict[str, str] = field(default_factory=dict)
    unsent: list[tuple[int, Result]] = field(default_factory=list)
    """The place and the result of each row that is never sent: of the run, not of a shard."""
    names: dict[NameKey, FoundName] = field(default_factory=dict)
    account: str = ""
    """The account of the first worker that processed it."""
    stop: str = ""
    stop_detail: str = ""
    refusal: str = ""
    """Why a worker left a shard."""
    resumed_at: float = 0.0
    ended_at: float | None = None
    answered_at: float = 0.0
    jobs: dict[int, Job] = field(default_factory=dict)
    queue_workers: dict[int, float] = field(default_factory=dict)
    """The last heartbeat of each worker of the queue, by its number."""
    workers: dict[str, float] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    """The next free slot of the own rate, by the kind of the calls."""
    numbers: Counter[str] = field(default_factory=Counter)
    """The last number that each sequence has given."""

    @property
    def is_active(self) -> bool:
        """True while workers may send rows of the run."""
        return not self.stop and self.ended_at is None

    def resume(self, at: float) -> None:
        """Let the workers go on with the run."""
        self.stop = self.stop_detail = ""
        self.resumed_at = at
        for shard in self.shards.values():
            shard.contents = replace(shard.contents, resumption=shard.contents.resumption + 1)

    def shards_of(self, shard: int | None) -> list[Shard]:
        """Return the shard with an id, if there is one; all shards for None."""
        return [each for each in self.shards.values() if shard in (None, each.shard_id)]

    def contents(self, shard: int | None) -> Contents:
        """Return the contents of a shard; for None those of the run, which are a copy where it has several shards."""
        found = [each.contents for each in self.shards_of(shard)]
        return found[0] if len(found) == 1 else _together(found)

    def next_number(self, sequence: str) -> int:
        """Return the next number of a sequence."""
        self.numbers[sequence] += 1
        return self.numbers[sequence]

    def entries(self) -> list[Entry]:
        """Return all rows, in job order."""
        found = [entry for shard in self.shards.values() for entry in shard.contents.entries.values()]
        return sorted(found, key=lambda entry: entry.place or 0)

    def shard_of(self, pair: Pair) -> Shard | None:
        """Return the shard with a pair; None for one that is not in the job."""
        return next((shard for shard in self.shards.values() if pair in shard.contents.keys), None)

    def has_job(self, shard: Shard) -> bool:
        """Return whether a job of a shard waits or is processed."""
        return any(job.lock == shard.lock and job.status in ("todo", "doing") for job in self.jobs.values())


def make_run(rows: Sequence[Row], identity: Identity, settings: Mapping[str, Any], shard_rows: int) -> Tables:
    """Return a run that is released, with a job for each of its shards."""
    tables = Tables(identity.operation, settings, make_shards(rows, identity, shard_rows))
    for shard in tables.shards.values():
        number = tables.next_number("job")
        tables.jobs[number] = Job(number, PROCESS_SHARD, QUEUE, shard.lock, shard.lock, {"shard": shard.shard_id})
    return tables


def make_shards(rows: Sequence[Row], identity: Identity, shard_rows: int) -> dict[int, Shard]:
    """Return the shards of a job: whole rooms in the order of their first rows, about so many rows each.

    They are those of an import into a real database, see PACK_ROOMS.
    """
    job = JobImport(Contents())
    for row in rows:
        job.add(row)
    whole = job.finish(identity, (), {})
    rooms: dict[str, list[Entry]] = {}
    for entry in whole.job_entries():
        rooms.setdefault(entry.room_id, []).append(entry)
    parts: dict[tuple[str, int], list[Entry]] = {}
    small_rows = 0
    for room, entries in rooms.items():
        if len(entries) >= shard_rows:
            parts[room, 0] = entries
            continue
        parts.setdefault(("", small_rows // shard_rows), []).extend(entries)
        small_rows += len(entries)
    return {number: Shard(number, _contents(part)) for number, part in enumerate(parts.values(), start=1)}


def _together(parts: Sequence[Contents]) -> Contents:
    """Return the contents of several shards as one; pauses have no common order."""
    entries = {key: entry for part in parts for key, entry in part.entries.items()}
    in_job = sorted(each for part in parts for each in part.in_job)
    sessions = sorted((each for part in parts for each in part.sessions), key=lambda session: session.started_at)
    groups = sum((part.groups for part in parts), Counter())
    return Contents(entries, keys_by_pair(entries), in_job, sessions=sessions, groups=groups)


def _contents(part: Sequence[Entry]) -> Contents:
    entries = {entry.key: entry for entry in part}
    in_job = sorted((entry.place or 0, entry.key) for entry in part)
    groups = Counter(entry.group for entry in part)
    return Contents(entries=entries, keys=keys_by_pair(entries), in_job=in_job, groups=groups, resumption=1)
