"""The rows that a program gives, from its (async) iterable into the ledger, without ever holding many of them."""

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeAlias

from rolecall.api.blocking_executor import BlockingExecutor
from rolecall.files.input.json_rows import parse_row
from rolecall.models import BadRow, Row
from rolecall.store.base import Identity, RunStore

CHUNK = 512
"""Rows that are in memory at once."""
LAST_LINE = 2**63 - 1
"""The greatest number that the ledger can hold."""

RowInput: TypeAlias = tuple[str, str] | Mapping[str, object] | Row
"""A (room id, user id) pair, a mapping with `roomId` and `userId` (named as in job files), or a Row."""
RowInputs: TypeAlias = Iterable[RowInput] | AsyncIterable[RowInput]


def row_from(given: object, place: int) -> Row | BadRow:
    """Make a row of what a program gives, by the rules for JSON job files; `place` counts from 1.

    A Row keeps its own line. Whatever is no row becomes a BadRow.
    """
    match given:
        case Row(line=int(line), extra=Mapping() as extra) if 0 < line <= LAST_LINE and _has_names(extra):
            return parse_row({**extra, "roomId": given.room_id, "userId": given.user_id}, line)
        case Row():
            return parse_row(None, place)
        case Mapping() if _has_names(given):
            return parse_row(dict(given), place)
        case tuple() | list():
            return parse_row(list(given), place)
        case _:
            return parse_row(None, place)


def _has_names(columns: Mapping[object, object]) -> bool:
    return all(isinstance(key, str) for key in columns)


async def import_rows(disk: BlockingExecutor, ledger: RunStore, identity: Identity, rows: RowInputs) -> None:
    """Make the rows the ledger's, in one transaction; they are iterated here, in this very task.

    Whatever the iterable raises undoes it, and is raised. Raises StoreError.
    """
    passage = _ThreadBridge()
    taking = asyncio.ensure_future(disk.call(ledger.import_rows, identity, passage))
    taking.add_done_callback(passage.arrived)
    try:
        with suppress(_ConsumerDone):
            if isinstance(rows, AsyncIterable):
                async for given in rows:
                    await passage.add(given)
            else:
                for given in rows:
                    await passage.add(given)
            await passage.end()
        await asyncio.shield(taking)
    finally:
        passage.break_off()


class _ProducerAborted(Exception):  # noqa: N818 - control flow, not an error
    """The rows do not come to their end: the ledger shall take none of them."""


class _ConsumerDone(Exception):  # noqa: N818 - control flow, not an error
    """The thread wants no more rows."""


class _ThreadBridge:
    """Carries rows from the event loop to the thread that takes them in, chunk by chunk as it asks for them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._place = 0
        self._chunk: list[Row | BadRow] = []
        self._chunks: SimpleQueue[list[Row | BadRow] | None] = SimpleQueue()
        self._wanted = asyncio.Event()
        self._arrived = False

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Give the rows, on the thread, to their end or until it is broken off."""
        while True:
            self._loop.call_soon_threadsafe(self._wanted.set)
            chunk = self._chunks.get()
            if chunk is None:
                raise _ProducerAborted
            if not chunk:
                return
            yield from chunk

    async def add(self, given: object) -> None:
        """Take the next row; wait for the thread when there are many. Raises _Arrived when it has ended."""
        self._place += 1
        self._chunk.append(row_from(given, self._place))
        if len(self._chunk) == CHUNK:
            await self._hand_over()

    async def end(self) -> None:
        """Note that this was the last row. Raises _Arrived when the thread has ended."""
        if self._chunk:
            await self._hand_over()
        await self._hand_over()

    async def _hand_over(self) -> None:
        await self._wanted.wait()
        if self._arrived:
            raise _ConsumerDone
        self._wanted.clear()
        self._chunks.put(self._chunk)
        self._chunk = []

    def arrived(self, taking: asyncio.Future[None]) -> None:
        """Note that the thread wants no more; why it ended is for whoever awaits it."""
        self._arrived = True
        self._wanted.set()
        if not taking.cancelled():
            taking.exception()

    def break_off(self) -> None:
        """End the thread's waiting, if it waits."""
        self._chunks.put(None)
