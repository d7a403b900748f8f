"""Counts over time: nothing is lost when bins are widened, and there are never too many of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.display.html_report.time_bins import NARROWEST, TimeBins

TIMES = st.integers(0, 4_000_000_000_000)


@given(st.lists(st.tuples(TIMES, st.integers(1, 1_000))))
def test_every_amount_is_counted_in_few_bins(amounts: list[tuple[int, int]]) -> None:
    """Whatever the times, the sum stays and at most the bins allowed are kept."""
    bins = TimeBins(most=8)
    for time, amount in amounts:
        bins.add(time, amount)
        assert len(bins.at) <= 8
    assert bins.at.total() == sum(amount for _, amount in amounts)


@given(st.lists(TIMES, min_size=1, max_size=50))
def test_a_bin_holds_exactly_the_times_within_it(times: list[int]) -> None:
    """Each time is counted in the bin that its width says, also after the bins were widened."""
    bins = TimeBins(most=4)
    for time in times:
        bins.add(time)
    for number, amount in bins.at.items():
        assert amount == sum(number == int(time // bins.width) for time in times)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(1, 10**11)), max_size=8))
def test_a_stretch_of_time_is_shared_out_whole(stretches: list[tuple[int, int]]) -> None:
    """The milliseconds of stretches of any length are all there, and no bin holds more than can be in it."""
    bins = TimeBins(most=100)
    for begin, length in stretches:
        bins.spread(begin, begin + length)
    assert bins.at.total() == sum(length for _, length in stretches)
    assert len(bins.at) <= 100
    assert all(amount <= (bins.width + 1) * len(stretches) for amount in bins.at.values())


def test_nine_doublings_make_a_minute() -> None:
    """The usual window of a server's limit falls into whole bins, so that a steady run looks steady."""
    bins = TimeBins()
    for _ in range(9):
        bins.widen()
    assert bins.width == 512 * NARROWEST == 60_000
