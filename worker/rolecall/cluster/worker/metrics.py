"""Metrics of a worker in Prometheus' text format, for node_exporter's textfile collector."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rolecall.cluster.database.worker_database import WorkerDatabase
from rolecall.cluster.worker.lane import Lane, WorkerIdentity
from rolecall.files.output.prometheus import Metric, write_gauges


class MetricsTick:
    """Writes the metrics each time it is called; a file that cannot be written changes nothing about the work."""

    def __init__(self, path: Path, lanes: Callable[[], Sequence[Lane]], identity: WorkerIdentity) -> None:
        self._path = path
        self._lanes = lanes
        self._identity = identity

    async def __call__(self, database: WorkerDatabase) -> None:
        """Write the file. A failure is ignored."""
        labels = {"worker": self._identity.worker_id, "egress": self._identity.egress}
        metrics = list(self._metrics(database))
        try:
            await asyncio.to_thread(write_gauges, self._path, metrics, labels)
        except OSError:
            return

    def _metrics(self, database: WorkerDatabase) -> Iterator[Metric]:
        yield Metric(
            "rolecall_worker_heartbeat_timestamp_seconds",
            "When these metrics were written, by the clock of the database.",
            [({}, database.now())],
        )
        for name, help_text, value in (
            ("rolecall_worker_active", "1 where the worker is the active one behind its address.", "is_active"),
            ("rolecall_worker_busy", "1 while the worker processes a shard.", "is_busy"),
            ("rolecall_worker_rows_total", "Rows that the worker has finished.", "rows"),
        ):
            yield Metric(
                name, help_text, [({"workspace": lane.name}, float(getattr(lane, value))) for lane in self._lanes()]
            )
