"""Compare two runs, or a check and a run: which pairs have another outcome, and which only one of them has."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.app.run_directory import operation_of, require_run
from rolecall.models import Outcome
from rolecall.rocketchat.operations import CARRIED_OUT
from rolecall.store.base import RunStore
from rolecall.store.records import Identity, Pair
from rolecall.store.sqlite.store import open_snapshot

PAGE_SIZE = 1000
"""Pairs that are read from each store at once."""
MAX_ROWS = 20
"""Differing pairs that are returned; all are counted."""


class Difference(NamedTuple):
    """One pair whose outcomes differ; None where a run does not have the pair."""

    room_id: str
    user_id: str
    before: Outcome | None
    after: Outcome | None
    reason: str
    """Of the second run; of the first where only that has the pair."""


@dataclass(slots=True)
class Comparison:
    """How two runs compare."""

    before: Path
    after: Path
    operation: str
    same: int = 0
    """Pairs with the same outcome in both."""
    changes: Counter[tuple[Outcome | None, Outcome | None]] = field(default_factory=Counter)
    """Other pairs by outcome before and after."""
    first: list[Difference] = field(default_factory=list)

    @property
    def differing(self) -> int:
        """Pairs whose outcomes differ, or that only one run has."""
        return self.changes.total()

    def add(self, before: Pair | None, after: Pair | None) -> None:
        """Count one pair."""
        outcomes = (_outcome(before), _outcome(after))
        if _carried_out(outcomes[0]) is _carried_out(outcomes[1]):
            self.same += 1
            return
        self.changes[outcomes] += 1
        pair = after or before
        if pair is not None and len(self.first) < MAX_ROWS:
            self.first.append(Difference(pair.room_id, pair.user_id, *outcomes, pair.reason))


async def compare_runs(before: Path, after: Path) -> Comparison:
    """Compare the pairs of two runs of one workspace and operation; memory does not grow with them.

    Rows that were never sent (`invalid`, `duplicate`) are no pairs and are left out. Runs that are running are compared
    as they are now. Raises InvalidStoreError, StoreError, OSError, and OperatorError for runs that do not belong
    together.
    """
    for folder in (before, after):
        await asyncio.to_thread(require_run, folder)
    async with open_snapshot(before) as first, open_snapshot(after) as second:
        identities = await _identity(first, before), await _identity(second, after)
        names = [operation_of(identity).name for identity in identities]
        for what, one, other in (
            ("workspaces", identities[0].workspace, identities[1].workspace),
            ("operations", names[0], names[1]),
        ):
            if one != other:
                raise OperatorError(f"{before} and {after} have different {what}: {one} and {other}.")
        comparison = Comparison(before, after, names[0])
        async with aclosing(_pairs(first)) as old, aclosing(_pairs(second)) as new:
            await _merge(old, new, comparison)
        return comparison


async def _identity(store: RunStore, folder: Path) -> Identity:
    identity = await store.identity()
    if identity is None:
        raise OperatorError(f"{folder} contains a run that has not begun.")
    return identity


async def _merge(old: AsyncGenerator[Pair, None], new: AsyncGenerator[Pair, None], comparison: Comparison) -> None:
    """Count the pairs of two runs, both in the order of room and user."""
    before, after = await anext(old, None), await anext(new, None)
    while before is not None or after is not None:
        if after is None or (before is not None and _place(before) < _place(after)):
            comparison.add(before, None)
            before = await anext(old, None)
        elif before is None or _place(after) < _place(before):
            comparison.add(None, after)
            after = await anext(new, None)
        else:
            comparison.add(before, after)
            before, after = await anext(old, None), await anext(new, None)


async def _pairs(store: RunStore) -> AsyncGenerator[Pair, None]:
    """Yield the pairs of the present job file, in the order of room and user."""
    after = ("", "")
    while page := await store.pairs_by_room(after, PAGE_SIZE):
        for pair in page:
            if pair.line is not None:
                yield pair
        after = _place(page[-1])


def _place(pair: Pair) -> tuple[str, str]:
    return pair.room_id, pair.user_id


def _carried_out(outcome: Outcome | None) -> Outcome | None:
    """Return the outcome that a prediction of a check stands for."""
    return outcome if outcome is None else CARRIED_OUT.get(outcome, outcome)


def _outcome(pair: Pair | None) -> Outcome | None:
    if pair is None or pair.outcome is not None:
        return pair.outcome if pair is not None else None
    return Outcome.UNKNOWN if pair.in_doubt else Outcome.NOT_ATTEMPTED
