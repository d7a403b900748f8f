"""What the statements of workers beside their stores do in the simulated database, by their texts."""

from collections.abc import Mapping
from typing import Any

from rolecall.cluster.database import worker_sql
from rolecall.models import Outcome
from rolecall.store.postgres import connection as postgres_connection
from rolecall.store.postgres import schema_version
from tests.simulation.cluster.connection import SimulatedConnection
from tests.simulation.cluster.database import Answer, Database, Rows
from tests.simulation.cluster.tables import RUN_ID, WORKSPACE
from tests.simulation.network import URL

SLOT_LATENESS, MAX_SLOTS_AHEAD = 0.003, 64
"""See LEASE_SLOTS."""
FORGET_AFTER = 7 * 86400.0
"""Seconds, see FORGET_WORKERS."""


def _see_worker(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    workers = database.tables.workers
    if values["id"] not in workers:
        return []
    workers[values["id"]] = database.now()
    return [(database.now(),)]


def _add_worker(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.workers[values["id"]] = database.now()
    return [(database.now(),)]


def _delete_worker(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.workers.pop(values["id"], None)
    return []


def _forget_workers(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    workers, oldest = database.tables.workers, database.now() - FORGET_AFTER
    database.tables.workers = {name: seen_at for name, seen_at in workers.items() if seen_at >= oldest}
    return []


def _lock_egress(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    owner = database.locks.setdefault((values["workspace"], values["egress"]), connection)
    return [(owner is connection,)]


def _unlock_egress(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    is_own = database.locks.get((values["workspace"], values["egress"])) is connection
    if is_own:
        del database.locks[values["workspace"], values["egress"]]
    return [(is_own,)]


def _shard(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    tables, shard = database.tables, database.tables.shards.get(values["shard"])
    if shard is None:
        return []
    run = (RUN_ID, WORKSPACE, tables.operation, tables.account, tables.settings, tables.stop, tables.stop_detail, "")
    return [(shard.shard_id, *run, URL, None, shard.is_done, len(shard.contents.entries))]


def _run_stop(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    return [(database.tables.stop, database.tables.stop_detail)] if values["run"] == RUN_ID else []


def _claim_account(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.account = database.tables.account or values["account"]
    if database.tables.account == values["account"]:
        database.tables.refusal = ""
    return [(database.tables.account,)]


def _record_refusal(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.refusal = values["detail"]
    return []


def stop_run(database: Database, connection: SimulatedConnection | None, values: Mapping[str, Any]) -> Rows:
    """Stop the run; the first reason stays."""
    tables = database.tables
    if not tables.is_active:
        return []
    tables.stop, tables.stop_detail = values["stop"], values["detail"]
    database.watch.note("run stopped", tables.stop, tables.stop_detail)
    database.notify(worker_sql.RUN_STOPPED, str(RUN_ID))
    return [(RUN_ID, "")]


def _end_run(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    if database.tables.ended_at is not None or not all(shard.is_done for shard in database.tables.shards.values()):
        return []
    database.tables.ended_at = database.now()
    database.watch.note("run ended")
    return [(RUN_ID,)]


def _done_runs(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    is_done = all(shard.is_done for shard in database.tables.shards.values())
    return [(RUN_ID,)] if is_done and database.tables.ended_at is None else []


def _lost_shards(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    tables = database.tables
    if not tables.is_active:
        return []
    lost = [shard for shard in tables.shards.values() if not shard.is_done and not tables.has_job(shard)]
    return [(WORKSPACE, shard.shard_id) for shard in lost]


def _waiting_queues(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    is_waiting = any(job.status == "todo" for job in database.tables.jobs.values())
    return [(WORKSPACE,)] if is_waiting and WORKSPACE in values["names"] else []


def _failures(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    done = failed = 0
    for shard in database.tables.shards.values():
        entries, resumption = shard.contents.entries.values(), shard.contents.resumption
        outcomes = [entry.outcome for entry in entries if entry.outcome and entry.resumption == resumption]
        done += len(outcomes)
        failed += sum(each is Outcome.FAILED or (each is Outcome.UNKNOWN and shard.is_done) for each in outcomes)
    return [(done, failed)]


def _lease_slots(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    now, interval, pace = database.now(), values["interval"], database.tables.pace
    first = pace.get(values["kind"])
    latest = now + MAX_SLOTS_AHEAD * max(interval, 0.25)
    first = now if first is None else max(now - SLOT_LATENESS, min(first, latest))
    pace[values["kind"]] = first + values["count"] * interval
    return [(first, now)]


def _record_answer(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.answered_at = database.now()
    return []


def _answered_within(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    return [(database.tables.answered_at > database.now() - values["ms"] / 1000,)]


def _notify(database: Database, connection: SimulatedConnection, values: Any) -> Rows:
    database.notify(*values)
    return []


WORKER_STATEMENTS: dict[str, Answer] = {
    worker_sql.ADD_WORKER: _add_worker,
    worker_sql.SEE_WORKER: _see_worker,
    worker_sql.DELETE_WORKER: _delete_worker,
    worker_sql.FORGET_WORKERS: _forget_workers,
    worker_sql.RELEASE_SHARD: lambda *_: [],  # the judge looks at who had a shard last
    worker_sql.RELEASE_SHARDS: lambda *_: [],
    worker_sql.LOCK_EGRESS: _lock_egress,
    worker_sql.UNLOCK_EGRESS: _unlock_egress,
    worker_sql.SHARD: _shard,
    worker_sql.RUN_STOP: _run_stop,
    worker_sql.CLAIM_ACCOUNT: _claim_account,
    worker_sql.RECORD_REFUSAL: _record_refusal,
    worker_sql.STOP_RUN: stop_run,
    worker_sql.END_RUN: _end_run,
    worker_sql.DONE_RUNS: _done_runs,
    worker_sql.LOST_SHARDS: _lost_shards,
    worker_sql.WAITING_QUEUES: _waiting_queues,
    worker_sql.FAILURES: _failures,
    worker_sql.LEASE_SLOTS: _lease_slots,
    worker_sql.RECORD_ANSWER: _record_answer,
    worker_sql.ANSWERED_WITHIN: _answered_within,
    worker_sql.HAS_ENDED: lambda database, *_: [(database.tables.ended_at is not None,)],
    "SELECT pg_notify(%s, %s)": _notify,
    "SELECT 1": lambda *_: [(1,)],
    postgres_connection._PROBE: lambda database, connection, _: [
        (
            connection.number,
            postgres_connection.MIN_SERVER,
            postgres_connection.SCHEMA,
            postgres_connection.ENCODING,
            "on",
        )
    ],
    schema_version._HAS_RIGHT.decode(): lambda *_: [(True,)],
    schema_version._VERSIONS: lambda *_: [(schema_version.OURS, str(schema_version.SCHEMA_VERSION))],
}
