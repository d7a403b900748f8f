"""What is specific to SQLite files: a full disk, readers beside a run, counts without a scan, the name in errors."""

import sqlite3
from collections.abc import Callable, Iterator

import pytest

from rolecall.models import Outcome, Row
from rolecall.store.base import StoreError
from rolecall.store.records import Count
from rolecall.store.sqlite import sql
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import import_rows
from tests.unit.store.sqlite.conftest import Reopen
from tests.unit.store.values import RUN, bad, full_disk, intents, outcomes, row, settled

REMOVED, FAILED, INVALID, NOT_ATTEMPTED = Outcome.REMOVED, Outcome.FAILED, Outcome.INVALID, Outcome.NOT_ATTEMPTED


def reported_outcomes(database: SqliteDatabase) -> list[Outcome]:
    """Return the outcome of each result."""
    return [result.outcome for result in database.results()]


def due_keys(database: SqliteDatabase) -> list[int]:
    """Return the keys of the rows that are due."""
    return [due.key for _, due in database.fetch_due(0, 1000, retry_failed=False)]


def test_a_full_disk_fails_the_commit_and_loses_nothing(database: SqliteDatabase, reopen: Reopen) -> None:
    """On a full disk the commit fails; what was durable is still there, and with room commits work again."""
    import_rows(database, RUN, [row(line) for line in range(2, 200)])
    keys = due_keys(database)
    database.commit(outcomes(settled(keys[0])))
    wal = database.path.with_name("ledger.sqlite-wal")
    long = "w" * 1000
    with full_disk(wal.stat().st_size + 5000), pytest.raises(StoreError, match="ledger"):
        database.commit(outcomes(*(settled(key, FAILED, message=long) for key in keys[1:])))
    assert reported_outcomes(database).count(REMOVED) == 1
    assert database.count_due(retry_failed=True)[0] == len(keys) - 1
    database.commit(outcomes(settled(keys[1])))
    database.close()
    assert reported_outcomes(reopen()).count(REMOVED) == 2


def test_a_full_disk_undoes_the_import(database: SqliteDatabase) -> None:
    """A job that does not fit on the disk is not imported in part."""
    import_rows(database, RUN, [row(2)])
    with full_disk(200_000), pytest.raises(StoreError):
        import_rows(
            database, RUN._replace(job_digest="big"), (row(line, extra={"x": "y" * 900}) for line in range(20_000))
        )
    assert [due.line for _, due in database.fetch_due(0, 9, retry_failed=False)] == [2]
    assert database.identity() == RUN


def test_results_can_be_read_while_the_run_goes_on(database: SqliteDatabase, reopen: Reopen) -> None:
    """Another process reads the results as of its start, while this one commits; neither waits for the other."""
    import_rows(database, RUN, [row(line) for line in range(1, 500)])
    reader = reopen().results()
    next(reader)
    database.commit(outcomes(*map(settled, due_keys(database))))
    assert {result.outcome for result in reader} == {NOT_ATTEMPTED}
    assert set(reported_outcomes(database)) == {REMOVED}


CALLS: dict[str, Callable[[SqliteDatabase], object]] = {
    "fetch_due": lambda database: database.fetch_due(0, 1, retry_failed=False),
    "count_due": lambda database: database.count_due(retry_failed=False),
    "commit": lambda database: database.commit(intents(1)),
    "results": lambda database: list(database.results()),
    "counts": SqliteDatabase.counts,
    "set_meta": lambda database: database.set_meta(x="y"),
    "get_meta": SqliteDatabase.get_meta,
    "sessions": SqliteDatabase.sessions,
    "pauses": lambda database: database.pauses(0, 1),
    "open_pauses": lambda database: database.open_pauses(0),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_error_of_sqlite_names_the_file(database: SqliteDatabase, call: Callable[[SqliteDatabase], object]) -> None:
    """Every error of SQLite is raised as StoreError with the name of the file."""
    import_rows(database, RUN, [row(2)])
    database.close()
    with pytest.raises(StoreError, match=r"ledger\.sqlite"):
        call(database)


@pytest.mark.parametrize("account", ["\ud800", "x\udcffy"])
def test_a_value_that_sqlite_cannot_store_is_a_store_error(database: SqliteDatabase, account: str) -> None:
    """Text that is not encodable and numbers beyond 64 bits fail as any other error, and leave no transaction open."""
    for values in ((account, 1), ("bulk.bot", 2**63)):
        with pytest.raises(StoreError, match=r"ledger\.sqlite"):
            database.open_session(*values)
    database.open_session("bulk.bot", 1)
    assert len(database.sessions()) == 1


def test_counts_are_read_without_reading_rows(database: SqliteDatabase) -> None:
    """Counts come from what each commit has counted: a change behind the store's back is in none of them."""
    import_rows(database, RUN, [row(1), row(2), row(3), bad(4)])
    database.commit(outcomes(settled(1), settled(2)))
    with sqlite3.connect(database.path) as behind:
        behind.execute("UPDATE pair SET outcome = 'failed', reason = 'x', evidence = 'call' WHERE key = 1")
    behind.close()
    assert database.counts() == [
        Count(REMOVED, "", 2), Count(INVALID, "missing_room_id", 1), Count(NOT_ATTEMPTED, "", 1),
    ]  # fmt: skip
    assert database.evidence_counts() == {(REMOVED, ""): 2}
    assert database.count_due(retry_failed=False)[0] == 1
    database.commit(outcomes(settled(3)))
    assert database.count_due(retry_failed=False) == (0, 0)


def test_the_rows_of_the_last_minute_are_counted_along_an_index(database: SqliteDatabase) -> None:
    """The number of rows settled since a moment is read from the rows since that moment alone."""
    ((*_, plan),) = sqlite3.connect(database.path).execute(f"EXPLAIN QUERY PLAN {sql.COUNT_SETTLED}", (1,))
    assert "INDEX pair_by_end (finished_at>?)" in plan


@pytest.mark.parametrize("are_stored", [True, False])
def test_a_change_that_fails_leaves_the_counts(database: SqliteDatabase, are_stored: bool) -> None:
    """A transaction that is undone changes no counts, whether they were stored or not."""
    import_rows(database, RUN, [row(1), row(2)])
    database.open_session("bulk.bot", 1)
    if are_stored:
        database.close_session("", 2)
    before = database.counts()

    def broken() -> Iterator[Row]:
        yield row(9)
        raise ValueError("half a file")

    with pytest.raises(ValueError, match="half a file"):
        import_rows(database, RUN, broken())
    assert database.counts() == before
    database.commit(outcomes(settled(1), settled(2)))
    assert database.counts() == [Count(REMOVED, "", 2)]
