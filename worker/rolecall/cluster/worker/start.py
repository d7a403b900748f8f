"""Start a worker from its files and options."""

import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rolecall.cluster.database.lease import HeartbeatLease
from rolecall.cluster.schedules.schedules import TICK_SECONDS, ScheduleTick
from rolecall.cluster.worker.lane import Lane, LaneConfig, WorkerIdentity
from rolecall.cluster.worker.metrics import MetricsTick
from rolecall.cluster.worker.worker import Worker
from rolecall.cluster.workspaces_file import read_workspaces
from rolecall.engine.events import EventLogger
from rolecall.engine.stop_signal import StopSignal
from rolecall.store.postgres.connection import DatabaseConfig

WRITE_METRICS = 5.0
"""Seconds between two writes of the metrics."""


class WorkerOptions(NamedTuple):
    """The options of a worker."""

    workspaces: Path
    """The file with the workspaces and the places of their tokens."""
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


async def run_worker(
    options: WorkerOptions,
    config: DatabaseConfig,
    stop: StopSignal,
    open_log: Callable[[str], EventLogger],
    warn: Callable[[str], None],
) -> None:
    """Serve the workspaces of the file until the stop is requested.

    `open_log` returns the logger for a token that no event may show. Raises RolecallError where it cannot start.
    """
    entries = read_workspaces(options.workspaces, warn)
    host = socket.gethostname()
    identity = WorkerIdentity(f"{host}-{os.getpid()}-{secrets.token_hex(3)}", host, options.egress or host)
    lane_config = LaneConfig(
        identity,
        HeartbeatLease(),
        os.environ,
        warn,
        options.concurrency,
        timeouts={"connect_timeout": options.connect_timeout, "timeout": options.timeout},
    )
    lanes = []
    for entry in entries.values():
        token = entry.load_credentials(os.environ, warn).token
        lanes.append(Lane(entry, lane_config, open_log(token).bind(worker=identity.worker_id)))
    worker = Worker(lanes, lane_config, config, open_log("").bind(worker=identity.worker_id))
    worker.ticks.append((TICK_SECONDS, ScheduleTick(open_log("").bind(worker=identity.worker_id))))
    if options.metrics_file is not None:
        worker.ticks.append((WRITE_METRICS, MetricsTick(options.metrics_file, lanes, identity)))
    await worker.run(stop, options.shutdown_timeout)
