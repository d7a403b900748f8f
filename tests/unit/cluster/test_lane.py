"""A lane that ends: what is left of it when it is served again."""

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from rolecall.cluster.database.lease import HeartbeatLease
from rolecall.cluster.worker.lane import Lane, LaneConfig, WorkerIdentity
from rolecall.cluster.workspaces_file import WorkspaceEntry
from tests.unit.engine.virtual import turns

if TYPE_CHECKING:
    from rolecall.cluster.database.worker_database import WorkerDatabase
    from rolecall.cluster.worker.shard_run import ShardRun
    from rolecall.engine.events import EventLogger

ENTRY = WorkspaceEntry("main", "https://chat.example.org", "account", "workspaces.toml [workspaces.main]")


async def test_a_lane_that_is_cancelled_while_it_ends_is_served_again_without_its_shards() -> None:
    """However often it is cancelled, it ends only after its shards, and keeps none of them."""
    config = LaneConfig(WorkerIdentity("worker", "host", "egress"), HeartbeatLease(lambda: 0.0), {}, print)
    lane = Lane(ENTRY, config, cast("EventLogger", SimpleNamespace(bind=lambda **_: None)))
    may_end, cancellations = asyncio.Event(), list[str]()

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancellations.append("shard")
            await may_end.wait()
            raise

    lane.runs[asyncio.create_task(end_slowly())] = cast("ShardRun", SimpleNamespace(rows=0))
    lane.is_active = True
    database = cast("WorkerDatabase", SimpleNamespace(config=None))
    draining = asyncio.Event()
    lane._pause = 1.0  # it waits; only its shard is under way
    serving = asyncio.create_task(lane.serve(database, 1, draining))
    for _ in range(3):
        await turns()
        serving.cancel()
    await turns()
    assert not serving.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert (lane.runs, lane.is_active, cancellations) == ({}, False, ["shard"])
