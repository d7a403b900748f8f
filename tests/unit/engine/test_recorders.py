"""Every finished row reaches the store, the counts, the events and the failure threshold, wherever it was finished."""

from dataclasses import replace

import pytest

from rolecall.engine.context import RunContext
from rolecall.engine.recorders import FailureCounter, OutcomeRecorder
from rolecall.engine.settings import FORBIDDEN_IN_A_ROW, FailureThreshold, Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome
from rolecall.store.batch_writer import BatchWriter
from tests.support.memory_store import MemoryStore
from tests.unit.engine.answers import pending
from tests.unit.engine.runs import Lines
from tests.unit.engine.virtual import virtual_clock
from tests.unit.store.contract.jobs import import_lines, reported
from tests.unit.store.values import settled


def context_with(limit: float, log: Lines | None = None) -> RunContext:
    """Return a context that stops after more failures than `limit`."""
    settings = replace(Settings(), max_failures=FailureThreshold(limit, is_percent=False))
    return RunContext.create(settings, log or Lines(), clock=virtual_clock())


async def test_an_outcome_is_stored_counted_and_logged() -> None:
    """The store has it once the writer has ended; the session has counted it, and a failure is in the log."""
    store, log = MemoryStore(), Lines()
    keys = await import_lines(store, 2, 3)
    context = context_with(9, log)
    async with BatchWriter(store) as journal:
        recorder = OutcomeRecorder(journal, context)
        recorder.record(pending(keys[0]), settled(keys[0]))
        recorder.record(pending(keys[1]), settled(keys[1], Outcome.FAILED, reason="why"))
    assert await reported(store) == [(2, Outcome.REMOVED, ""), (3, Outcome.FAILED, "why")]
    assert context.outcomes == {Outcome.REMOVED: 1, Outcome.FAILED: 1}
    assert log.events == ["row failed"]
    assert context.stop.reason is None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
async def test_too_many_failures_stop_the_run(outcome: Outcome) -> None:
    """Failures of the sender and of the reading count together; the one beyond the threshold stops the run."""
    store = MemoryStore()
    keys = await import_lines(store, *range(2, 8))
    context = context_with(3)
    async with BatchWriter(store) as journal:
        recorder = OutcomeRecorder(journal, context)
        for number, key in enumerate(keys[:4], start=1):
            assert context.stop.reason is None
            recorder.record(pending(key), settled(key, outcome))
            recorder.record(pending(key), settled(key, Outcome.NOT_LEADER))
            assert (context.stop.reason is StopReason.MAX_FAILURES) is (number == 4)


async def test_refusals_of_the_method_in_a_row_stop_the_run() -> None:
    """Ten in a row are a matter of the credentials; any other response between them begins anew."""
    context = context_with(99)
    async with BatchWriter(MemoryStore()) as journal:
        recorder = OutcomeRecorder(journal, context)
        for forbidden in [True] * 9 + [False] + [True] * 9:
            recorder.count_forbidden(forbidden, "no permission")
        assert context.stop.reason is None
        recorder.count_forbidden(True, "no permission")
    stop = context.stop
    assert (stop.reason, stop.detail) == (StopReason.CREDENTIALS, "no permission")


R, N, F, U = Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("text", "outcomes", "stops_at"),
    [
        ("0", [R, N, F], 3),
        ("0", [U], 1),
        ("2", [F, U, R, F], 4),
        ("2", [F, U] + [R] * 500, None),
        ("10%", [F] * 100, 100),
        ("10%", [F] * 99 + [R, F], 101),
        ("10%", [F] * 99, None),
        ("10%", [F] * 10 + [R] * 90 + [F], 101),
        ("10%", [R] * 99 + [F] * 11, None),
        ("10%", [R] * 99 + [F] * 12, 111),
        ("0%", [F] + [R] * 99 + [F], 101),
        ("100%", [F] * 1000, None),
    ],
)
def test_thresholds_stop_the_run(text: str, outcomes: list[Outcome], stops_at: int | None) -> None:
    """More failures than the number stop at once; a share stops from the hundredth row on, at a row that failed."""
    failures = FailureCounter(FailureThreshold.parse(text))
    reached = [place for place, outcome in enumerate(outcomes, start=1) if failures.count(outcome)]
    assert (reached[0] if reached else None) == stops_at


@pytest.mark.parametrize(
    ("answers", "stops"),
    [
        ([True] * FORBIDDEN_IN_A_ROW, True),
        ([True] * (FORBIDDEN_IN_A_ROW - 1), False),
        (([True] * (FORBIDDEN_IN_A_ROW - 1) + [False]) * 3, False),
        ([False] * 50 + [True] * FORBIDDEN_IN_A_ROW, True),
    ],
)
def test_only_refusals_in_a_row_are_a_matter_of_the_credentials(answers: list[bool], stops: bool) -> None:
    """Ten refusals of the method in a row stop the run; one other answer starts the count anew."""
    failures = FailureCounter(FailureThreshold(50, True))
    reached = [failures.count_forbidden(forbidden) for forbidden in answers]
    assert reached[-1] is stops
    assert not any(reached[:-1])
