"""What the statements that read a run, or one shard of it, do in the simulated database, by their texts."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from heapq import merge
from itertools import islice
from typing import Any

import orjson

from rolecall.models import DueRow, NameKey, NameKind, Prior, Result, is_due
from rolecall.store.postgres import sql
from rolecall.store.records import Pause
from rolecall.store.rows import json_text
from tests.simulation.cluster.connection import SimulatedConnection
from tests.simulation.cluster.database import Answer, Database, Rows
from tests.support.memory_contents import Contents, Entry, Group

Values = Mapping[str, Any]
Placed = tuple[Any, ...]
"""The columns of a row, its place first."""


def _read(rows: Callable[[Contents, Values], Rows]) -> Answer:
    """Return a statement that reads the contents of the shard, or of the run."""

    def answer(database: Database, connection: SimulatedConnection, values: Values) -> Rows:
        return rows(database.tables.contents(values["shard"]), values)

    return answer


# Due rows


def _due_rows(wanted: Callable[[Entry, Values], bool]) -> Callable[[Contents, Values], Rows]:
    def due(contents: Contents, values: Values) -> Rows:
        rows: Rows = []
        for entry in contents.job_entries(values["after"]):
            if len(rows) == values.get("count"):
                break
            is_before = values["shard"] is None or entry.resumption < contents.resumption
            if wanted(entry, values) and is_due(entry.outcome, retry_failed=values["retry_failed"] and is_before):
                rows.append((entry.place, *_due_values(entry.to_due_row(len(contents.sessions)))))
        return rows

    return due


def _due_values(row: DueRow) -> tuple[Any, ...]:
    key, line, room, user, attempts, in_doubt, prior, attempted_at, *names, outcome, reason = row
    return key, line, room, user, attempts, in_doubt, *_prior_values(prior), attempted_at, *names, outcome, reason


def _prior_values(prior: Prior | None) -> tuple[Any, ...]:
    if prior is None:
        return None, None, None, None
    return prior.state.value, prior.read_at, prior.username, " ".join(prior.accounts)


_all_due = _due_rows(lambda entry, values: True)


def _count_due(contents: Contents, values: Values) -> Rows:
    rows = _all_due(contents, values)
    return [(len(rows), len({row[3] for row in rows}))]


def _count_due_users(contents: Contents, values: Values) -> Rows:
    return [(len({row[4] for row in _all_due(contents, values)}),)]


# Results


def _result_values(entry: Entry) -> Placed:
    recorded = entry.recorded
    reported: tuple[Any, ...] = (None, None, None, None, None)
    times: tuple[Any, ...] = (None, None)
    if recorded is not None:
        reported = (recorded.outcome.value, *recorded[2:6])
        times = (recorded.finished_at, recorded.duration_ms)
    ids, extra = (entry.place, entry.line, entry.room_id, entry.user_id), _extra(entry.extra)
    known = (*ids, *reported, entry.attempts, entry.started_at, *times, extra, entry.in_doubt)
    evidence = recorded.evidence if recorded else None
    return *known, evidence, *_prior_values(entry.prior), entry.attempted_at, entry.room_name, entry.user_name


def _unsent_values(place: int, row: Result) -> Placed:
    ids, reported = (place, row.line, row.room_id, row.user_id), (row.outcome.value, row.reason, None, "", row.message)
    nothing = (None,) * 6
    return *ids, *reported, 0, None, None, None, _extra(row.extra), False, *nothing, row.room_name, row.username


def _extra(extra: Mapping[str, Any]) -> str | None:
    return json_text(extra) if extra else None


def _results(database: Database, connection: SimulatedConnection, values: Values) -> Rows:
    after, tables = values["after"], database.tables
    pairs = map(_result_values, tables.contents(values["shard"]).job_entries(after))
    unsent: Iterable[Placed] = ()
    if values["shard"] is None:
        unsent = (_unsent_values(place, row) for place, row in tables.unsent if place > after)
    return list(islice(merge(pairs, unsent, key=lambda row: row[0]), values["count"]))


def _removed_results(contents: Contents, values: Values) -> Rows:
    removed = [entry for entry in contents.entries.values() if entry.place is None and entry.key > values["after"]]
    removed.sort(key=lambda entry: entry.key)
    return [(entry.key, *_result_values(entry)) for entry in removed[: values["count"]]]


def _results_by_key(contents: Contents, values: Values) -> Rows:
    entries = [contents.entries[key] for key in set(values["keys"]) if key in contents.entries]
    return list(map(_result_values, sorted(entries, key=lambda entry: entry.place or 0)))


# Counts


def _groups(database: Database, connection: SimulatedConnection, values: Values) -> Rows:
    tables = database.tables
    contents = tables.contents(values["shard"])
    removed: Counter[Group] = Counter()
    if len(contents.in_job) != len(contents.entries):
        removed.update(entry.group for entry in contents.entries.values() if entry.place is None)
    parts = {"removed": removed, "job": contents.groups - removed, "unsent": Counter[Group]()}
    if values["shard"] is None:
        parts["unsent"].update((row.outcome, row.reason, False, "") for _, row in tables.unsent)
    return [
        (part, outcome.value if outcome else "", reason, int(in_doubt), evidence, rows)
        for part, groups in parts.items()
        for (outcome, reason, in_doubt, evidence), rows in groups.items()
        if rows
    ]


def _count_settled(database: Database, connection: SimulatedConnection, values: Values) -> Rows:
    recorded = [entry.recorded for entry in database.tables.contents(None).entries.values()]
    return [(sum(each is not None and each.finished_at >= values["since"] for each in recorded),)]


# Pairs


def _pair_values(entry: Entry) -> tuple[Any, ...]:
    key, line, room, user, outcome, reason, in_doubt, room_name, username = entry.to_pair()
    return key, line, room, user, outcome and outcome.value, reason, in_doubt, room_name, username


def _pairs(order: Callable[[Entry], tuple[str, str]]) -> Callable[[Contents, Values], Rows]:
    def pairs(contents: Contents, values: Values) -> Rows:
        after = (values["one"], values["other"])
        beyond = sorted((entry for entry in contents.entries.values() if order(entry) > after), key=order)
        return list(map(_pair_values, beyond[: values["count"]]))

    return pairs


def _with_outcome(contents: Contents, values: Values) -> list[Entry]:
    wanted = [
        entry
        for entry in contents.entries.values()
        if entry.recorded is not None
        and entry.recorded.outcome.value in values["outcomes"]
        and values["reason"] in (None, entry.recorded.reason)
    ]
    return sorted(wanted, key=lambda entry: entry.key)


def _count_rooms_and_users(contents: Contents, values: Values) -> Rows:
    entries = _with_outcome(contents, values)
    return [(len({entry.room_id for entry in entries}), len({entry.user_id for entry in entries}))]


def _rooms_by_pairs(contents: Contents, values: Values) -> Rows:
    rooms: dict[str, list[str]] = {}
    for entry in _with_outcome(contents, values):
        rooms.setdefault(entry.room_id, []).append(entry.room_name)
    most = sorted(rooms.items(), key=lambda each: -len(each[1]))
    return [(room, max(names) or None, len(names)) for room, names in most[: values["count"]]]


# Sessions, pauses, facts and names


def _pauses(contents: Contents, values: Values) -> Rows:
    numbered = [(number, *_pause_values(pause)) for number, (_, pause) in enumerate(contents.pauses, start=1)]
    return numbered[values["after"] :][: values["count"]]


def _open_pauses(contents: Contents, values: Values) -> Rows:
    latest = [pause for session, pause in contents.pauses if session == len(contents.sessions)]
    is_open = [pause for pause in latest if pause.until is None or pause.until > values["at"]]
    return [_pause_values(pause) for pause in is_open if pause.ended_at is None]


def _pause_values(pause: Pause) -> tuple[Any, ...]:
    return (pause.kind.value, *pause[1:])


def _find_names(database: Database, connection: SimulatedConnection, values: Values) -> Rows:
    keys = dict.fromkeys(NameKey(NameKind(kind), name) for kind, name in orjson.loads(values["keys"]))
    names = database.tables.names
    return [(key.kind.value, key.name, *names[key][1:]) for key in keys if key in names]


READING_STATEMENTS: dict[str, Answer] = {
    sql.DUE: _read(_all_due),
    sql.DUE_IN_ROOM: _read(_due_rows(lambda entry, values: entry.room_id == values["id"])),
    sql.DUE_OF_USER: _read(_due_rows(lambda entry, values: entry.user_id == values["id"])),
    sql.COUNT_DUE: _read(_count_due),
    sql.COUNT_DUE_USERS: _read(_count_due_users),
    sql.RESULTS: _results,
    sql.REMOVED_RESULTS: _read(_removed_results),
    sql.RESULTS_BY_KEY: _read(_results_by_key),
    sql.GROUPS: _groups,
    sql.COUNT_SETTLED: _count_settled,
    sql.PAIRS_BY_ROOM: _read(_pairs(lambda entry: (entry.room_id, entry.user_id))),
    sql.PAIRS_BY_USER: _read(_pairs(lambda entry: (entry.user_id, entry.room_id))),
    sql.COUNT_ROOMS_AND_USERS: _read(_count_rooms_and_users),
    sql.ROOMS_BY_PAIRS: _read(_rooms_by_pairs),
    sql.SESSIONS: _read(lambda contents, _: list(map(tuple, contents.sessions))),
    sql.PAUSES: _read(_pauses),
    sql.OPEN_PAUSES: _read(_open_pauses),
    sql.RUN_STOP: lambda database, *_: [(database.tables.stop,)],
    sql.GET_META: lambda database, *_: list(database.tables.meta.items()),
    sql.FIND_NAMES: _find_names,
}
