"""Run stores for tests."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import cast

from rolecall.models import BadRow, DueRow, Row
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Batch, Identity, PresetOutcome
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import SqliteStore


def as_store(database: object) -> RunStore:
    """Return the async store over an open database (or a double of one), which stays open for the test to read.

    Its thread ends with the last reference to the store; the name tells it from the threads of stores in use.
    """
    return SqliteStore(cast(SqliteDatabase, database), ThreadPoolExecutor(1, thread_name_prefix="store of a test"))


def import_rows(
    database: SqliteDatabase,
    identity: Identity,
    rows: Iterable[Row | BadRow],
    preset: Iterable[PresetOutcome] = (),
    meta: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Make the rows of a job the store's, in one transaction; what `rows` raises undoes it."""
    job = database.begin_import()
    job.add(rows)
    job.finish(identity, preset, meta)


class FailingDatabase(SqliteDatabase):
    """Fails for good after so many commits, as on a full disk, or as if the process had been killed."""

    commits_left = 10**9
    failed = False
    reads = 0
    before_commit: Callable[[], None] = staticmethod(lambda: None)
    """Called on the thread of the store."""

    def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Read, and count how often."""
        self.reads += 1
        return super().fetch_due(after, count, retry_failed=retry_failed)

    def commit(self, batch: Batch) -> None:
        """Commit, or fail."""
        self.before_commit()
        self.commits_left -= 1
        if self.commits_left < 0:
            self.failed = True
            raise StoreError("disk full")
        super().commit(batch)
