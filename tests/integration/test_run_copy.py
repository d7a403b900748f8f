"""A run of one machine that is brought into a database: everything of its store is there, and it goes on from there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rolecall.app.errors import OperatorError
from rolecall.cluster.database.operator_database import OperatorDatabase
from rolecall.cluster.runs import import_run as import_module
from rolecall.cluster.runs.import_run import import_run
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.models import BadRow, FoundName, NameKey, NameKind, Outcome, Prior, PriorState, Row, RowDoubt
from rolecall.store.base import RunStore
from rolecall.store.postgres.store import open_store
from rolecall.store.records import Batch, Intent, IntentRollback, Pause, PauseKind, PresetOutcome, PriorRecord
from rolecall.store.sqlite.store import FILE_NAME, SqliteStore
from tests.support.postgres import Database
from tests.unit.store.contract.jobs import EVERY, all_results, keys_by_line
from tests.unit.store.values import RUN, outcomes, settled

ENTRY = WorkspaceEntry("main", RUN.workspace, "account", "workspaces.toml", Path("token"))
PRIOR = Prior(PriorState.HAS_ROLE, 900, "anna", ("bot-1", "bot-2"))
READ = Prior(PriorState.MEMBER, 950, "bob")
NAMES = [
    FoundName(NameKey(NameKind.ROOM, "finance"), "R1", "Finance"),
    FoundName(NameKey(NameKind.USER, "anna"), "U1", "Anna"),
    FoundName(NameKey(NameKind.USER, "zoe"), reason="user_name_not_found", message="There is no user @zoe."),
]
PAUSES = [
    Pause(PauseKind.WINDOW, 100, 160, None, 10, 60.5),
    Pause(PauseKind.OUTAGE, 300),
    Pause(PauseKind.REFUSED, 200, 230, 220),
]


def job() -> list[Row | BadRow]:
    """Return the rows of a job in four rooms, with names, a duplicate and an invalid row."""
    doubt = RowDoubt("answer_lost", PRIOR, 700)
    return [
        *(Row(line, f"room{line % 3}", f"user{line}", {"note": line}, "finance", "Anna") for line in range(2, 12)),
        BadRow(12, "bad room", "bad user", "bad", "There is no room.", {"note": 12}, "x", "y"),
        Row(13, "room2", "user2", {}, "", ""),
        Row(14, "other", "user2", {})._replace(doubt=doubt),
        Row(15, "other", "user3", {}),
    ]


async def fill(store: RunStore, begin: int) -> None:
    """Give a store two sessions with all that a store can have."""
    preset = PresetOutcome("other", "user3", Outcome.NOT_LEADER, "planned", "as planned", 77)

    async def pages(rows: Sequence[Row | BadRow]) -> AsyncIterator[Sequence[Row | BadRow]]:
        for name in NAMES:
            await store.add_name(name)
        yield rows

    await store.import_rows(RUN, pages(job()), [preset], {"job_path": "/tmp/job.csv"})
    keys = await keys_by_line(store)
    await store.open_session("bot", begin)
    await store.commit(Batch(priors=[PriorRecord(keys[line], READ, "ops") for line in (2, 3, 4)], pauses=PAUSES[:2]))
    await store.commit(Batch(intents=[Intent(keys[line], line, 1000 + line, PRIOR) for line in (2, 3, 5, 6, 7, 11)]))
    end = settled(keys[2], Outcome.REMOVED, reason="why", message="words")._replace(evidence="roles")
    await store.commit(outcomes(end, settled(keys[3], Outcome.FAILED, reason="x"), settled(keys[11])))
    await store.commit(Batch(rollbacks=[IntentRollback(keys[5], 1, False)]))
    await store.close_session("outage", 2000)
    await store.import_rows(RUN._replace(job_digest="edited"), pages(job()[:9] + job()[10:]), (), {"more": "é"})
    await store.open_session("bot-2", 3000)
    await store.commit(Batch(priors=[PriorRecord(keys[8], READ, "ops")], pauses=[PAUSES[2]]))
    await store.commit(outcomes(settled(keys[6], Outcome.UNKNOWN, in_doubt=True)._replace(room_name="b", username="c")))


async def contents(store: RunStore) -> dict[str, Any]:
    """Return everything that a store returns, but for the numbers that it gives itself."""
    due = [(place, row._replace(key=0)) for place, row in await store.fetch_due(0, EVERY, retry_failed=True)]
    return {
        "results": await all_results(store),
        "due": due,
        "pairs": [pair._replace(key=0) for pair in await store.pairs_by_room(("", ""), EVERY)],
        "counts": await store.counts(),
        "evidence": await store.evidence_counts(),
        "removed in doubt": await store.count_removed_in_doubt(),
        "sessions": await store.sessions(),
        "pauses": [pause for _, pause in await store.pauses(0, EVERY)],
        "open pauses": await store.open_pauses(210),
        "names": sorted(await store.find_names([name.key for name in NAMES])),
        "meta": await store.get_meta(),
        "identity": await store.identity(),
        "columns": list(await store.extra_columns()),
        "settled": [await store.count_settled(moment) for moment in (0, 700, 2000, 2003)],
    }


async def new_run(folder: Path, begin: int = 1000, *, settle: bool = False) -> dict[str, Any]:
    """Create a run in a directory and return the contents of its store; `settle` gives each row an outcome."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    async with await SqliteStore.open(folder / FILE_NAME) as store:
        await fill(store, begin)
        await store.close_session("interrupted", 4000)
        if settle:
            due = await store.fetch_due(0, EVERY, retry_failed=False)
            await store.commit(outcomes(*(settled(row.key) for _, row in due)))
            await store.open_session("bot", 4500)
            await store.close_session("", 5000)
        return await contents(store)


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_a_run_that_is_brought_in_has_all_that_it_had(
    database: OperatorDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Rows, doubts, prior states, sessions, pauses, names and facts, page by page; the second one is another run."""
    monkeypatch.setattr(import_module, "ROWS_PER_PAGE", size)
    for begin, name in enumerate(("one", "two")):
        expected = await new_run(tmp_path / name, begin)
        brought_in = await import_run(database, tmp_path / name, ENTRY)
        assert (brought_in.rows, brought_in.due) == (len(expected["results"]), 8)
        async with open_store(database.config, brought_in.run_id) as store:
            assert await contents(store) == expected
    with pytest.raises(OperatorError, match=f"was brought in before: it is run {brought_in.run_id - 1}"):
        await import_run(database, tmp_path / "one", ENTRY)


async def test_an_unfinished_run_is_stopped_and_has_its_rooms_in_shards(
    database: OperatorDatabase, server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A room is in one shard; a shard without a row of the job that has no outcome is done."""
    monkeypatch.setattr(import_module, "SHARD_ROWS", 4)
    await new_run(tmp_path)
    run = (await import_run(database, tmp_path, ENTRY)).run_id
    assert server.execute("SELECT is_released, stop, stop_detail, ended_at, created_at, workspace FROM run") == [
        (True, "interrupted", "brought in from one machine", None, 1000, "main")
    ]
    rooms = server.execute(
        "SELECT shard_id, array_agg(DISTINCT room_id ORDER BY room_id), done, count(place), min(shard.rows)"
        " FROM pair JOIN shard ON shard.id = shard_id GROUP BY shard_id, done ORDER BY shard_id"
    )
    assert [rows for _, rows, *_ in rooms] == [["room2"], ["room0", "room1"], ["other"]]
    assert [state for _, _, *state in rooms] == [[False, 3, 3], [False, 6, 6], [True, 2, 2]]
    assert server.execute("SELECT DISTINCT run_id FROM shard") == [(run,)]


async def test_a_finished_run_has_ended(database: OperatorDatabase, server: Database, tmp_path: Path) -> None:
    """It has the time of its last session's end, and nothing is left to do; a run beside it stays as it is."""
    await new_run(tmp_path / "one")
    await import_run(database, tmp_path / "one", ENTRY)
    await new_run(tmp_path / "two", 2000, settle=True)
    await import_run(database, tmp_path / "two", ENTRY)
    assert server.execute("SELECT is_released, stop, stop_detail, ended_at FROM run ORDER BY id") == [
        (True, "interrupted", "brought in from one machine", None),
        (True, "", "", 5000),
    ]
    done = server.execute("SELECT bool_and(done), bool_or(done) FROM shard GROUP BY run_id ORDER BY run_id")
    assert done == [(False, False), (True, True)]
