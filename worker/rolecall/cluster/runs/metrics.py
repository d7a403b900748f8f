"""Metrics of the runs and schedules of the database, in Prometheus' text format."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.operator_database import OperatorDatabase
from rolecall.cluster.runs.records import LIVE_MS, ListedDatabaseRun, RunState, read_runs
from rolecall.files.output.prometheus import Metric, format_gauges

MAX_RUNS = 1000
"""The newest runs that are looked at."""
Sample = tuple[dict[str, str], float]


@dataclass(slots=True)
class _Samples:
    """The samples of the metrics."""

    rows: list[Sample] = field(default_factory=list)
    workers: list[Sample] = field(default_factory=list)
    stopped: list[Sample] = field(default_factory=list)
    created: list[Sample] = field(default_factory=list)
    unserved: list[Sample] = field(default_factory=list)


async def read_metrics(database: OperatorDatabase, workspace: str | None) -> list[str]:
    """Return the lines of the metrics: runs that have not finished, schedules, live workers. Raises StoreError."""
    runs = await read_runs(database, workspace, MAX_RUNS)
    schedules = await database.fetch(operator_sql.SCHEDULES)
    served = await database.fetch(operator_sql.LIVE_WORKERS, ms=LIVE_MS)
    metrics = [*run_metrics([run for run in runs if run.state is not RunState.FINISHED])]
    next_runs = [({"schedule": row[0]}, row[3].timestamp()) for row in schedules if row[3] and not row[8]]
    missed = [({"schedule": row[0]}, float(row[11])) for row in schedules]
    metrics += [
        Metric("rolecall_schedule_next_timestamp_seconds", "When a schedule makes its next run.", next_runs),
        Metric("rolecall_schedule_missed_reports", "Reports of ticks that made no run.", missed),
        Metric("rolecall_workers", "Live workers, by workspace.", [({"workspace": n}, float(w)) for n, w in served]),
    ]
    return format_gauges(metrics).splitlines()


def run_metrics(runs: Sequence[ListedDatabaseRun]) -> list[Metric]:
    """Return the metrics of these runs."""
    samples = _Samples()
    for run in runs:
        labels = {"run": str(run.record.run_id), "workspace": run.record.workspace, "operation": run.record.operation}
        samples.rows += [
            ({**labels, "outcome": count.outcome.value, "reason": count.reason}, float(count.rows))
            for count in run.counts
        ]
        samples.workers.append((labels, float(len(run.workers))))
        samples.stopped.append((labels, float(run.state is RunState.STOPPED)))
        samples.created.append((labels, run.record.created_at / 1000))
        samples.unserved.append((labels, float(run.problem.startswith("no worker"))))
    return [
        Metric("rolecall_run_rows", "Rows of a run that has not finished, by outcome and reason.", samples.rows),
        Metric("rolecall_run_workers", "Workers that have a shard of the run.", samples.workers),
        Metric("rolecall_run_stopped", "1 where the run is stopped.", samples.stopped),
        Metric("rolecall_run_created_timestamp_seconds", "When the run was submitted.", samples.created),
        Metric("rolecall_run_unserved", "1 where no live worker has credentials for its workspace.", samples.unserved),
    ]
