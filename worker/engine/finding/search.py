"""The search itself: asks for what is not known yet, and hands on each finding in the order of the question."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing

from worker.engine.finding.by_person import ByPerson
from worker.engine.finding.by_room import ByRoom
from worker.engine.finding.ordered import in_order
from worker.engine.finding.question import Question
from worker.engine.finding.unit import Unit
from worker.engine.reading import Reader
from worker.files.found import Finding


async def search(
    reader: Reader,
    question: Question,
    keep: Callable[[Finding], None],
    *,
    done: Collection[str],
    at_once: int,
) -> None:
    """Ask for each user or room whose key is not in `done`, so many at once. Raises Stopped, and what `keep` raises."""
    asking = ByPerson(reader, question) if question.by_person else ByRoom(reader, question)

    async def ask(unit: Unit | Finding) -> Finding:
        return unit if isinstance(unit, Finding) else await asking.ask(unit)

    async with (
        aclosing(_not_done(asking.units(), done)) as units,
        aclosing(in_order(units, ask, at_once=at_once)) as findings,
    ):
        async for finding in findings:
            keep(finding)


async def _not_done(
    units: AsyncIterator[Unit | Finding], done: Collection[str]
) -> AsyncGenerator[Unit | Finding, None]:
    """Leave out what is known, and what a list tells a second time."""
    asked: set[str] = set()
    async for unit in units:
        if isinstance(unit, Finding):
            yield unit
        elif unit.key not in done and unit.key not in asked:
            asked.add(unit.key)
            yield unit
