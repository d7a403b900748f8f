"""Old runs are deleted from the database, with their rows; so are the jobs of the queue that have ended."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from rolecall.models import RolecallError
from rolecall.store.postgres.connection import Connection, DatabaseConfig, database_errors
from rolecall.store.postgres.schema_version import connect_current

# Runs that began and ended before a moment. One whose rows are still to be sent stays, however old it is.
_IS_OLD = """
    created_at < %(before)s AND coalesce(ended_at, 0) < %(before)s AND NOT (
        is_released AND stop = '' AND EXISTS (SELECT FROM shard WHERE run_id = run.id AND NOT done)
    )
"""
_OLD_RUNS = f"SELECT id FROM run WHERE {_IS_OLD} ORDER BY id"  # noqa: S608 # a constant
_COUNT_ROWS = "SELECT coalesce(sum(rows), 0)::bigint FROM group_count WHERE run_id = ANY (%(runs)s::bigint[])"
# Lock a run and delete it, unless it was resumed since it was found.
_LOCK_RUN = "SELECT FROM run WHERE id = %(run)s FOR UPDATE"
_DELETE_RUN = f"DELETE FROM run WHERE id = %(run)s AND {_IS_OLD} RETURNING id"  # noqa: S608 # a constant
_NOW_MS = "SELECT extract(epoch FROM clock_timestamp()) * 1000"
_DELETE_MISSED = "DELETE FROM missed WHERE due_at < to_timestamp(%(before)s / 1000.0)"
_DELETE_WORKERS = "DELETE FROM worker WHERE seen_at < %(before)s"
# Jobs of the queue that have ended, and about which nothing happened since a moment.
_DELETE_JOBS = """
    DELETE FROM procrastinate_jobs AS job
    WHERE status IN ('succeeded', 'failed', 'cancelled', 'aborted') AND NOT EXISTS (
        SELECT FROM procrastinate_events WHERE job_id = job.id AND at >= to_timestamp(%(before)s / 1000.0)
    )
"""


class Prunable(NamedTuple):
    """What `prune` deletes."""

    runs: tuple[int, ...]
    """Their ids."""
    rows: int
    before: int
    """The moment before which the runs ended: UTC, milliseconds since the epoch."""


def parse_age(text: str) -> timedelta:
    """Parse `400d`. Raises RolecallError."""
    found = re.fullmatch(r"([1-9]\d{0,4})d", text.strip())
    if found is None:
        raise RolecallError(f"{text!r} is not an age in days: write a number and d, such as 400d.")
    return timedelta(days=int(found[1]))


async def find_prunable(config: DatabaseConfig, age: timedelta, now: datetime | None = None) -> Prunable:
    """Return the runs that are older than an age, by the clock of the database unless `now` is given.

    Raises StoreError and InvalidStoreError.
    """
    async with await connect_current(config) as connection:
        with database_errors(config):
            at_ms = now.timestamp() * 1000 if now else float(str((await _fetch(connection, _NOW_MS))[0][0]))
            before = int(at_ms - age.total_seconds() * 1000)
            runs = [int(str(run)) for (run,) in await _fetch(connection, _OLD_RUNS, before=before)]
            ((rows,),) = await _fetch(connection, _COUNT_ROWS, runs=runs)
    return Prunable(tuple(runs), int(str(rows)), before)


async def prune_database(config: DatabaseConfig, prunable: Prunable) -> Prunable:
    """Delete these runs, each in a transaction of its own, and what is as old as they are in the other tables.

    Returns what was deleted: a run that was resumed meanwhile stays.
    """
    deleted, rows = [], 0
    async with await connect_current(config) as connection:
        with database_errors(config):
            for run in prunable.runs:
                async with connection.transaction():
                    await connection.execute(_LOCK_RUN.encode(), {"run": run})
                    ((of_run,),) = await _fetch(connection, _COUNT_ROWS, runs=[run])
                    if await _fetch(connection, _DELETE_RUN, run=run, before=prunable.before):
                        deleted.append(run)
                        rows += int(str(of_run))
            for statement in (_DELETE_MISSED, _DELETE_WORKERS, _DELETE_JOBS):
                await connection.execute(statement.encode(), {"before": prunable.before})
    return prunable._replace(runs=tuple(deleted), rows=rows)


async def _fetch(connection: Connection, statement: str, **values: object) -> list[tuple[object, ...]]:
    return await (await connection.execute(statement.encode(), values)).fetchall()
