"""Run stores for tests."""

from concurrent.futures import ThreadPoolExecutor
from typing import cast

from rolecall.store.base import RunStore
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import SqliteStore


def as_store(database: object) -> RunStore:
    """Return the async store over an open database (or a double of one), which stays open for the test to read.

    Its thread ends with the last reference to the store; the name tells it from the threads of stores in use.
    """
    return SqliteStore(cast(SqliteDatabase, database), ThreadPoolExecutor(1, thread_name_prefix="store of a test"))
