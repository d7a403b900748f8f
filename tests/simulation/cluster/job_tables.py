"""What the statements of the job queue do in the simulated database, as procrastinate's own functions."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
from procrastinate import sql

from tests.simulation.cluster.tables import Job

if TYPE_CHECKING:
    from tests.simulation.cluster.connection import SimulatedConnection
    from tests.simulation.cluster.database import Database

Rows = list[Any]


class Exists(psycopg.errors.UniqueViolation):
    """A job with the same queueing lock waits."""

    def __init__(self, lock: str) -> None:
        super().__init__("duplicate key")
        self._lock = lock

    @property
    def diag(self) -> Any:
        """Return the names that the queue's client looks for."""
        detail = f"Key (queueing_lock)=({self._lock}) already exists."
        return SimpleNamespace(
            constraint_name="procrastinate_jobs_queueing_lock_idx_v1", message_detail=detail, message_primary="exists"
        )


def _defer(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    tables = database.tables
    waiting = {job.queueing_lock for job in tables.jobs.values() if job.status == "todo"}
    for _, _, _, _, queueing_lock, *_ in values["jobs"]:
        if queueing_lock in waiting:
            raise Exists(queueing_lock)
        waiting.add(queueing_lock)
    added = []
    for queue, task, _, lock, queueing_lock, arguments, _ in values["jobs"]:
        number = tables.next_number("job")
        tables.jobs[number] = Job(number, task, queue, lock, queueing_lock, getattr(arguments, "obj", arguments))
        database.notify(f"procrastinate_queue_v1#{queue}", "")
        added.append({"id": number})
    return added


def _fetch(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    jobs = database.tables.jobs.values()
    doing = {job.lock for job in jobs if job.status == "doing"}
    for job in jobs:
        if job.status == "todo" and job.lock not in doing and job.queue in values["queues"]:
            if values["worker_id"] not in database.tables.queue_workers:
                raise psycopg.errors.ForeignKeyViolation("the worker is not registered any more")
            job.status, job.worker, job.begun_at = "doing", values["worker_id"], database.now()
            database.on_fetch(connection.process)
            return [job.to_row()]
        if job.status == "todo":
            doing.add(job.lock)  # a later job of this lock waits for it
    return [{"id": None}]


def _stalled(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    tables, oldest = database.tables, database.now() - values["seconds_since_heartbeat"]
    found = [
        job
        for job in tables.jobs.values()
        if job.status == "doing"
        and (job.worker not in tables.queue_workers or tables.queue_workers[job.worker] < oldest)
    ]
    database.watch.at_stalled(database, found)
    return [job.to_row() for job in found]


def _finish(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    job = database.tables.jobs[values["job_id"]]
    if job.status not in ("todo", "doing"):
        raise psycopg.errors.RaiseException('Job was not found or not in "doing" or "todo" status')
    job.attempts += job.status == "doing"
    job.status = values["status"]
    database.watch.at_job_end(database.tables, job)
    return []


def _register(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    number = database.tables.next_number("worker")
    database.tables.queue_workers[number] = database.now()
    connection.process.numbers.add(number)
    return [{"worker_id": number}]


def _unregister(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    database.tables.queue_workers.pop(values["worker_id"], None)
    return []


def _heartbeat(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    if values["worker_id"] in database.tables.queue_workers:
        database.tables.queue_workers[values["worker_id"]] = database.now()
    return []


def _prune(database: "Database", connection: "SimulatedConnection", values: Mapping[str, Any]) -> Rows:
    workers, oldest = database.tables.queue_workers, database.now() - values["seconds_since_heartbeat"]
    pruned = [number for number, seen_at in workers.items() if seen_at < oldest]
    for number in pruned:
        del workers[number]
    return [{"worker_id": number} for number in pruned]


JOB_STATEMENTS: dict[str, Callable[["Database", "SimulatedConnection", Mapping[str, Any]], Rows]] = {
    sql.queries["defer_jobs"]: _defer,
    sql.queries["fetch_job"]: _fetch,
    sql.queries["select_stalled_jobs_by_heartbeat"]: _stalled,
    sql.queries["finish_job"]: _finish,
    sql.queries["register_worker"]: _register,
    sql.queries["unregister_worker"]: _unregister,
    sql.queries["update_heartbeat"]: _heartbeat,
    sql.queries["prune_stalled_workers"]: _prune,
}
