"""The search: looks up each target that is not known yet; results come in the order of the query."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing

from rolecall.engine.directory.find_by_room import FindByRoom
from rolecall.engine.directory.find_by_user import FindByUser
from rolecall.engine.directory.find_query import FindQuery, LookupTarget
from rolecall.engine.directory.pair_groups import ordered_map
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import LookupResult


async def search_roles(
    reader: ReadClient,
    query: FindQuery,
    keep: Callable[[LookupResult], Awaitable[None]],
    *,
    done: Collection[str],
    at_once: int,
) -> None:
    """Look up each user or room whose key is not in `done`, `at_once` at a time, and pass each result to `keep`.

    Raises ShutdownRequested, and what `keep` raises.
    """
    search = FindByUser(reader, query) if query.by_person else FindByRoom(reader, query)

    async def look_up(target: LookupTarget | LookupResult) -> LookupResult:
        return target if isinstance(target, LookupResult) else await search.look_up(target)

    async with (
        aclosing(_without_done(search.targets(), done)) as targets,
        aclosing(ordered_map(targets, look_up, at_once=at_once)) as results,
    ):
        async for result in results:
            await keep(result)


async def _without_done(
    targets: AsyncIterator[LookupTarget | LookupResult], done: Collection[str]
) -> AsyncGenerator[LookupTarget | LookupResult, None]:
    """Leave out targets that are known, and those that a list has twice."""
    seen: set[str] = set()
    async for target in targets:
        if isinstance(target, LookupResult):
            yield target
        elif target.key not in done and target.key not in seen:
            seen.add(target.key)
            yield target
