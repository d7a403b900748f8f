"""Pauses: rate limit pauses, outages and shutdowns are rows of the latest session."""

import asyncio

import pytest

from rolecall.models import Outcome
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Batch, Intent, Pause, PauseEnd, PauseKind
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import import_lines, reported
from tests.unit.store.values import settled

WINDOW = Pause(PauseKind.WINDOW, 100, 160, None, 10, 60.5)
REFUSED = Pause(PauseKind.REFUSED, 200, 230)
OUTAGE = Pause(PauseKind.OUTAGE, 300)
SHUTDOWN = Pause(PauseKind.SHUTDOWN, 400, 430)


def pauses(*entries: Pause | PauseEnd) -> Batch:
    """Return a batch of pauses."""
    return Batch(pauses=entries)


async def stored(store: RunStore) -> list[Pause]:
    """Return all pauses in their order."""
    return [pause for _, pause in await store.pauses(0, 10_000)]


async def test_pauses_are_returned_unchanged_and_in_order(store: RunStore, backend: Backend) -> None:
    """Every field of a pause is durable; pauses come in the order in which they were written, not of their times."""
    await store.open_session("bulk.bot", 1)
    written = [OUTAGE, WINDOW, SHUTDOWN, REFUSED, Pause(PauseKind.OUTAGE, 1, None, 2)]
    await store.commit(pauses(*written[:2]))
    await store.commit(pauses(*written[2:]))
    assert await stored(await backend.crash()) == written


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pauses_are_read_in_pages(store: RunStore, size: int) -> None:
    """Pages of any size return each pause once; the numbers increase; beyond the last there is nothing."""
    await store.open_session("bulk.bot", 1)
    written = [WINDOW._replace(started_at=at) for at in range(10)]
    await store.commit(pauses(*written))
    found: list[tuple[int, Pause]] = []
    while page := await store.pauses(found[-1][0] if found else 0, size):
        assert len(page) <= size
        found += page
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    assert [pause for _, pause in found] == written
    assert await store.pauses(0, 0) == []


async def test_pauses_of_all_sessions_are_read(store: RunStore) -> None:
    """Pauses of earlier sessions stay and come first; numbers go on over the sessions."""
    for at in (1, 2, 3):
        await store.open_session("bulk.bot", at)
        await store.commit(pauses(WINDOW._replace(started_at=at)))
        await store.close_session("", at)
    first = await store.pauses(0, 1)
    assert [pause.started_at for _, pause in first + await store.pauses(first[0][0], 9)] == [1, 2, 3]


async def test_the_end_of_a_session_ends_its_outage(store: RunStore) -> None:
    """An outage that stopped the run ends with its session; that of a killed session has no end."""
    await store.open_session("bulk.bot", 1)
    await store.commit(pauses(OUTAGE))
    await store.open_session("bulk.bot", 400)
    await store.commit(pauses(OUTAGE._replace(started_at=410), WINDOW))
    await store.close_session("outage", 500)
    assert [pause.ended_at for pause in await stored(store)] == [None, 500, None]


async def test_an_end_is_that_of_the_latest_open_pause_of_its_kind(store: RunStore) -> None:
    """An end changes one pause: the latest of its kind without a recorded end."""
    await store.open_session("bulk.bot", 1)
    await store.commit(pauses(OUTAGE, WINDOW, OUTAGE._replace(started_at=350), REFUSED))
    await store.commit(pauses(PauseEnd(PauseKind.OUTAGE, 360)))
    assert await stored(store) == [OUTAGE, WINDOW, Pause(PauseKind.OUTAGE, 350, None, 360), REFUSED]
    await store.commit(pauses(PauseEnd(PauseKind.OUTAGE, 370)))
    await store.commit(pauses(PauseEnd(PauseKind.OUTAGE, 380), PauseEnd(PauseKind.SHUTDOWN, 390)))
    assert [pause.ended_at for pause in await stored(store)] == [370, None, 360, None]


async def test_start_and_end_in_one_batch_are_written_in_their_order(store: RunStore) -> None:
    """An end after its start in the same batch ends it; an end before a start does not."""
    await store.open_session("bulk.bot", 1)
    end = PauseEnd(PauseKind.OUTAGE, 310)
    await store.commit(pauses(end, OUTAGE, end, OUTAGE))
    assert [pause.ended_at for pause in await stored(store)] == [310, None]


async def test_an_end_does_not_change_an_earlier_session(store: RunStore, backend: Backend) -> None:
    """A pause that was open when its process was killed has no recorded end; the next session does not end it."""
    await store.open_session("bulk.bot", 1)
    await store.commit(pauses(OUTAGE))
    again = await backend.crash()
    await again.open_session("bulk.bot", 500)
    await again.commit(pauses(PauseEnd(PauseKind.OUTAGE, 510)))
    assert await stored(again) == [OUTAGE]
    assert await again.open_pauses(505) == []


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (150, [WINDOW, REFUSED, OUTAGE, SHUTDOWN]),
        (159, [WINDOW, REFUSED, OUTAGE, SHUTDOWN]),
        (160, [REFUSED, OUTAGE, SHUTDOWN]),
        (229, [REFUSED, OUTAGE, SHUTDOWN]),
        (250, [OUTAGE, SHUTDOWN]),
        (10**13, [OUTAGE]),
    ],
)
async def test_a_pause_is_open_until_its_planned_end(store: RunStore, at: int, expected: list[Pause]) -> None:
    """A pause with a planned end is open before it; one without is open until its end is recorded."""
    await store.open_session("bulk.bot", 1)
    await store.commit(pauses(WINDOW, REFUSED, OUTAGE, SHUTDOWN))
    assert await store.open_pauses(at) == expected


async def test_a_recorded_end_closes_a_pause_early(store: RunStore) -> None:
    """After a recorded end a pause is not open, even before its planned end."""
    await store.open_session("bulk.bot", 1)
    await store.commit(pauses(SHUTDOWN, OUTAGE, PauseEnd(PauseKind.SHUTDOWN, 410)))
    assert await store.open_pauses(411) == [OUTAGE]
    await store.commit(pauses(PauseEnd(PauseKind.OUTAGE, 420)))
    assert await store.open_pauses(421) == []


async def test_only_the_latest_session_has_open_pauses(store: RunStore) -> None:
    """Pauses of an earlier session are not open, also while the latest one has none."""
    await store.open_session("bulk.bot", 1)
    await store.commit(pauses(OUTAGE, WINDOW))
    await store.open_session("bulk.bot", 2)
    assert await store.open_pauses(0) == []
    await store.commit(pauses(REFUSED))
    assert await store.open_pauses(0) == [REFUSED]


async def test_an_old_pause_can_be_open_behind_many_others(store: RunStore) -> None:
    """An outage that lasts is found however many pauses were written since."""
    await store.open_session("bulk.bot", 1)
    await store.commit(pauses(OUTAGE, *[WINDOW] * 500))
    assert await store.open_pauses(1000) == [OUTAGE]


async def test_a_pause_without_a_session_is_refused(store: RunStore) -> None:
    """A pause belongs to a session: without one the whole batch fails; an end alone changes nothing."""
    (key,) = await import_lines(store, 2)
    with pytest.raises(StoreError):
        await store.commit(Batch([settled(key)], pauses=[WINDOW]))
    assert await reported(store) == [(2, Outcome.NOT_ATTEMPTED, "")]
    await store.commit(pauses(PauseEnd(PauseKind.WINDOW, 1)))
    assert await store.pauses(0, 9) == []


async def test_pauses_and_rows_of_a_batch_are_one_transaction(store: RunStore) -> None:
    """Where the rows of a batch cannot be written, its pauses are not written either."""
    (key,) = await import_lines(store, 2)
    await store.open_session("bulk.bot", 1)
    broken = Intent(key, None, 1)  # type: ignore[arg-type] # the fault: an intent without its attempt
    with pytest.raises(StoreError):
        await store.commit(Batch(intents=[broken], pauses=[WINDOW]))
    assert await store.pauses(0, 9) == []
    await asyncio.gather(*(store.commit(Batch([settled(key)], pauses=[WINDOW])) for _ in range(20)))
    assert await stored(store) == [WINDOW] * 20


async def test_pauses_do_not_change_counts(store: RunStore) -> None:
    """A batch of pauses leaves rows and counts as they are."""
    await import_lines(store, 2, 3)
    await store.open_session("bulk.bot", 1)
    await store.close_session("", 2)
    before = await store.counts()
    await store.commit(pauses(WINDOW))
    assert await store.counts() == before
