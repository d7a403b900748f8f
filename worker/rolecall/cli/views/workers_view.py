"""A list of workers, as text and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rolecall.models import Json
from rolecall.text import rfc3339

if TYPE_CHECKING:  # it needs the libraries of the distributed mode
    from rolecall.cluster.worker.worker_list import WorkerInfo

HEADER = ("worker", "egress", "version", "heartbeat", "shards", "workspaces")


def workers_lines(workers: Sequence["WorkerInfo"]) -> list[str]:
    """Return a header and one line for each worker."""
    rows = [HEADER, *map(_cells, workers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(worker: "WorkerInfo") -> Sequence[str]:
    seen = f"{worker.seen_ago:.0f} s ago{'' if worker.is_alive else ', dead'}"
    shards = ", ".join(worker.shards)
    return worker.worker_id, worker.egress, worker.version, seen, shards, ", ".join(worker.workspaces)


def workers_json(workers: Sequence["WorkerInfo"]) -> Json:
    """Return the workers as JSON."""
    return [
        {
            "worker": worker.worker_id,
            "host": worker.host,
            "egress": worker.egress,
            "version": worker.version,
            "workspaces": list(worker.workspaces),
            "started_at": rfc3339(worker.started_at),
            "seconds_since_heartbeat": round(worker.seen_ago, 1),
            "is_alive": worker.is_alive,
            "shards": list(worker.shards),
        }
        for worker in workers
    ]
