"""Old runs are deleted from the database, with their rows; so are the jobs of the queue that have ended."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from rolecall.models import RolecallError
from rolecall.store.postgres.connection import Connection, DatabaseConfig, database_errors
from rolecall.store.postgres.schema_version import connect_current

# Runs that began and ended before a moment. One whose rows are still to be sent stays, however old it is.
_OLD_RUNS = """
    SELECT id FROM run
    WHERE created_at < %(before)s AND coalesce(ended_at, 0) < %(before)s AND NOT (
        is_released AND stop = '' AND EXISTS (SELECT FROM shard WHERE run_id = run.id AND NOT done)
    )
    ORDER BY id
"""
_COUNT_ROWS = "SELECT coalesce(sum(rows), 0)::bigint FROM group_count WHERE run_id = ANY (%(runs)s::bigint[])"
_DELETE_RUN = "DELETE FROM run WHERE id = %(run)s"
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


async def find_prunable(config: DatabaseConfig, age: timedelta, now: datetime) -> Prunable:
    """Return the runs that are older than an age. Raises StoreError and InvalidStoreError."""
    before = int((now - age).timestamp() * 1000)
    async with await connect_current(config) as connection:
        with database_errors(config):
            runs = [int(str(run)) for (run,) in await _fetch(connection, _OLD_RUNS, before=before)]
            ((rows,),) = await _fetch(connection, _COUNT_ROWS, runs=runs)
    return Prunable(tuple(runs), int(str(rows)), before)


async def prune_database(config: DatabaseConfig, prunable: Prunable) -> None:
    """Delete these runs, each in a transaction of its own, and what is as old as they are in the other tables."""
    async with await connect_current(config) as connection:
        with database_errors(config):
            for run in prunable.runs:
                await connection.execute(_DELETE_RUN.encode(), {"run": run})
            for statement in (_DELETE_MISSED, _DELETE_WORKERS, _DELETE_JOBS):
                await connection.execute(statement.encode(), {"before": prunable.before})


async def _fetch(connection: Connection, statement: str, **values: object) -> list[tuple[object, ...]]:
    return await (await connection.execute(statement.encode(), values)).fetchall()
