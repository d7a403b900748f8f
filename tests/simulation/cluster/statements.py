"""What the statements of the store and of the workers do in the simulated database, by their texts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import psycopg

from rolecall.cluster import sql as cluster_sql
from rolecall.cluster.lease import Token
from rolecall.models import DueRow, Outcome, RowOutcome, is_due
from rolecall.store.postgres import connection as postgres_connection
from rolecall.store.postgres import schema_version
from rolecall.store.postgres import sql as store_sql
from rolecall.store.records import Batch, Intent, IntentRollback, Pause, PauseEnd, PauseKind, PriorRecord, Session
from rolecall.store.rows import to_prior
from tests.simulation.cluster.connection import SimulatedConnection
from tests.simulation.cluster.database import Database, Execute, Reply
from tests.simulation.cluster.job_tables import JOB_STATEMENTS
from tests.simulation.cluster.tables import RUN_ID, WORKSPACE, Shard
from tests.simulation.cluster.watch import Commit
from tests.simulation.network import URL
from tests.support.memory_contents import Entry, apply_batch

Rows = list[Any]
Answer = Callable[[Database, SimulatedConnection, Mapping[str, Any]], Rows]
"""A statement that is carried out at once."""
SLOT_LATENESS, MAX_SLOTS_AHEAD = 0.003, 64
"""See LEASE_SLOTS."""


class Fenced(psycopg.DatabaseError):
    """The error of `commit_batch` for a shard that another worker has."""

    sqlstate = postgres_connection.FENCED


def execute_of(query: str) -> Execute:
    """Return what a statement does; of an unknown one, fail as the database would."""
    if query.startswith("LISTEN"):
        return lambda database, connection, _, reply: _listen(connection, query, reply)
    found = STATEMENTS.get(query)
    if found is None:
        raise AssertionError(f"the simulated database has no statement {query}")
    return found


def _listen(connection: SimulatedConnection, query: str, reply: Reply) -> None:
    connection.channels.add(query.removeprefix("LISTEN ").strip('"'))
    reply([])


def _at_once(answer: Answer) -> Execute:
    def execute(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
        try:
            rows = answer(database, connection, values)
        except psycopg.Error as error:
            reply(error)
        else:
            reply(rows)

    return execute


# The store of a shard


def commit_batch(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """Write a batch of a shard behind the fence; it takes time, in which the shard's line is locked."""
    shard = database.tables.shards[values["shard"]]
    token = (values["job"], values["attempt"])

    def begin() -> None:
        if not may_write(shard, token):
            end_shared()
            database.watch.fences += 1
            database.watch.at_lost(connection.process, "fenced")
            reply(Fenced("the shard was taken by another worker"))
            return
        incarnation, stop = database.incarnation, (database.tables.stop, database.tables.stop_detail)
        seconds = database.random.uniform(0.0, 2 * database.commit_time)
        database.timeline.after(seconds, lambda: end(stop) if database.incarnation == incarnation else None)

    def end(stop: tuple[str, str]) -> None:
        write(stop)
        end_shared()

    def write(stop: tuple[str, str]) -> None:
        if database.failing_commits:
            database.failing_commits -= 1
            database.watch.at_lost(connection.process, "disk full")
            reply(psycopg.errors.DiskFull("no space left"))
            return
        batch = batch_of(values)
        if is_stopping(stop[0]):
            batch = batch._replace(intents=())
        database.watch.at_commit(Commit(connection.process, shard, token, batch, stop[0]))
        apply_batch(shard.contents, batch)
        reply([stop])

    def end_shared() -> None:
        shard.sharing -= 1
        database.serve(shard)

    database.share(shard, begin)


def may_write(shard: Shard, token: tuple[int, int]) -> bool:
    """Return whether a commit with a token passes the fence."""
    return shard.token == token


def is_stopping(stop: str) -> bool:
    """Return whether a commit leaves the intents of its batch out."""
    return bool(stop)


def batch_of(values: Mapping[str, Any]) -> Batch:
    """Return the batch that the store has written as JSON."""
    outcomes = [RowOutcome(each[0], Outcome(each[1]), *each[2:]) for each in _part(values["outcomes"])]
    rollbacks = [IntentRollback(*each) for each in _part(values["rollbacks"])]
    priors = [PriorRecord(each[0], to_prior(*each[1:5]), each[5]) for each in _part(values["priors"])]
    intents = [Intent(*each[:3], to_prior(*each[3:7])) for each in _part(values["intents"])]
    pauses: list[Pause | PauseEnd] = []
    for kind, *rest in orjson.loads(values["pauses"] or "[]"):
        pauses.append(PauseEnd(PauseKind(kind), *rest) if len(rest) == 1 else Pause(PauseKind(kind), *rest))
    return Batch(outcomes, rollbacks, intents, pauses, priors)


def _part(text: str | None) -> Iterable[list[Any]]:
    return list(orjson.loads(text).values()) if text else []


def take_shard(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """Take a shard with a newer token, once no commit is under way."""
    shard, token = database.tables.shards[values["shard"]], Token(values["job"], values["attempt"])

    def take() -> None:
        if not may_take(shard, token):
            reply([])
            return
        database.watch.at_take(connection.process, shard, token)
        shard.token, shard.holder = tuple(token), values["worker"]
        reply([(RUN_ID,)])

    database.change(shard, take)


def may_take(shard: Shard, token: tuple[int, int]) -> bool:
    """Return whether a token is newer than that of a shard that is not done."""
    return shard.token < tuple(token) and not shard.is_done


def finish_shard(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """End a shard without open rows, for who has it."""
    shard, token = database.tables.shards[values["shard"]], (values["job"], values["attempt"])

    def finish() -> None:
        if shard.token != token or not is_complete(shard):
            reply([])
            return
        database.watch.at_finish(shard, token)
        shard.is_done, shard.holder = True, ""
        reply([(shard.shard_id,)])

    database.change(shard, finish)


def is_complete(shard: Shard) -> bool:
    """Return whether every row of a shard has an outcome."""
    return not shard.open_rows


def _due(wanted: Callable[[Entry, Mapping[str, Any]], bool]) -> Answer:
    def due(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
        contents = database.tables.shards[values["shard"]].contents
        rows: Rows = []
        for entry in contents.job_entries(values["after"]):
            if len(rows) == values.get("count"):
                break
            if wanted(entry, values) and is_due(entry.outcome, retry_failed=values["retry_failed"]):
                rows.append((entry.place, *_due_values(entry.to_due_row(len(contents.sessions)))))
        return rows

    return due


def _due_values(row: DueRow) -> tuple[Any, ...]:
    key, line, room, user, attempts, in_doubt, prior, attempted_at, room_name, username = row
    columns = (None, None, None, None)
    if prior is not None:
        columns = (prior.state.value, prior.read_at, prior.username, " ".join(prior.accounts))
    return key, line, room, user, attempts, in_doubt, *columns, attempted_at, room_name, username


_ALL_DUE = _due(lambda entry, values: True)


def _count_due(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    rows = _ALL_DUE(database, connection, values)
    return [(len(rows), len({row[3] for row in rows}))]


def _count_due_users(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    return [(len({row[4] for row in _ALL_DUE(database, connection, values)}),)]


def _open_session(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.shards[values["shard"]].contents.sessions.append(Session(values["at"], None, "", values["account"]))
    return []


def _close_session(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    sessions = database.tables.shards[values["shard"]].contents.sessions
    sessions[-1] = sessions[-1]._replace(stop=values["stop"], ended_at=values["at"])
    return [(len(sessions),)]


def _end_pauses(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    contents = database.tables.shards[values["shard"]].contents
    for number, (session, pause) in enumerate(contents.pauses):
        if session == len(contents.sessions) and pause.ended_at is None and pause.until is None:
            contents.pauses[number] = (session, pause._replace(ended_at=values["at"]))
    return []


def _groups(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    wanted = values["shard"]
    shards = [each for each in database.tables.shards.values() if wanted in (None, each.shard_id)]
    return [
        ("job", outcome.value if outcome else "", reason, int(in_doubt), evidence, rows)
        for shard in shards
        for (outcome, reason, in_doubt, evidence), rows in shard.contents.groups.items()
        if rows
    ]


def _set_meta(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.meta[values["name"]] = values["value"]
    return []


def _in_scopes(texts: Mapping[str, Execute]) -> dict[str, Execute]:
    """Return statements of the store by their texts for a shard, and for the whole run."""
    return {
        store_sql.in_scope(text, is_shard=is_shard).decode(): execute
        for text, execute in texts.items()
        for is_shard in (True, False)
    }


_STORE: dict[str, Answer] = {
    store_sql.DUE: _ALL_DUE,
    store_sql.DUE_IN_ROOM: _due(lambda entry, values: entry.room_id == values["id"]),
    store_sql.DUE_OF_USER: _due(lambda entry, values: entry.user_id == values["id"]),
    store_sql.COUNT_DUE: _count_due,
    store_sql.COUNT_DUE_USERS: _count_due_users,
    store_sql.OPEN_SESSION: _open_session,
    store_sql.CLOSE_SESSION: _close_session,
    store_sql.END_PAUSES: _end_pauses,
    store_sql.GROUPS: _groups,
    store_sql.RUN_STOP: lambda database, *_: [(database.tables.stop,)],
    store_sql.SESSIONS: lambda *_: [],
    store_sql.GET_META: lambda database, *_: list(database.tables.meta.items()),
    store_sql.SET_META: _set_meta,
    store_sql.PAIRS_BY_ROOM: lambda *_: [],
    store_sql.RESULTS_BY_KEY: lambda *_: [],
}


# What workers do beside their stores


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


def _lock_egress(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    owner = database.locks.setdefault(values["egress"], connection)
    return [(owner is connection,)]


def _unlock_egress(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    if database.locks.get(values["egress"]) is connection:
        del database.locks[values["egress"]]
    return [(True,)]


def _shard(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    tables, shard = database.tables, database.tables.shards[values["shard"]]
    run = (RUN_ID, WORKSPACE, tables.operation, "", tables.settings, tables.stop, tables.stop_detail, "")
    return [(shard.shard_id, *run, URL, None, shard.is_done, len(shard.contents.entries))]


def stop_run(database: Database, connection: SimulatedConnection | None, values: Mapping[str, Any]) -> Rows:
    """Stop the run; the first reason stays."""
    tables = database.tables
    if not tables.is_active:
        return []
    tables.stop, tables.stop_detail = values["stop"], values["detail"]
    database.watch.note("run stopped", tables.stop, tables.stop_detail)
    database.notify(cluster_sql.RUN_STOPPED, str(RUN_ID))
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
    return [(WORKSPACE,)] if any(job.status == "todo" for job in database.tables.jobs.values()) else []


def _failures(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    outcomes = [entry.outcome for entry in database.tables.entries() if entry.outcome is not None]
    return [(len(outcomes), sum(outcome in (Outcome.FAILED, Outcome.UNKNOWN) for outcome in outcomes))]


def _lease_slots(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    now, interval, pace = database.now(), values["interval"], database.tables.pace
    first = pace.get(values["kind"])
    if first is None:
        first = now
    else:
        first = max(now - SLOT_LATENESS, min(first, now + MAX_SLOTS_AHEAD * max(interval, 0.25)))
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


_CLUSTER: dict[str, Answer] = {
    cluster_sql.ADD_WORKER: _add_worker,
    cluster_sql.SEE_WORKER: _see_worker,
    cluster_sql.DELETE_WORKER: _delete_worker,
    cluster_sql.FORGET_WORKERS: lambda *_: [],
    cluster_sql.LOCK_EGRESS: _lock_egress,
    cluster_sql.UNLOCK_EGRESS: _unlock_egress,
    cluster_sql.SHARD: _shard,
    cluster_sql.RUN_STOP: lambda database, *_: [(database.tables.stop, database.tables.stop_detail)],
    cluster_sql.STOP_RUN: stop_run,
    cluster_sql.END_RUN: _end_run,
    cluster_sql.DONE_RUNS: _done_runs,
    cluster_sql.LOST_SHARDS: _lost_shards,
    cluster_sql.WAITING_QUEUES: _waiting_queues,
    cluster_sql.FAILURES: _failures,
    cluster_sql.LEASE_SLOTS: _lease_slots,
    cluster_sql.RECORD_ANSWER: _record_answer,
    cluster_sql.ANSWERED_WITHIN: _answered_within,
    cluster_sql.HAS_ENDED: lambda database, *_: [(database.tables.ended_at is not None,)],
    "SELECT pg_notify(%s, %s)": _notify,
    "SELECT 1": lambda *_: [(1,)],
    postgres_connection._PROBE: lambda database, connection, _: [
        (connection.number, postgres_connection.MIN_SERVER, postgres_connection.SCHEMA)
    ],
    schema_version._VERSIONS: lambda *_: [(schema_version.OURS, str(schema_version.SCHEMA_VERSION))],
}

STATEMENTS: dict[str, Execute] = {
    **_in_scopes({text: _at_once(answer) for text, answer in _STORE.items()}),
    **_in_scopes({store_sql.COMMIT_BATCH: commit_batch}),
    store_sql.TAKE_SHARD: take_shard,
    **{text: _at_once(answer) for text, answer in {**_CLUSTER, **JOB_STATEMENTS}.items()},
    cluster_sql.FINISH_SHARD: finish_shard,
}
