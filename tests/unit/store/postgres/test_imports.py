"""Imports and sessions in a database with several runs: rooms are packed into shards, and other runs stay."""

from collections.abc import AsyncIterator, Sequence

import pytest

from rolecall.models import BadRow, FoundName, NameKey, NameKind, Outcome, Prior, PriorState, Row, RowDoubt
from rolecall.store.base import StoreError
from rolecall.store.postgres.connection import Connection, DatabaseConfig
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import NewRun, create_run, take_shard
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.records import Batch, Pause, PauseEnd, PauseKind, PresetOutcome, PriorRecord
from tests.support.postgres import Database
from tests.unit.store.contract.jobs import all_results, import_job, keys_by_line, reported
from tests.unit.store.values import RUN, bad, intents, outcomes, row, settled


async def new_store(connection: Connection, config: DatabaseConfig, shard_rows: int = 3) -> PostgresStore:
    """Return the store of a new run."""
    run = await create_run(connection, config, NewRun("main", 1))
    return PostgresStore(connection, config, run, shard_rows=shard_rows)


def rooms_of(database: Database, run: int) -> list[object]:
    """Return the rooms of each shard of a run, in the order of the shards."""
    statement = f"SELECT array_agg(DISTINCT room_id ORDER BY room_id) FROM pair WHERE run_id = {run} GROUP BY shard_id"
    return [rooms for (rooms,) in database.execute(f"{statement} ORDER BY shard_id")]


def rows_of(*rooms: tuple[str, int], first: int = 2) -> list[Row | BadRow]:
    """Return so many rows of each room, one room after the other."""
    names = [room for room, rows in rooms for _ in range(rows)]
    return [row(line, room) for line, room in enumerate(names, start=first)]


@pytest.mark.parametrize(
    ("rooms", "shards"),
    [
        ([("b", 1), ("a", 1), ("c", 1), ("d", 1)], [["a", "b", "c"], ["d"]]),
        ([("z", 2), ("y", 2), ("x", 1), ("w", 1)], [["y", "z"], ["w", "x"]]),
        ([("a", 1), ("large", 3), ("b", 1), ("larger", 9), ("c", 1)], [["a", "b", "c"], ["large"], ["larger"]]),
        ([("large", 4), ("a", 1)], [["large"], ["a"]]),
        ([("a", 2), ("b", 2), ("c", 2), ("d", 2)], [["a", "b"], ["c"], ["d"]]),
    ],
)
async def test_rooms_are_packed_in_the_order_of_their_first_rows(
    database: Database, connection: Connection, config: DatabaseConfig, rooms: list[tuple[str, int]], shards: object
) -> None:
    """A room begins a new shard where the rows of the small ones before it fill one; a large room has its own."""
    store = await new_store(connection, config)
    await import_job(store, rows_of(*rooms))
    assert rooms_of(database, store.run_id) == shards
    counted = f"SELECT sum(rows)::int FROM shard WHERE run_id = {store.run_id}"
    assert database.execute(counted) == [(sum(rows for _, rows in rooms),)]


async def test_known_rooms_stay_in_their_shards(
    database: Database, connection: Connection, config: DatabaseConfig
) -> None:
    """An edited job adds its rows to them, reopens shards that are done, and removes those without a pair."""
    store = await new_store(connection, config)
    other = await new_store(connection, config)
    await import_job(other, rows_of(("a", 1), ("b", 3)))
    await import_job(store, rows_of(("a", 3), ("b", 3), ("c", 3)))
    database.execute("UPDATE shard SET done = true")
    await import_job(store, rows_of(("b", 4), ("d", 1), ("a", 1), first=20), RUN._replace(job_digest="new"))
    assert rooms_of(database, store.run_id) == [["a"], ["b"], ["d"]]
    done = "SELECT run_id, count(*), bool_or(done), bool_and(done) FROM shard GROUP BY run_id ORDER BY run_id"
    assert database.execute(done) == [(store.run_id, 3, False, False), (other.run_id, 2, True, True)]
    identity = "SELECT operation, job_digest FROM run ORDER BY id"
    assert database.execute(identity) == [(RUN.operation, "new"), (RUN.operation, RUN.job_digest)]


async def test_a_job_is_imported_again_into_the_only_run(
    database: Database, connection: Connection, config: DatabaseConfig
) -> None:
    """Its pairs keep what is known of them, and new ones get their names; a later duplicate has no names of its own."""
    store = await new_store(connection, config)
    await import_job(store, [row(2), row(3)])
    keys = await keys_by_line(store)
    await store.commit(intents(keys[2]))
    await store.commit(outcomes(settled(keys[2])))
    named: list[Row | BadRow] = [
        Row(4, "new", "u4", {}, "room", "user"),
        bad(5, "new", "u5"),
        Row(6, "new", "u4", {}, "x", "y"),
    ]
    await import_job(store, [row(2), row(3), *named, row(7)])
    assert await reported(store) == [
        (2, Outcome.REMOVED, ""),
        (3, Outcome.NOT_ATTEMPTED, ""),
        (4, Outcome.NOT_ATTEMPTED, ""),
        (5, Outcome.INVALID, "missing_room_id"),
        (6, Outcome.DUPLICATE, "duplicate_of"),
        (7, Outcome.NOT_ATTEMPTED, ""),
    ]
    names = [(result.room_name, result.username) for result in await all_results(store)]
    assert names == [("", ""), ("", ""), ("room", "user"), ("", ""), ("x", "y"), ("", "")]


async def test_an_unusable_row_does_not_hide_a_pair(connection: Connection, config: DatabaseConfig) -> None:
    """An invalid row with the same ids before it is no duplicate of it, nor is it one of two invalid rows."""
    store = await new_store(connection, config)
    await import_job(store, [bad(2, "R", "u4"), bad(3, "R", "u4"), row(4), row(5)])
    expected = [Outcome.INVALID, Outcome.INVALID, Outcome.NOT_ATTEMPTED, Outcome.NOT_ATTEMPTED]
    assert [outcome for _, outcome, _ in await reported(store)] == expected


async def test_the_first_preset_outcome_counts(connection: Connection, config: DatabaseConfig) -> None:
    """Another one for the same pair changes nothing."""
    store = await new_store(connection, config)
    preset = [PresetOutcome("R", "u2", Outcome.NOT_LEADER, reason, "", 1) for reason in ("one", "two", "three")]
    await import_job(store, [row(2), row(3)], preset=preset)
    assert await reported(store) == [(2, Outcome.NOT_LEADER, "one"), (3, Outcome.NOT_ATTEMPTED, "")]


DOUBT = RowDoubt("answer_lost", Prior(PriorState.HAS_ROLE, 500, "anna", ("bot",)), 700)
TABLES = ("pair", "unsent", "shard", "session", "group_count", "settled", "meta", "name", "run")


async def fill(store: PostgresStore) -> None:
    """Import a job twice, with all kinds of rows, and give the run a session."""
    name = FoundName(NameKey(NameKind.USER, "zoe"), reason="user_name_not_found", message="There is no user @zoe.")
    doubts = [row(5)._replace(doubt=DOUBT), row(6)._replace(doubt=DOUBT)]
    preset = [PresetOutcome("R", "u4", Outcome.NOT_LEADER, "planned", "", 1)]

    async def pages(*rows: Row | BadRow) -> AsyncIterator[Sequence[Row | BadRow]]:
        await store.add_name(name)
        yield rows

    await store.import_rows(RUN, pages(row(2), row(3), row(4), *doubts, bad(7), row(8, user="u2"), row(9)), preset)
    keys = await keys_by_line(store)
    await store.open_session("bot", 1)
    await store.commit(intents(keys[2], keys[3])._replace(pauses=[Pause(PauseKind.OUTAGE, 1)]))
    await store.commit(outcomes(settled(keys[2]), settled(keys[5])))
    await store.import_rows(RUN, pages(row(3), row(4), *doubts, bad(7), row(8, user="u4")), preset)


async def test_an_import_changes_its_run_alone(
    database: Database, connection: Connection, config: DatabaseConfig
) -> None:
    """Rows of the same rooms and users in another run stay as they are, and so do its shards, names and counts."""
    other = await new_store(connection, config)
    await fill(other)
    database.execute("UPDATE shard SET done = true")
    ran = [f"SELECT * FROM {table} WHERE {'id' if table == 'run' else 'run_id'} = {other.run_id}" for table in TABLES]
    before = [sorted(map(str, database.execute(statement))) for statement in ran]
    store = await new_store(connection, config)
    await fill(store)
    assert [sorted(map(str, database.execute(statement))) for statement in ran] == before
    assert await reported(store) == await reported(other)
    assert await store.counts() == await other.counts()
    await store.close_session("", 9)
    await store.reset_outcomes()
    await store.delete_removed_pairs()
    await store.delete_names()
    assert [sorted(map(str, database.execute(statement))) for statement in ran] == before


async def test_the_rows_of_a_released_run_cannot_change(
    database: Database, connection: Connection, config: DatabaseConfig
) -> None:
    """Workers may be sending them; another run can still be imported."""
    released, store = await new_store(connection, config), await new_store(connection, config)
    await import_job(released, [row(2)])
    database.execute(f"UPDATE run SET is_released = true WHERE id = {released.run_id}")
    with pytest.raises(StoreError, match="released to workers"):
        await import_job(released, [row(3)])
    assert await reported(released) == [(2, Outcome.NOT_ATTEMPTED, "")]
    await import_job(store, [row(3)])
    assert await reported(store) == [(3, Outcome.NOT_ATTEMPTED, "")]


async def test_sessions_of_other_runs_do_not_matter(
    database: Database, connection: Connection, config: DatabaseConfig
) -> None:
    """A run ends its own latest session and pauses, and its prior states count although another one began later."""
    store, other = await new_store(connection, config), await new_store(connection, config)
    for each in (store, other):
        await import_job(each, [row(2)])
        await each.open_session("bot", 1)
        await each.commit(Batch(pauses=[Pause(PauseKind.OUTAGE, 1), Pause(PauseKind.WINDOW, 2)]))
    (key,) = (await keys_by_line(store)).values()
    await store.commit(Batch(priors=[PriorRecord(key, DOUBT.prior)], pauses=[PauseEnd(PauseKind.WINDOW, 3)]))
    assert [due.prior for _, due in await store.fetch_due(0, 9, retry_failed=False)] == [DOUBT.prior]
    assert [pause.kind for pause in await store.open_pauses(5)] == [PauseKind.OUTAGE]
    assert [pause.ended_at for _, pause in await store.pauses(0, 9)] == [None, 3]
    await store.close_session("outage", 9)
    assert [(session.ended_at, session.stop) for session in await store.sessions()] == [(9, "outage")]
    assert [(session.ended_at, session.stop) for session in await other.sessions()] == [(None, "")]
    assert [pause.ended_at for _, pause in await store.pauses(0, 9)] == [9, 3]
    assert [pause.ended_at for _, pause in await other.pauses(0, 9)] == [None, None]
    assert len(await other.open_pauses(5)) == 2


async def test_a_session_of_a_shard_has_the_token_of_its_worker(
    database: Database, connection: Connection, config: DatabaseConfig
) -> None:
    """And the name of the worker, its account and its start; other sessions have none."""
    store = await new_store(connection, config)
    await import_job(store, [row(2)])
    ((shard,),) = database.execute("SELECT id FROM shard")
    lease = ShardLease(int(str(shard)), 7, 2, "worker")
    assert await take_shard(connection, config, lease) == store.run_id
    await PostgresStore(connection, config, store.run_id, lease).open_session("bot", 5)
    await store.open_session("other", 6)
    columns = "run_id, shard_id, worker, token_job, token_attempt, account, started_at"
    assert database.execute(f"SELECT {columns} FROM session ORDER BY id") == [
        (store.run_id, shard, "worker", 7, 2, "bot", 5),
        (store.run_id, None, "", 0, 0, "other", 6),
    ]
