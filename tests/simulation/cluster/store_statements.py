"""What the statements that change a run, or one shard of it, do in the simulated database, by their texts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import psycopg

from rolecall.models import FoundName, NameKey, NameKind, Outcome, RowOutcome
from rolecall.store.base import StoreError
from rolecall.store.postgres import connection as postgres_connection
from rolecall.store.postgres import sql
from rolecall.store.records import Batch, Intent, IntentRollback, Pause, PauseEnd, PauseKind, PriorRecord, Session
from rolecall.store.rows import to_prior
from tests.simulation.cluster.connection import SimulatedConnection
from tests.simulation.cluster.database import Answer, Database, Reply, Rows
from tests.simulation.cluster.process import WorkerProcess
from tests.simulation.cluster.tables import RUN_ID, Shard
from tests.simulation.cluster.watch import Commit
from tests.support.memory_contents import Contents, Entry, apply_batch

TAKEN = "the shard was taken by another worker"


class Fenced(psycopg.DatabaseError):
    """The error of `commit_batch` for a shard that another worker has."""

    sqlstate = postgres_connection.FENCED


def commit_batch(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """Write a batch of a shard behind the fence; it takes time, in which the shard's line is locked.

    Without a shard it is that of the run, which has one, and there is no fence.
    """
    shards = database.tables.shards_of(values["shard"])
    if len(shards) != 1:
        several = psycopg.errors.FeatureNotSupported("the simulated database writes one shard at a time")
        reply(several if shards else Fenced(TAKEN))
        return
    (shard,) = shards
    token = None if values["shard"] is None else (values["job"], values["attempt"])
    written = _BeingWritten(database, connection.process, shard, token, batch_of(values), reply)
    database.share(shard, written.begin)


@dataclass(frozen=True)
class _BeingWritten:
    """A batch that is being written."""

    database: Database
    process: WorkerProcess
    shard: Shard
    token: tuple[int, int] | None
    """None without a fence."""
    batch: Batch
    reply: Reply

    def begin(self) -> None:
        """Pass the fence, and see the stop of the run."""
        database, shard = self.database, self.shard
        if self.token is not None and not may_write(shard, self.token):
            self._unlock()
            database.watch.fences += 1
            database.watch.at_lost(self.process, "fenced")
            self.reply(Fenced(TAKEN))
            return
        incarnation, stop = database.incarnation, (database.tables.stop, database.tables.stop_detail)
        seconds = database.random.uniform(0.0, 2 * database.commit_time)
        database.timeline.after(seconds, lambda: self._end(stop) if database.incarnation == incarnation else None)

    def _end(self, stop: tuple[str, str]) -> None:
        self._write(stop)
        self._unlock()

    def _write(self, stop: tuple[str, str]) -> None:
        watch = self.database.watch
        if self.database.failing_commits:
            self.database.failing_commits -= 1
            watch.at_lost(self.process, "disk full")
            self.reply(psycopg.errors.DiskFull("no space left"))
            return
        batch = self.batch._replace(intents=()) if is_stopping(stop[0]) else self.batch
        watch.at_commit(Commit(self.process, self.shard, self.token or self.shard.token, batch, stop[0]))
        try:
            apply_batch(self.shard.contents, batch)
        except StoreError as error:
            self.reply(psycopg.errors.NotNullViolation(str(error)))
        else:
            self.reply([stop])

    def _unlock(self) -> None:
        self.shard.sharing -= 1
        self.database.serve(self.shard)


def may_write(shard: Shard, token: tuple[int, int]) -> bool:
    """Return whether a commit with a token passes the fence."""
    return shard.token == token


def is_stopping(stop: str) -> bool:
    """Return whether a commit leaves the intents of its batch out."""
    return bool(stop)


def batch_of(values: Mapping[str, Any]) -> Batch:
    """Return the batch that the store has written as JSON."""
    outcomes = [RowOutcome(each[0], Outcome(each[1]), *each[2:]) for each in _part(values["outcomes"])]
    rollbacks = [_rollback_of(*each) for each in _part(values["rollbacks"])]
    priors = [PriorRecord(each[0], to_prior(*each[1:5]), each[5]) for each in _part(values["priors"])]
    intents = [Intent(each[0], each[1], each[2], to_prior(*each[3:7])) for each in _part(values["intents"])]
    pauses: list[Pause | PauseEnd] = []
    for kind, *rest in orjson.loads(values["pauses"] or "[]"):
        pauses.append(PauseEnd(PauseKind(kind), *rest) if len(rest) == 1 else Pause(PauseKind(kind), *rest))
    return Batch(outcomes, rollbacks, intents, pauses, priors)


def _rollback_of(
    key: int, attempts: int, in_doubt: bool, at: int | None, outcome: str | None, reason: str
) -> IntentRollback:
    return IntentRollback(key, attempts, in_doubt, at, Outcome(outcome) if outcome else None, reason)


def _part(text: str | None) -> Iterable[list[Any]]:
    return list(orjson.loads(text).values()) if text else []


def take_shard(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """Take a shard with a newer token, once no commit is under way."""
    token = (values["job"], values["attempt"])

    def take(shard: Shard) -> None:
        if not may_take(shard, token):
            reply([])
            return
        database.watch.at_take(connection.process, shard, token)
        shard.token, shard.holder = token, values["worker"]
        reply([(RUN_ID,)])

    _change(database, values["shard"], take, reply)


def _change(database: Database, shard_id: int, act: Callable[[Shard], None], reply: Reply) -> None:
    """Change the line of a shard once no commit is under way; of an unknown one, return no row."""
    shard = database.tables.shards.get(shard_id)
    if shard is None:
        reply([])
    else:
        database.change(shard, lambda: act(shard))


def may_take(shard: Shard, token: tuple[int, int]) -> bool:
    """Return whether a token is newer than that of a shard that is not done."""
    return shard.token < token and not shard.is_done


def finish_complete_shard(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """End a shard without open rows, for who has it."""
    _finish(database, values, reply, is_complete)


def finish_shard(database: Database, connection: SimulatedConnection, values: Any, reply: Reply) -> None:
    """End a shard, for who has it."""
    _finish(database, values, reply, lambda shard: True)


def _finish(database: Database, values: Any, reply: Reply, may_end: Callable[[Shard], bool]) -> None:
    token = (values["job"], values["attempt"])

    def finish(shard: Shard) -> None:
        if shard.token != token or not may_end(shard):
            reply([])
            return
        database.watch.at_finish(shard, token)
        shard.is_done, shard.holder = True, ""
        reply([(shard.shard_id,)])

    _change(database, values["shard"], finish, reply)


def is_complete(shard: Shard) -> bool:
    """Return whether every row of a shard has an outcome."""
    return not shard.open_rows


def _open_session(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    session = Session(values["at"], None, "", values["account"])
    database.tables.contents(values["shard"]).sessions.append(session)
    return []


def _close_session(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    sessions = database.tables.contents(values["shard"]).sessions
    if not sessions:
        return []
    number, old = len(sessions), sessions[-1]
    sessions[-1] = old._replace(stop=values["stop"], ended_at=values["at"])
    database.can_undo(connection, lambda: sessions.__setitem__(number - 1, old))
    return [(number,)]


def _end_pauses(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    contents = database.tables.contents(values["shard"])
    old = list(contents.pauses)
    for number, (session, pause) in enumerate(old):
        if session == len(contents.sessions) and pause.ended_at is None and pause.until is None:
            contents.pauses[number] = (session, pause._replace(ended_at=values["at"]))
    database.can_undo(connection, lambda: contents.pauses.__setitem__(slice(len(old)), old))
    return []


def _set_meta(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    name, value, meta = values["name"], values["value"], database.tables.meta
    if value is None:
        raise psycopg.errors.NotNullViolation("a fact about the run is text")
    undo = partial(meta.__setitem__, name, meta[name]) if name in meta else partial(meta.pop, name)
    database.can_undo(connection, undo)
    meta[name] = value
    return []


def _change_rows(rows: Callable[[Contents], dict[int, Entry]]) -> Answer:
    """Return a statement that replaces all rows of the run by others."""

    def change(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
        for shard in database.tables.shards.values():
            database.can_undo(connection, partial(setattr, shard, "contents", shard.contents))
            shard.contents = shard.contents.with_entries(rows(shard.contents))
        return []

    return change


def _without_removed(contents: Contents) -> dict[int, Entry]:
    return {key: entry for key, entry in contents.entries.items() if entry.place is not None}


def _without_outcomes(contents: Contents) -> dict[int, Entry]:
    return {key: entry._replace(recorded=None, former=None, in_doubt=False) for key, entry in contents.entries.items()}


def _add_name(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    for kind, name, *rest in orjson.loads(values["found"]):
        found = FoundName(NameKey(NameKind(kind), name), *rest)
        database.tables.names.setdefault(found.key, found)
    return []


def _delete_names(database: Database, connection: SimulatedConnection, values: Mapping[str, Any]) -> Rows:
    database.tables.names.clear()
    return []


STORE_STATEMENTS: dict[str, Answer] = {
    sql.OPEN_SESSION: _open_session,
    sql.CLOSE_SESSION: _close_session,
    sql.END_PAUSES: _end_pauses,
    sql.SET_META: _set_meta,
    sql.DELETE_REMOVED: _change_rows(_without_removed),
    sql.RESET_OUTCOMES: _change_rows(_without_outcomes),
    sql.COUNT_GROUPS: lambda *_: [],  # they are counted with each change
    sql.ADD_NAME: _add_name,
    sql.DELETE_NAMES: _delete_names,
}
