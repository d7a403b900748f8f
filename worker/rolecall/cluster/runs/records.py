"""The runs of the database as an operator sees them: state, rows by outcome, who works, what is missing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.app.run_status import RECENT_SECONDS, LiveState, progress_at_rest, progress_under_way
from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.lease import STALLED
from rolecall.cluster.database.operator_database import OperatorDatabase
from rolecall.models import Progress
from rolecall.store.records import Count
from rolecall.store.rows import Group, counts_of
from rolecall.text import sanitise

LIVE_MS = round(3 * STALLED * 1000)
"""Milliseconds since the last heartbeat after which a worker counts as gone."""
MAX_ID_LENGTH = 19
"""Digits of a run's id."""
REFUSED = "refused"
"""Stop of a run that was never released: what it would take is not allowed, or its source could not be read."""


class RunState(StrEnum):
    """Where a run of the database is."""

    PREPARING = "preparing"
    """Its rows are being imported, or wait for the confirmation."""
    QUEUED = "queued"
    """No worker works on it."""
    RUNNING = "running"
    """At least one worker works on it."""
    STOPPED = "stopped"
    """Nothing is sent any more; it can be resumed."""
    FINISHED = "finished"
    """Every row has an outcome."""


class RunRecord(NamedTuple):
    """What is recorded of a run itself."""

    run_id: int
    workspace: str
    """Its name."""
    url: str
    operation: str
    job_digest: str
    account: str
    reason: str
    parent: int | None
    schedule: str | None
    due_at: datetime | None
    is_released: bool
    stop: str
    stop_detail: str
    created_at: int
    ended_at: int | None
    settings: Mapping[str, Any]
    shards: int
    shards_done: int
    at: int
    """The database's time of the reading, UTC, milliseconds since the epoch."""
    refusal: str = ""
    """Why a worker left a shard of it to others, the last one; empty where none did since it was resumed."""
    is_abandoned: bool = False
    """True where the command that submits it ended before the rows were released."""

    @property
    def name(self) -> str:
        """The run in a sentence: `run 17`."""
        return name_of(self.run_id)


class WorkingHost(NamedTuple):
    """A worker that has shards of a run."""

    worker: str
    host: str
    egress: str
    shards: int


class ListedDatabaseRun(NamedTuple):
    """A run of the database with its progress."""

    record: RunRecord
    state: RunState
    counts: Sequence[Count]
    progress: Progress
    workers: Sequence[WorkingHost]
    problem: str = ""
    """Why it does not go on, where a person has to do something."""


def name_of(run_id: int) -> str:
    """Return a run's name in a sentence."""
    return f"run {run_id}"


def parse_run_id(text: str) -> int:
    """Parse the id of a run, also as `run 17`. Raises OperatorError."""
    digits = text.strip().removeprefix("run").strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= MAX_ID_LENGTH and 0 < int(digits) < 2**63):
        shown = sanitise(text, limit=60)
        raise OperatorError(
            f"{shown!r} is no id of a run in the database: it is a number, as 'rolecall runs' lists it."
        )
    return int(digits)


async def read_record(database: OperatorDatabase, run_id: int) -> RunRecord:
    """Return what is recorded of a run. Raises OperatorError for an unknown id."""
    rows = await database.fetch(operator_sql.RUN, run=run_id)
    if not rows:
        raise OperatorError(f"There is no {name_of(run_id)} in the database {database.config.place}.")
    return RunRecord(*rows[0])


async def read_run(database: OperatorDatabase, run_id: int) -> ListedDatabaseRun:
    """Return a run with its progress. Raises OperatorError for an unknown id."""
    (run,) = await _with_progress(database, [await read_record(database, run_id)])
    return run


async def read_runs(database: OperatorDatabase, workspace: str | None, limit: int) -> list[ListedDatabaseRun]:
    """Return the runs, of one workspace where one is named, the newest first."""
    rows = await database.fetch(operator_sql.RUNS, workspace=workspace, limit=limit)
    return await _with_progress(database, [RunRecord(*row) for row in rows])


async def _with_progress(database: OperatorDatabase, records: Sequence[RunRecord]) -> list[ListedDatabaseRun]:
    runs = [record.run_id for record in records]
    groups, workers = defaultdict[int, list[Group]](list), defaultdict[int, list[WorkingHost]](list)
    for run_id, *values in await database.fetch(operator_sql.GROUPS, runs=runs):
        groups[run_id].append(Group(*values))
    for run_id, *values in await database.fetch(operator_sql.WORKING, runs=runs, ms=LIVE_MS):
        workers[run_id].append(WorkingHost(*values))
    lately = dict(await database.fetch(operator_sql.LATELY, runs=runs, ms=round(RECENT_SECONDS * 1000)))
    served = {name for (name,) in await database.fetch(operator_sql.SERVED, ms=LIVE_MS)}
    return [
        describe_run(record, groups[record.run_id], workers[record.run_id], lately.get(record.run_id, 0), served)
        for record in records
    ]


def describe_run(
    record: RunRecord, groups: Iterable[Group], workers: Sequence[WorkingHost], lately: int, served: Iterable[str]
) -> ListedDatabaseRun:
    """Put together what was read of a run; `lately` rows were finished in the last RECENT_SECONDS."""
    state = state_of(record, is_worked_on=bool(workers))
    counts = counts_of(groups, record.stop)
    at = record.at / 1000
    if state is RunState.RUNNING:
        seen = min(RECENT_SECONDS, max(1.0, at - record.created_at / 1000))
        progress = progress_under_way(counts, LiveState(), lately, seen, at)
    else:
        progress = progress_at_rest(counts, at)
    return ListedDatabaseRun(record, state, counts, progress, workers, _problem_of(record, state, served))


def _problem_of(record: RunRecord, state: RunState, served: Iterable[str]) -> str:
    """Return why a run does not go on, where a person has to do something."""
    if record.is_abandoned:
        return f"its submission was ended, nothing was sent: 'rolecall runs stop {record.run_id}' deletes it"
    if record.stop:
        return record.stop_detail
    is_waiting = state in (RunState.QUEUED, RunState.RUNNING) or (state is RunState.PREPARING and record.schedule)
    if is_waiting and record.workspace not in served:
        return f"no worker has credentials for {record.workspace} at {record.url}"
    if state is RunState.QUEUED and record.refusal:
        return f"a worker leaves it to others: {record.refusal}"
    return ""


def state_of(record: RunRecord, *, is_worked_on: bool) -> RunState:
    """Return where a run is."""
    if record.stop:
        return RunState.STOPPED
    if record.ended_at is not None:
        return RunState.FINISHED
    if not record.is_released:
        return RunState.PREPARING
    return RunState.RUNNING if is_worked_on else RunState.QUEUED
