"""Replaces the names of a job by ids, page by page, before the rows are stored; each name is looked up once.

What was found is stored with the rows, so memory does not grow with the names, and a later import of the same run gets
the same ids.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from rolecall.engine.stop_signal import run_until_stopped
from rolecall.models import BadRow, FoundName, JobRow, NamedRow, NameKey, NameKind, Row
from rolecall.store.base import RunStore

if TYPE_CHECKING:  # needed only where a job has names
    from rolecall.engine.context import RunContext
    from rolecall.engine.directory.name_lookup import NameLookup

PAGES_AHEAD = 4
"""Pages whose names are looked up at the same time."""
MAX_RECENT = 10_000
"""Names that are remembered, so that memory does not grow with the job; the store has them all."""
LOG_INTERVAL = 10.0
"""Seconds between two events about the names that were found so far."""

OpenLookup: TypeAlias = "Callable[[], Awaitable[tuple[NameLookup, RunContext]]]"
"""Connects to the workspace; called where the first name must be looked up."""


class NameResolver:
    """Resolves the names of one import into one store."""

    def __init__(self, store: RunStore, open_lookup: OpenLookup) -> None:
        self._store = store
        self._open_lookup = open_lookup
        self._opening = asyncio.Lock()
        self._lookup: tuple[NameLookup, RunContext] | None = None
        self._slots: asyncio.Semaphore | None = None
        self._in_flight: dict[NameKey, asyncio.Task[FoundName]] = {}
        self._recent: dict[NameKey, FoundName] = {}
        """Names that need no query of the store, at most MAX_RECENT."""
        self._found = self._not_found = 0
        self._logged_at = 0.0

    async def resolve(self, pages: AsyncIterator[Sequence[JobRow]]) -> AsyncGenerator[Sequence[Row | BadRow], None]:
        """Return the pages in their order, with ids only; a row whose name has no id becomes a BadRow.

        Raises ShutdownRequested, NameLookupError, and what connecting raises.
        """
        running: deque[asyncio.Task[Sequence[Row | BadRow]]] = deque()
        try:
            async for page in pages:
                if not running and not any(isinstance(row, NamedRow) for row in page):
                    yield cast(Sequence[Row | BadRow], page)  # at once: reading ahead would slow the store down
                    continue
                running.append(asyncio.create_task(self._resolve_page(page), name="resolve a page"))
                if len(running) >= PAGES_AHEAD:
                    yield await running[0]
                    running.popleft()
            while running:
                yield await running[0]
                running.popleft()
            if self._lookup is not None:
                self._lookup[1].events.names_resolved(self._found, self._not_found, done=True)
        finally:
            tasks = [*running, *self._in_flight.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _resolve_page(self, page: Sequence[JobRow]) -> Sequence[Row | BadRow]:
        keys = dict.fromkeys(key for row in page if isinstance(row, NamedRow) for key in _keys_of(row))
        known = {key: found for key in keys if (found := self._recent.get(key)) is not None}
        if missing := [key for key in keys if key not in known]:
            known |= await self._find(missing)
            self._remember(known)
        return [_with_ids(row, known) if isinstance(row, NamedRow) else row for row in page]

    def _remember(self, known: Mapping[NameKey, FoundName]) -> None:
        if len(self._recent) > MAX_RECENT:
            self._recent.clear()
        self._recent.update(known)

    async def _find(self, keys: Sequence[NameKey]) -> Mapping[NameKey, FoundName]:
        known = {found.key: found for found in await self._store.find_names(keys)}
        missing = [key for key in keys if key not in known]
        if missing:
            await self._connect()
            for found in await asyncio.gather(*(asyncio.shield(self._start(key)) for key in missing)):
                known[found.key] = found
        return known

    def _start(self, key: NameKey) -> asyncio.Task[FoundName]:
        """Return the task that looks up a name, which another page may have started."""
        task = self._in_flight.get(key)
        if task is None:
            task = self._in_flight[key] = asyncio.create_task(self._look_up(key), name="look up a name")
        return task

    async def _look_up(self, key: NameKey) -> FoundName:
        if self._lookup is None or self._slots is None:
            raise AssertionError("connected before the first name")
        lookup, context = self._lookup
        async with self._slots:
            found = await run_until_stopped(lookup.find(key), context.stop)
        await self._store.add_name(found)
        del self._in_flight[key]  # from here on the store has it
        self._count(found, context)
        return found

    def _count(self, found: FoundName, context: "RunContext") -> None:
        if found.id:
            self._found += 1
        else:
            self._not_found += 1
        if context.clock.now() - self._logged_at >= LOG_INTERVAL:
            self._logged_at = context.clock.now()
            context.events.names_resolved(self._found, self._not_found, done=False)

    async def _connect(self) -> None:
        async with self._opening:
            if self._lookup is None:
                self._lookup = await self._open_lookup()
                context = self._lookup[1]
                self._slots = asyncio.Semaphore(context.settings.concurrency)
                self._logged_at = context.clock.now()


def _keys_of(row: NamedRow) -> Sequence[NameKey]:
    room = () if row.room_id else (NameKey(NameKind.ROOM, row.room_name),)
    user = () if row.user_id else (NameKey(NameKind.USER, row.username),)
    return room + user


def _with_ids(row: NamedRow, known: Mapping[NameKey, FoundName]) -> Row | BadRow:
    """Return the row with the ids of its names, and the names as the server writes them."""
    room_id, user_id, room_name, username = row.room_id, row.user_id, row.room_name, row.username
    for key in _keys_of(row):
        found = known[key]
        if not found.id:
            ids = (row.room_id, row.user_id)
            return BadRow(row.line, *ids, found.reason, found.message, row.extra, room_name, username)
        if key.kind is NameKind.ROOM:
            room_id, room_name = found.id, found.name
        else:
            user_id, username = found.id, found.name
    return Row(row.line, room_id, user_id, row.extra, room_name, username, row.doubt)
