"""The search itself: asks for what is not known yet, and hands on each finding in the order of the question."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing

from rolecall.engine.directory.find_by_room import FindByRoom
from rolecall.engine.directory.find_by_user import FindByUser
from rolecall.engine.directory.find_query import FindQuery
from rolecall.engine.directory.find_target import LookupTarget
from rolecall.engine.directory.ordered_map import ordered_map
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import LookupResult


async def search_roles(
    reader: ReadClient,
    question: FindQuery,
    keep: Callable[[LookupResult], None],
    *,
    done: Collection[str],
    at_once: int,
) -> None:
    """Ask for each user or room whose key is not in `done`, so many at once. Raises Stopped, and what `keep` raises."""
    asking = FindByUser(reader, question) if question.by_person else FindByRoom(reader, question)

    async def ask(unit: LookupTarget | LookupResult) -> LookupResult:
        return unit if isinstance(unit, LookupResult) else await asking.ask(unit)

    async with (
        aclosing(_not_done(asking.units(), done)) as units,
        aclosing(ordered_map(units, ask, at_once=at_once)) as findings,
    ):
        async for finding in findings:
            keep(finding)


async def _not_done(
    units: AsyncIterator[LookupTarget | LookupResult], done: Collection[str]
) -> AsyncGenerator[LookupTarget | LookupResult, None]:
    """Leave out what is known, and what a list tells a second time."""
    asked: set[str] = set()
    async for unit in units:
        if isinstance(unit, LookupResult):
            yield unit
        elif unit.key not in done and unit.key not in asked:
            asked.add(unit.key)
            yield unit
