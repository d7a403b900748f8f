"""How large the shards of a run are: small enough that each live worker has several of them."""

from collections.abc import Callable
from contextlib import aclosing

from rolecall.app.job_names import JobPages
from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.operator_database import OperatorDatabase
from rolecall.cluster.runs.records import LIVE_MS
from rolecall.store.postgres.store import SHARD_ROWS

MIN_SHARD_ROWS = 20
"""Rows below which no shard is made, unless an operator sets a lower number."""
SHARDS_PER_WORKER = 8
"""Shards of each worker, so that none waits long for the last shard of another one."""


def shard_size(rows: int, workers: int) -> int:
    """Return the rows of a shard where no operator has set it; `workers`: the live ones, 0 where none is up."""
    share = rows // (SHARDS_PER_WORKER * workers) if workers else SHARD_ROWS
    return max(MIN_SHARD_ROWS, min(share, SHARD_ROWS))


async def choose_shard_size(database: OperatorDatabase, workspace: str, rows: Callable[[], JobPages]) -> int:
    """Return the rows of a shard for a job that will be imported.

    The rows are counted only as far as they change the result: a few thousand for each worker.
    """
    ((workers,),) = await database.fetch(operator_sql.COUNT_SENDERS, workspace=workspace, ms=LIVE_MS)
    enough, counted = SHARD_ROWS * SHARDS_PER_WORKER * workers, 0
    if enough:
        async with aclosing(rows()) as pages:
            async for page in pages:
                counted += len(page)
                if counted >= enough:
                    break
    return shard_size(counted, workers)
