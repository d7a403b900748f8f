"""Stop a run of the database for all workers, and resume it."""

from enum import StrEnum
from typing import NamedTuple

import orjson

from rolecall.app.errors import OperatorError
from rolecall.cluster.database import operator_sql, worker_sql
from rolecall.cluster.database.operator_database import OperatorDatabase
from rolecall.cluster.runs.records import RunState, name_of, read_run
from rolecall.cluster.runs.settings import ENGINE
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome
from rolecall.store.postgres.connection import database_errors
from rolecall.store.run_lock import RunLockedError


class Resumption(NamedTuple):
    """A run that workers go on with."""

    run_id: int
    due: int
    """Rows to send."""
    shards: int


class StopEffect(StrEnum):
    """What the request to stop a run has changed."""

    STOPPED = "stopped"
    """No worker sends a further row."""
    CANCELLED = "cancelled"
    """Its submission, which is still open, does not release it any more."""
    STOPPED_BEFORE = "stopped_before"
    """Nothing: it was stopped."""
    DELETED = "deleted"
    """It was never released, and the command that submitted it has ended: nothing is left of it."""


async def stop_run(database: OperatorDatabase, run_id: int, detail: str = "requested by an operator") -> StopEffect:
    """Stop a run; delete one whose submission was ended. Raises OperatorError for one that is unknown or has ended."""
    found = await read_run(database, run_id)
    if await database.fetch(operator_sql.DISCARD_ABANDONED, run=run_id):
        return StopEffect.DELETED
    if found.state is RunState.FINISHED:
        raise OperatorError(f"{name_of(run_id).capitalize()} has finished: there is nothing to stop.")
    values = {"run": run_id, "stop": StopReason.INTERRUPTED.value, "detail": detail}
    if not await database.fetch(worker_sql.STOP_RUN, **values):
        return StopEffect.STOPPED_BEFORE
    return StopEffect.STOPPED if found.record.is_released or found.record.schedule else StopEffect.CANCELLED


async def resume_run(database: OperatorDatabase, run_id: int, *, retry_failed: bool) -> Resumption:
    """Let workers go on with a run: with its unknown rows again, and the failed ones too where they are named.

    A run that was stopped when its last row had been done is finished then. Raises OperatorError for an unknown run,
    for one that goes on anyway, and where nothing is due.
    """
    found = await read_run(database, run_id)
    outcomes = [Outcome.UNKNOWN.value, *([Outcome.FAILED.value] if retry_failed else [])]
    with database_errors(database.config):
        async with database.connection.transaction():
            if not (await database.fetch(operator_sql.IS_NOT_VERIFIED, run=run_id))[0][0]:
                raise RunLockedError(f"{name_of(run_id).capitalize()} is being verified; wait for the end.")
            ((is_released, stop, ended_at, settings),) = await database.fetch(operator_sql.LOCK_RUN, run=run_id)
            if not is_released:
                raise OperatorError(f"{name_of(run_id).capitalize()} was never released: submit its job anew.")
            if not stop and ended_at is None:
                raise OperatorError(f"{name_of(run_id).capitalize()} is not stopped: workers go on with it.")
            await database.fetch(operator_sql.REOPEN_SHARDS, run=run_id, outcomes=outcomes)
            shards = len(await database.fetch(operator_sql.SHARDS_TO_DO, run=run_id))
            if not shards and stop:
                await database.fetch(operator_sql.FINISH, run=run_id)
                return Resumption(run_id, 0, 0)
            if not shards:
                raise OperatorError(f"{name_of(run_id).capitalize()} has no row that is due. {_remedy(retry_failed)}")
            engine = {**settings.get(ENGINE, {}), "retry_failed": retry_failed}
            await database.fetch(operator_sql.RESUME, run=run_id, settings=orjson.dumps({ENGINE: engine}).decode())
    due = sum(found.progress.outcomes.get(Outcome(word), 0) for word in (Outcome.NOT_ATTEMPTED.value, *outcomes))
    return Resumption(run_id, due, shards)


def _remedy(retry_failed: bool) -> str:
    return "Nothing was sent." if retry_failed else "Its failed rows are sent only where that is requested."
