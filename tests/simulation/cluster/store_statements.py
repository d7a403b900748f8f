"""What the statements of a shard's store do in the simulated database, by their texts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import psycopg

from rolecall.models import DueRow, Outcome, RowOutcome, is_due
from rolecall.store.postgres import connection as postgres_connection
from rolecall.store.postgres import sql
from rolecall.store.records import Batch, Intent, IntentRollback, Pause, PauseEnd, PauseKind, PriorRecord, Session
from rolecall.store.rows import to_prior
from tests.simulation.cluster.connection import SimulatedConnection
from tests.simulation.cluster.database import Answer, Database, Reply, Rows
from tests.simulation.cluster.tables import RUN_ID, Shard
from tests.simulation.cluster.watch import Commit
from tests.support.memory_contents import Entry, apply_batch


class Fenced(psycopg.DatabaseError):
    """The error of `commit_batch` for a shard that another worker has."""

    sqlstate = postgres_connection.FENCED


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
    intents = [Intent(each[0], each[1], each[2], to_prior(*each[3:7])) for each in _part(values["intents"])]
    pauses: list[Pause | PauseEnd] = []
    for kind, *rest in orjson.loads(values["pauses"] or "[]"):
        pauses.append(PauseEnd(PauseKind(kind), *rest) if len(rest) == 1 else Pause(PauseKind(kind), *rest))
    return Batch(outcomes, rollbacks, intents, pauses, priors)


def _part(text: str | None) -> Iterable[list[Any]]:
    return list(orjson.loads(text).values()) if text else []


def take_shard(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """Take a shard with a newer token, once no commit is under way."""
    shard, token = database.tables.shards[values["shard"]], (values["job"], values["attempt"])

    def take() -> None:
        if not may_take(shard, token):
            reply([])
            return
        database.watch.at_take(connection.process, shard, token)
        shard.token, shard.holder = token, values["worker"]
        reply([(RUN_ID,)])

    database.change(shard, take)


def may_take(shard: Shard, token: tuple[int, int]) -> bool:
    """Return whether a token is newer than that of a shard that is not done."""
    return shard.token < token and not shard.is_done


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
    columns: tuple[Any, ...] = (None, None, None, None)
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


STORE_STATEMENTS: dict[str, Answer] = {
    sql.DUE: _ALL_DUE,
    sql.DUE_IN_ROOM: _due(lambda entry, values: entry.room_id == values["id"]),
    sql.DUE_OF_USER: _due(lambda entry, values: entry.user_id == values["id"]),
    sql.COUNT_DUE: _count_due,
    sql.COUNT_DUE_USERS: _count_due_users,
    sql.OPEN_SESSION: _open_session,
    sql.CLOSE_SESSION: _close_session,
    sql.END_PAUSES: _end_pauses,
    sql.GROUPS: _groups,
    sql.RUN_STOP: lambda database, *_: [(database.tables.stop,)],
    sql.SESSIONS: lambda *_: [],
    sql.GET_META: lambda database, *_: list(database.tables.meta.items()),
    sql.SET_META: _set_meta,
    sql.PAIRS_BY_ROOM: lambda *_: [],
    sql.RESULTS_BY_KEY: lambda *_: [],
}
