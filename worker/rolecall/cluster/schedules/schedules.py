"""Schedules: added, listed, paused and removed by an operator; looked at by every worker, each tick by one of them."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from rolecall.app.errors import OperatorError
from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.job_queue import JobExistsError, JobQueue, new_job
from rolecall.cluster.database.operator_database import OperatorDatabase, open_operator_database, register_workspace
from rolecall.cluster.database.worker_database import WorkerDatabase
from rolecall.cluster.runs.records import REFUSED
from rolecall.cluster.runs.settings import REASON
from rolecall.cluster.schedules.cron import CronError, parse_cron
from rolecall.cluster.schedules.rules import MissedTicks, Overlap, ScheduleRules, TickDecision
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.events import EventLogger
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.postgres.connection import DatabaseConfig, database_errors
from rolecall.text import or_all, plural

MAKE_RUN = "make_run"
"""The task of a job that makes the rows of a scheduled run; only a worker with the token of the workspace can."""
MAX_NAME_LENGTH = 64
TICK_SECONDS = 5.0
"""Seconds between two looks at the schedules."""
REMOVED = "The schedule was removed before its run was made."
_LIMIT_TRANSACTION = "SET LOCAL idle_in_transaction_session_timeout = '15s'"
"""A worker that froze while it looks at schedules must not keep others from it."""


class NewSchedule(NamedTuple):
    """A schedule before it is added."""

    name: str
    cron: str
    zone: str
    overlap: Overlap
    late: timedelta
    source: Mapping[str, Any]
    settings: Mapping[str, Any]
    """Of each of its runs."""


class ListedSchedule(NamedTuple):
    """A schedule as it is recorded."""

    name: str
    cron: str
    zone: str
    next_at: datetime | None
    overlap: str
    late: timedelta
    workspace: str
    source: Mapping[str, Any]
    """Without its content."""
    is_paused: bool
    last_run: int | None
    last_error: str
    missed_reports: int
    missed: Sequence[str]
    """The latest of these reports."""


class DueSchedule(NamedTuple):
    """A schedule whose time has come."""

    name: str
    cron: str
    zone: str
    next_at: datetime
    overlap: str
    late: timedelta
    workspace: str
    settings: Mapping[str, Any]
    now: datetime


def require_name(name: str) -> str:
    """Return the name of a schedule. Raises OperatorError."""
    if not 0 < len(name) <= MAX_NAME_LENGTH or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
        raise OperatorError(
            f"{name[:MAX_NAME_LENGTH]!r} is no name of a schedule: use letters, digits, '-', '_' and '.', "
            f"at most {MAX_NAME_LENGTH}."
        )
    return name


async def add_schedule(database: OperatorDatabase, entry: WorkspaceEntry, schedule: NewSchedule) -> datetime:
    """Add a schedule, and return when it makes its first run. Raises OperatorError for a name that is taken."""
    cron = await asyncio.to_thread(parse_cron, schedule.cron, schedule.zone)
    await register_workspace(database, entry)
    next_at = cron.next_after(await _now(database))
    values = {
        "name": require_name(schedule.name),
        "cron": cron.expression,
        "tz": schedule.zone,
        "next_at": next_at,
        "overlap": schedule.overlap.value,
        "late": schedule.late,
        "workspace": entry.name,
        "source": orjson.dumps(dict(schedule.source)).decode(),
        "settings": orjson.dumps(dict(schedule.settings)).decode(),
    }
    if not await database.fetch(operator_sql.ADD_SCHEDULE, **values):
        raise OperatorError(f"There is a schedule {schedule.name!r} already: remove it first, or choose another name.")
    return next_at


async def list_schedules(database: OperatorDatabase) -> list[ListedSchedule]:
    """Return the schedules by name."""
    return [ListedSchedule(*row) for row in await database.fetch(operator_sql.SCHEDULES)]


async def remove_schedule(database: OperatorDatabase, name: str) -> None:
    """Remove a schedule; its runs stay, and those that were not made yet are refused.

    Raises OperatorError for an unknown name.
    """
    with database_errors(database.config):
        async with database.connection.transaction():
            if not await database.fetch(operator_sql.REMOVE_SCHEDULE, name=name):
                raise await _unknown(database, name)
            await database.fetch(operator_sql.REFUSE_UNMADE, name=name, stop=REFUSED, detail=REMOVED)


async def pause_schedule(database: OperatorDatabase, name: str) -> None:
    """Let a schedule make no runs. Raises OperatorError for an unknown name."""
    if not await database.fetch(operator_sql.PAUSE_SCHEDULE, name=name, paused=True):
        raise await _unknown(database, name)


async def resume_schedule(database: OperatorDatabase, name: str) -> datetime:
    """Let a schedule make runs again, from the next tick on; return it. Ticks of the pause are not made up for.

    Raises OperatorError for an unknown name.
    """
    with database_errors(database.config):
        async with database.connection.transaction():
            rows = await database.fetch(operator_sql.PAUSE_SCHEDULE, name=name, paused=False)
            if not rows:
                raise await _unknown(database, name)
            expression, zone, next_at, now = rows[0]
            if next_at is None or next_at <= now:
                cron = await asyncio.to_thread(parse_cron, expression, zone)
                next_at = cron.next_after(now)
                await database.fetch(operator_sql.SET_NEXT, name=name, next_at=next_at)
    return next_at.astimezone(UTC)  # type: ignore[no-any-return] # a column


async def tick(config: DatabaseConfig) -> int:
    """Make the runs of the schedules whose time has come, and return their number. Raises StoreError.

    Any number of workers may do this at the same time: a schedule is locked by one of them, and a tick makes one run.
    Each run is made with a job for a worker with the token of its workspace, in the same transaction.
    """
    async with open_operator_database(config._replace(role="rolecall_submit")) as database:
        with database_errors(database.config):
            async with database.connection.transaction():
                await database.fetch(_LIMIT_TRANSACTION)
                due = await database.fetch(operator_sql.DUE_SCHEDULES)
                made = [await _tick_schedule(database, DueSchedule(*row)) for row in due]
        for workspace, run_id in await database.fetch(operator_sql.UNMADE_RUNS):
            await _add_job(database, workspace, run_id)
    return sum(made)


class ScheduleTick:
    """Looks at the schedules each time it is called; a failure is logged, and changes nothing about the other work."""

    def __init__(self, log: EventLogger) -> None:
        self._log = log
        self._failure = ""

    async def __call__(self, database: WorkerDatabase) -> None:
        """Make the runs that are due. Raises StoreError where the worker's own connection is lost."""
        ((has_work,),) = await database.fetch(operator_sql.HAS_SCHEDULE_WORK)
        if not has_work:
            return
        failure = ""
        try:
            if made := await tick(database.config):
                self._log.info("runs scheduled", runs=made)
        except (StoreError, InvalidStoreError) as error:
            failure = str(error)
        if failure and failure != self._failure:
            self._log.warning("schedules failed", detail=failure)
        self._failure = failure


async def _tick_schedule(database: OperatorDatabase, due: DueSchedule) -> bool:
    """Do what is due of one schedule, which is locked; return whether a run was made."""
    ((is_unfinished,),) = await database.fetch(operator_sql.UNFINISHED_OF_SCHEDULE, name=due.name)
    try:
        decision = await asyncio.to_thread(_decide, due, is_unfinished=is_unfinished)
    except (CronError, ValueError) as error:
        await database.fetch(operator_sql.RECORD_ERROR, name=due.name, error=str(error))
        return False
    for missed in decision.missed:
        await database.fetch(operator_sql.ADD_MISSED, name=due.name, due_at=missed.last, why=format_missed(missed))
    run_id = None
    if decision.start is not None:
        values = {"workspace": due.workspace, "name": due.name, "due_at": decision.start}
        text, reason = orjson.dumps(dict(due.settings)).decode(), due.settings.get(REASON, "")
        rows = await database.fetch(operator_sql.ADD_SCHEDULED_RUN, settings=text, reason=reason, **values)
        run_id = rows[0][0] if rows else None
        if run_id is not None:
            await _defer(database, due.workspace, run_id)
    if decision.next_at != due.next_at or run_id is not None:
        await database.fetch(operator_sql.RECORD_TICK, name=due.name, next_at=decision.next_at, run=run_id, error="")
    return run_id is not None


def _decide(due: DueSchedule, *, is_unfinished: bool) -> TickDecision:
    """Decide what the ticks of a schedule do; reads the time zone from a file. Raises CronError and ValueError."""
    rules = ScheduleRules(parse_cron(due.cron, due.zone), Overlap(due.overlap), due.late)
    return rules.decide(due.next_at.astimezone(UTC), due.now.astimezone(UTC), is_unfinished=is_unfinished)


def format_missed(missed: MissedTicks) -> str:
    """Return why ticks made no run, as it is stored: `late (3 ticks since 2026-03-01T02:15:00Z)`."""
    if missed.ticks == 1:
        return missed.reason.value
    return f"{missed.reason} ({plural(missed.ticks, 'tick')} since {missed.first.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ})"


async def _add_job(database: OperatorDatabase, workspace: str, run_id: int) -> None:
    """Add the job that makes a run, where it was lost; another worker may do the same."""
    try:
        await _defer(database, workspace, run_id)
    except JobExistsError:
        return


async def _defer(database: OperatorDatabase, workspace: str, run_id: int) -> None:
    job = new_job(workspace, MAKE_RUN, {"run": run_id}, f"run:{run_id}")
    await JobQueue(database.connection, database.config).defer([job])


async def _unknown(database: OperatorDatabase, name: str) -> OperatorError:
    names = [each for (each,) in await database.fetch(operator_sql.SCHEDULE_NAMES)]
    return OperatorError(f"There is no schedule {name!r}; {or_all(name, names)}")


async def _now(database: OperatorDatabase) -> datetime:
    ((now,),) = await database.fetch("SELECT now()")
    return now.astimezone(UTC)  # type: ignore[no-any-return] # a column
