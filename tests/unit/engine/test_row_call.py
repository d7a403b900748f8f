"""The state of a row between its attempts: its doubt, how old that is, and who has sent calls."""

import asyncio

import pytest

from rolecall.engine.context import Caller, RunContext
from rolecall.engine.row_call import RowCall, RowTarget
from rolecall.engine.settings import Settings
from rolecall.models import DueRow, NoReply, Outcome, Prior, PriorState, Reply
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.store.batch_writer import BatchWriter
from tests.support.engine import SilentLog
from tests.support.memory_store import MemoryStore
from tests.unit.engine.answers import (
    BAD_GATEWAY,
    NO_CONNECTION,
    NOT_A_LEADER,
    SERVER_ERROR,
    TIMEOUT,
    TOO_MANY,
    UNAUTHORIZED,
    refusal,
    reply,
)
from tests.unit.engine.runs import Scripted
from tests.unit.engine.test_row_queue import queue_of
from tests.unit.engine.virtual import virtual_clock
from tests.unit.store.contract.jobs import import_lines

BLOCKED, UNTYPED = reply(403, b"<html>"), reply(400, b'{"success":false,"error":"Match error"}')
READ = Prior(PriorState.HAS_ROLE, 500, "anna")


class Silent(Scripted):
    """A client whose calls take for ever."""

    def __init__(self) -> None:
        """Take no script."""

    async def post_pair(self, path: str, room_id: str, user_id: str) -> Reply | NoReply:
        """Wait until the call is cancelled."""
        await asyncio.Event().wait()
        raise AssertionError


def call_of(row: DueRow, journal: BatchWriter, account: str = "bot-1") -> RowCall:
    """Return the call of a row in a new session."""
    context = RunContext.create(Settings(), SilentLog(), clock=virtual_clock(), caller=Caller(account, 7))
    queue = queue_of([], None)
    return RowCall.start(RowTarget.create(Silent(), REMOVE_LEADER, queue, journal, context), row)


def due(*, in_doubt: bool = False, attempted_at: int | None = None, prior: Prior = READ) -> DueRow:
    """Return a due row of the job with one line."""
    return DueRow(1, 2, "R", "u2", 1 if in_doubt else 0, in_doubt, prior, attempted_at)


async def answer(call: RowCall, *answers: Reply | NoReply) -> CallResult:
    """Make an attempt for each answer, ten seconds apart; return the last result."""
    for each in answers:
        await call.prepare()
        call.is_prepared = False
        result = await call.complete_attempt(call.record_response(each))
        await asyncio.sleep(10)
    return result


@pytest.fixture
async def store() -> MemoryStore:
    """Return a store with one row."""
    store = MemoryStore()
    await import_lines(store, 2)
    return store


@pytest.mark.parametrize(
    ("answers", "in_doubt", "only_refusals"),
    [
        ([TIMEOUT], True, False),
        ([SERVER_ERROR], True, False),
        ([BAD_GATEWAY], True, False),
        ([BLOCKED], True, True),
        ([UNTYPED], True, True),
        ([refusal("error-brand-new")], True, True),
        ([BLOCKED, UNTYPED], True, True),
        ([BLOCKED, TIMEOUT], True, False),
        ([TIMEOUT, BLOCKED], True, False),
        ([BLOCKED, NO_CONNECTION, TOO_MANY], True, True),
        ([NO_CONNECTION], False, True),
        ([TOO_MANY], False, True),
        ([UNAUTHORIZED], False, True),
        ([NOT_A_LEADER], False, True),
        ([refusal("error-room-archived")], False, True),
    ],
)
async def test_what_leaves_a_doubt(
    store: MemoryStore, answers: list[Reply | NoReply], in_doubt: bool, only_refusals: bool
) -> None:
    """Only a response that proves nothing leaves a doubt; refusals alone are known to be such."""
    async with BatchWriter(store) as journal:
        call = call_of(due(), journal)
        await answer(call, *answers)
        assert (call.in_doubt, call.only_refusals) == (in_doubt, only_refusals)


async def test_a_doubt_of_an_earlier_session_is_more_than_a_refusal(store: MemoryStore) -> None:
    """Nobody knows what the earlier attempts got: refusals of this session alone do not settle the row as failed."""
    async with BatchWriter(store) as journal:
        call = call_of(due(in_doubt=True, attempted_at=5), journal)
        await answer(call, BLOCKED)
        assert (call.in_doubt, call.only_refusals) == (True, False)


@pytest.mark.parametrize(
    ("answers", "age"),
    [
        ([TIMEOUT], 10),
        ([TIMEOUT, NO_CONNECTION, TOO_MANY], 30),
        ([TIMEOUT, NOT_A_LEADER], 20),
        ([TIMEOUT, BLOCKED], 10),
    ],
)
async def test_how_old_a_doubt_is(store: MemoryStore, answers: list[Reply | NoReply], age: int) -> None:
    """The moment of the last attempt in doubt counts, not that of a later one which proves something."""
    async with BatchWriter(store) as journal:
        call = call_of(due(), journal)
        await answer(call, *answers)
        assert call.doubted_at is not None
        assert virtual_clock().wall_ms() - call.doubted_at == age * 1000


async def test_the_doubt_of_an_earlier_session_keeps_its_age(store: MemoryStore) -> None:
    """A row that comes in doubt, and whose attempt proves something, is as old as its stored attempt."""
    async with BatchWriter(store) as journal:
        call = call_of(due(in_doubt=True, attempted_at=5), journal)
        await answer(call, NOT_A_LEADER)
        assert call.doubted_at == 5
        sure = call_of(due(attempted_at=5), journal)
        assert sure.doubted_at is None


async def test_a_cancelled_request_is_in_doubt(store: MemoryStore) -> None:
    """A request that is given up may still arrive; it is no refusal."""
    async with BatchWriter(store) as journal:
        call = call_of(due(), journal)
        await call.prepare()
        sending = asyncio.create_task(call.send())
        await asyncio.sleep(3)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert (call.in_doubt, call.only_refusals) == (True, False)
        assert call.doubted_at == virtual_clock().wall_ms() - 3000


@pytest.mark.parametrize(
    ("before", "account", "after"),
    [
        ((), "bot-1", ("bot-1",)),
        (("bot-1",), "bot-1", ("bot-1",)),
        (("bot-0",), "bot-1", ("bot-0", "bot-1")),
        (("bot-0",), "", ("bot-0",)),
    ],
)
async def test_every_account_that_sends_is_stored_with_the_intent(
    store: MemoryStore, before: tuple[str, ...], account: str, after: tuple[str, ...]
) -> None:
    """The intent has the prior state, and this session's account among those of the earlier ones."""
    async with BatchWriter(store) as journal:
        call = call_of(due(prior=READ._replace(accounts=before)), journal, account)
        await call.prepare()
        ((_, row),) = await store.fetch_due(0, 1, retry_failed=False)
        assert row.prior == READ._replace(accounts=after)
        assert row.attempted_at == virtual_clock().wall_ms()


@pytest.mark.parametrize(
    ("answers", "outcome"), [((TOO_MANY,), Outcome.UNKNOWN), ((TIMEOUT, TOO_MANY), None)], ids=["rejected", "doubted"]
)
async def test_an_earlier_outcome_returns_unless_this_session_may_have_changed_something(
    store: MemoryStore, answers: tuple[Reply | NoReply, ...], outcome: Outcome | None
) -> None:
    """A row in doubt gets its outcome of an earlier session back, but not after an attempt that was perhaps done."""
    row = due(in_doubt=True, attempted_at=5)._replace(outcome=Outcome.UNKNOWN, reason="timeout")
    async with BatchWriter(store) as journal:
        await answer(call_of(row, journal), *answers)
    ((_, after),) = await store.fetch_due(0, 1, retry_failed=False)
    assert after.outcome is outcome
