"""Old runs are deleted from the database, with their rows; so are the jobs of the queue that have ended."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.models import RolecallError
from rolecall.store.postgres.connection import DatabaseConfig, database_errors

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
    async with open_operator_database(config) as database:
        at = now.timestamp() if now else await database.read_time()
        before = int((at - age.total_seconds()) * 1000)
        runs = [run for (run,) in await database.fetch(_OLD_RUNS, before=before)]
        ((rows,),) = await database.fetch(_COUNT_ROWS, runs=runs)
    return Prunable(tuple(runs), rows, before)


async def prune_database(config: DatabaseConfig, prunable: Prunable) -> Prunable:
    """Delete these runs, each in a transaction of its own, and what is as old as they are in the other tables.

    Returns what was deleted: a run that was resumed meanwhile stays.
    """
    deleted, rows = [], 0
    async with open_operator_database(config) as database:
        with database_errors(config):
            for run in prunable.runs:
                async with database.connection.transaction():
                    await database.fetch(_LOCK_RUN, run=run)
                    ((of_run,),) = await database.fetch(_COUNT_ROWS, runs=[run])
                    if await database.fetch(_DELETE_RUN, run=run, before=prunable.before):
                        deleted.append(run)
                        rows += of_run
        for statement in (_DELETE_MISSED, _DELETE_WORKERS, _DELETE_JOBS):
            await database.fetch(statement, before=prunable.before)
    return prunable._replace(runs=tuple(deleted), rows=rows)
