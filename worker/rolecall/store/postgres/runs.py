"""Runs and shards beside their rows: a run is created, a shard taken and finished."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import orjson

from rolecall.store.postgres import sql
from rolecall.store.postgres.connection import Connection, DatabaseConfig, database_errors
from rolecall.store.postgres.reading import ShardLease


class NewRun(NamedTuple):
    """A run before its rows are imported."""

    workspace: str
    """Its name."""
    created_at: int
    """UTC, milliseconds since the epoch."""
    settings: Mapping[str, object] = {}
    reason: str = ""
    parent: int | None = None
    """The run that it verifies or undoes."""
    schedule: str | None = None
    due_at: datetime | None = None


async def create_run(connection: Connection, config: DatabaseConfig, run: NewRun) -> int:
    """Create a run without rows, which is not released, and return its id. Raises DatabaseError."""
    values = {**run._asdict(), "settings": orjson.dumps(dict(run.settings)).decode()}
    with database_errors(config):
        ((run_id,),) = await (await connection.execute(sql.CREATE_RUN.encode(), values)).fetchall()
    return int(str(run_id))


async def add_workspace(connection: Connection, config: DatabaseConfig, name: str, url: str) -> None:
    """Add a workspace; one of this name stays as it is. Raises DatabaseError where another one has the URL."""
    with database_errors(config):
        await connection.execute(sql.ADD_WORKSPACE.encode(), {"name": name, "url": url})


async def take_shard(connection: Connection, config: DatabaseConfig, lease: ShardLease) -> int | None:
    """Take a shard with a newer token, and return its run; None where it is done or another worker has a newer one."""
    with database_errors(config):
        rows = await (await connection.execute(sql.TAKE_SHARD.encode(), _values(lease))).fetchall()
    return int(str(rows[0][0])) if rows else None


async def finish_shard(connection: Connection, config: DatabaseConfig, lease: ShardLease) -> bool:
    """Record that a shard has no due row any more; return False where another worker has taken it."""
    with database_errors(config):
        return bool(await (await connection.execute(sql.FINISH_SHARD.encode(), _values(lease))).fetchall())


def _values(lease: ShardLease) -> dict[str, object]:
    shard, job, attempt, worker = lease
    return {"shard": shard, "job": job, "attempt": attempt, "worker": worker}
