"""Start a worker from its files and options."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rolecall.cluster.database.lease import HeartbeatLease
from rolecall.cluster.schedules.schedules import TICK_SECONDS, ScheduleTick
from rolecall.cluster.worker.lane import LaneConfig, WorkerIdentity, cancel
from rolecall.cluster.worker.metrics import MetricsTick
from rolecall.cluster.worker.worker import Worker
from rolecall.cluster.worker.workspace_reload import LaneSource, WorkspaceSource
from rolecall.engine.events import EventLogger
from rolecall.engine.stop_signal import StopSignal
from rolecall.store.postgres.connection import DatabaseConfig

WRITE_METRICS = 5.0
"""Seconds between two writes of the metrics."""


class WorkerOptions(NamedTuple):
    """The options of a worker."""

    egress: str
    """The name of the address from which its calls come; empty for the host's."""
    concurrency: int | None = None
    """Calls in flight for each workspace; None for what each run says."""
    shutdown_timeout: float = 10.0
    """Seconds for calls in flight once the worker stops."""
    connect_timeout: float = 10.0
    """Seconds until the workspace must have accepted a connection."""
    timeout: float = 30.0
    """Seconds until it must have answered a call."""
    metrics_file: Path | None = None


class WorkerHooks(NamedTuple):
    """What the worker uses of its process."""

    workspaces: WorkspaceSource
    open_log: Callable[[str], EventLogger]
    """Returns the logger for a token that no event may show."""
    warn: Callable[[str], None]
    stop: StopSignal


async def run_worker(options: WorkerOptions, config: DatabaseConfig, hooks: WorkerHooks) -> None:
    """Serve the workspaces of the file until the stop is requested. Raises RolecallError where it cannot start."""
    host = socket.gethostname()
    identity = WorkerIdentity(f"{host}-{os.getpid()}-{secrets.token_hex(3)}", host, options.egress or host)
    lane_config = LaneConfig(
        identity,
        HeartbeatLease(),
        os.environ,
        hooks.warn,
        options.concurrency,
        timeouts={"connect_timeout": options.connect_timeout, "timeout": options.timeout},
    )
    lanes, log = LaneSource(hooks.workspaces, lane_config, hooks.open_log), hooks.open_log("")
    log = log.bind(worker=identity.worker_id)
    worker = Worker(lanes.lanes({}), lane_config, config, log)
    worker.ticks.append((TICK_SECONDS, ScheduleTick(log)))
    if options.metrics_file is not None:
        worker.ticks.append((WRITE_METRICS, MetricsTick(options.metrics_file, lambda: worker.lanes, identity)))
    following = asyncio.create_task(lanes.follow(worker, log), name="workspaces")
    try:
        await worker.run(hooks.stop, options.shutdown_timeout)
    finally:
        await cancel([following])
