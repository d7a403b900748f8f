"""Leased slots: which slot a call has, how many are leased, and what is lost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.engine.throttle.rate_limiter import COARSE_FROM, IDLE_AFTER, PacedRateLimiter, tolerance_of
from rolecall.engine.throttle.rate_slots import MAX_LEASED, LeasedSlots


class Queue:
    """Calls that wait, and how often the first of them looked anew."""

    def __init__(self, queued: int) -> None:
        self.queued = queued
        self.looks = 0

    def look_anew(self) -> None:
        """Count one."""
        self.looks += 1


def slots_of(rate: float | None, queued: int = 1) -> tuple[LeasedSlots, list[None], Queue]:
    """Return slots at a rate, the requests for leases, and the queue of calls."""
    requests: list[None] = []
    slots, queue = LeasedSlots(lambda: requests.append(None)), Queue(queued)
    slots.set_rate(rate)
    slots.add_queue(queue)
    return slots, requests, queue


def test_a_call_without_a_slot_requests_a_lease_and_looks_anew_when_it_comes() -> None:
    """Until then its slot is infinitely far away."""
    slots, requests, queue = slots_of(10.0)
    assert slots.next_slot(0.0) == math.inf
    assert len(requests) == 1
    assert slots.wanted == 1
    slots.add([0.5])
    assert queue.looks == 1
    assert slots.next_slot(0.0) == 0.5


@given(st.floats(0.01, 1000.0), st.integers(0, 500))
def test_a_lease_is_for_calls_that_wait_and_never_above_a_quarter_second(rate: float, queued: int) -> None:
    """Slots that are there count; one slot may be leased at any rate."""
    slots, _, _ = slots_of(rate, queued)
    assert slots.wanted == min(queued, max(1, int(MAX_LEASED / slots.interval)))
    slots.add([1.0] * queued)
    assert slots.wanted == 0


def test_an_unlimited_rate_leases_nothing() -> None:
    """Its calls may leave at any moment."""
    slots, requests, _ = slots_of(None)
    assert slots.next_slot(7.0) == -math.inf
    slots.reserve(7.0)
    assert slots.assign_slot(7.0) == 7.0
    assert (requests, slots.wanted) == ([], 0)


def test_slots_that_passed_unused_are_lost() -> None:
    """A call that comes after an idle time has the next slot that is still to come."""
    slots, _, _ = slots_of(10.0)
    slots.add([1.0, 1.1, 1.2])
    assert slots.next_slot(1.15) == 1.2
    assert slots.next_slot(9.0) == math.inf


def test_a_call_that_was_admitted_keeps_its_slot_and_a_later_call_has_the_next() -> None:
    """A call that is prepared too late for its slot has the next one that is leased, if there is one."""
    slots, _, _ = slots_of(10.0)
    slots.add([1.0, 1.1, 1.2])
    slots.reserve(0.95)
    slots.reserve(0.95)
    assert slots.next_slot(0.95) == 1.2
    slots.cancel_reservation()
    assert slots.next_slot(0.95) == 1.1
    slots.reserve(0.95)
    slots.reserve(0.95)
    assert slots.assign_slot(1.002) == 1.0
    assert slots.assign_slot(1.15) == 1.2
    assert slots.assign_slot(1.15) == math.inf


@given(
    st.floats(0.5, 500.0),
    st.lists(st.tuples(st.sampled_from(["lease", "admit", "prepared", "withdrawn"]), st.floats(0.0, 0.3)), max_size=60),
)
def test_calls_never_leave_later_than_their_slots_but_for_the_tolerance(
    rate: float, steps: list[tuple[str, float]]
) -> None:
    """However leases, admissions and delays follow each other, a call leaves in a leased slot of its own, or waits."""
    slots, _, queue = slots_of(rate, 4)
    now, next_leased, reserved = 0.0, 0.0, 0
    left, all_leased = list[float](), list[float]()
    for step, seconds in steps:
        now += seconds
        if step == "lease":
            wanted, first = slots.wanted, max(next_leased, now)
            slots.add(leased := [first + number * slots.interval for number in range(wanted)])
            all_leased.extend(leased)
            next_leased = first + wanted * slots.interval
        elif step == "admit" and slots.next_slot(now) - 0.05 <= now:
            slots.reserve(now)
            reserved += 1
        elif step == "prepared" and reserved:
            reserved -= 1
            slot = slots.assign_slot(now)
            assert slot > now - 0.016 - 1e-9
            left.append(slot)
        elif step == "withdrawn" and reserved:
            reserved -= 1
            slots.cancel_reservation()
    used = [slot for slot in left if slot < math.inf]
    assert len(set(used)) == len(used)
    assert set(used) <= set(all_leased)
    assert queue.queued == 4


def test_another_rate_begins_with_slots_of_its_own() -> None:
    """Slots of the rate before are lost, but for those of calls that are being prepared."""
    slots, _, _ = slots_of(10.0)
    slots.add([1.0, 1.1, 1.2])
    slots.reserve(0.95)
    slots.set_rate(20.0)
    assert slots.next_slot(0.95) == math.inf
    assert slots.assign_slot(0.95) == 1.0


def test_slots_of_no_rate_yet_are_unlimited() -> None:
    """Until the rate is set, and no intent is written ahead of its slot at any rate."""
    slots = LeasedSlots(lambda: None)
    assert slots.next_slot(0.0) == -math.inf
    assert slots.wanted == 0
    assert slots.allows_ahead is False


@pytest.mark.parametrize("rate", [1.0, COARSE_FROM - 1.0, COARSE_FROM, 4 * COARSE_FROM])
def test_slots_have_the_headroom_of_their_rate(rate: float) -> None:
    """They are a little further apart than the rate, so that no window of a second has one call too many."""
    slots, _, _ = slots_of(rate)
    assert slots.interval == (1.0 + tolerance_of(rate).headroom) / rate
    assert slots.interval > 1.0 / rate


def test_slots_of_the_same_rate_stay() -> None:
    """A rate that is set again, as it is with each answer of the database, loses no slot."""
    slots, _, _ = slots_of(10.0)
    slots.add([1.0, 1.1])
    slots.set_rate(10.0)
    assert slots.next_slot(0.95) == 1.0


def test_calls_that_are_being_prepared_want_slots_too() -> None:
    """Waiting and admitted calls count; more slots than calls want nothing, never less than nothing."""
    slots, _, queue = slots_of(100.0, 2)
    slots.add([1.0])
    slots.reserve(0.95)
    assert slots.wanted == 2
    queue.queued = 0
    slots.add([1.01, 1.02, 1.03])
    assert slots.wanted == 0


def test_the_last_slot_that_a_call_takes_requests_the_next_lease() -> None:
    """So the next slots come while that call is prepared; no lease is requested while one is left."""
    slots, requests, _ = slots_of(10.0)
    slots.add([1.0, 1.1])
    slots.reserve(0.95)
    assert requests == []
    slots.reserve(0.95)
    assert len(requests) == 1


def test_a_withdrawn_call_releases_one_slot_only() -> None:
    """However many calls are being prepared."""
    slots, _, _ = slots_of(10.0)
    slots.add([1.0, 1.1, 1.2, 1.3])
    for expected in (1.1, 1.2, 1.3):
        slots.reserve(0.95)
        assert slots.next_slot(0.95) == expected
    for expected in (1.2, 1.1, 1.0):
        slots.cancel_reservation()
        assert slots.next_slot(0.95) == expected


def test_a_slot_may_be_used_a_little_late() -> None:
    """By what the loop may be late, to the very moment; then it is lost."""
    slots, _, _ = slots_of(10.0)
    slots.add([0.0, 1.0])
    assert slots.next_slot(IDLE_AFTER) == 0.0
    assert slots.next_slot(math.nextafter(IDLE_AFTER, 1.0)) == 1.0


def test_calls_are_admitted_as_early_as_their_preparation_takes() -> None:
    """The lead is that of the preparations that were recorded."""
    slots, _, _ = slots_of(10.0)
    slots.record_preparation(0.010)
    assert slots.lead == pytest.approx(0.030)


@given(st.lists(st.floats(0.0, 2.0), max_size=6), st.floats(0.0, 2.0), st.sampled_from([None, 1.0, 10.0, 100.0]))
def test_the_first_slot_is_the_one_that_is_assigned(leased: list[float], now: float, rate: float | None) -> None:
    """Looking at it takes nothing: the same slot is there at the next look, and for the call that is prepared."""
    slots, _, _ = slots_of(rate)
    slots.add(sorted(leased))
    paced = PacedRateLimiter(rate)
    for limiter in (slots, paced):
        limiter.reserve(now)
        first = limiter.first_slot(now)
        assert limiter.first_slot(now) == first
        assert limiter.assign_slot(now) == first
    assert slots.first_slot(now) >= now - 0.016 - 1e-9
