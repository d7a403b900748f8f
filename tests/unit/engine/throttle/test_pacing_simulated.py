"""Pacing against a simulated fixed-window server: as fast as the window allows, and never refused."""

import math
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rolecall.models import NoReply, Reply
from tests.unit.engine.throttle.fixed_window import Callers, Course, Server, route_schedule, simulate, steady, stepped

SECOND = 1.05
"""Seconds that a window may lose while the server's clock is known no better than to the second."""

SEEDS = st.integers(0, 2**32)
OFFSETS = st.one_of(st.sampled_from([0.0, -90.0, 90.0, 0.999, -0.001]), st.floats(-1e6, 1e6))


class Case(NamedTuple):
    """A server and its callers."""

    limit: int
    length: float
    offset: float
    concurrency: int
    least_delay: float
    most_delay: float
    windows: int
    seed: int

    @property
    def callers(self) -> Callers:
        return Callers(concurrency=self.concurrency, delay=(self.least_delay, self.most_delay))

    def server(self, *, instances: int = 1, drift: float = 0.0) -> Server:
        return Server(
            self.limit,
            self.length,
            steady(self.offset, drift),
            instances=instances,
            random=Random(self.seed),
        )

    @property
    def round_trip(self) -> float:
        return 2 * self.most_delay + 0.01

    def ideal(self, rows: int) -> float:
        """Give the seconds of the windows that must run out before the last one, and a round trip in each."""
        windows = math.ceil(rows / self.limit)
        last = (math.ceil(self.limit / self.concurrency) + 2) * self.round_trip
        return (windows - 1) * (self.length * 1.001 + self.round_trip) + last

    def certain(self, rows: int) -> float:
        """Give the seconds that are never passed: each window may lose the second that a `Date` is cut down to."""
        return self.ideal(rows) + math.ceil(rows / self.limit) * SECOND


@st.composite
def cases(draw: st.DrawFn, lengths: st.SearchStrategy[float] | None = None) -> Case:
    """Draw a server whose window the callers can fill: delays are short beside the window."""
    limit = draw(st.integers(1, 60))
    length = float(draw(lengths if lengths is not None else st.sampled_from([1, 2, 5, 10, 60, 61, 600])))
    concurrency = draw(st.integers(1, 64))
    longest = min(0.4, length / (6 * (math.ceil(limit / concurrency) + 3)))
    most_delay = draw(st.floats(0.0003, max(0.0004, longest)))
    least_delay = draw(st.floats(0.0002, most_delay))
    return Case(
        limit, length, draw(OFFSETS), concurrency, least_delay, most_delay, draw(st.integers(2, 6)), draw(SEEDS)
    )


def run(case: Case, rows: int, rate: float | None = None, server: Server | None = None) -> Course:
    """Simulate a case."""
    return simulate(rows, route_schedule(rate), server or case.server(), case.callers, Random(case.seed))


@given(cases())
@settings(deadline=None, max_examples=400)
def test_whole_seconds_are_never_refused(case: Case) -> None:
    """Whatever limit, clock, delays and concurrency: no 429, and a second a window is lost at most."""
    rows = case.limit * case.windows
    course = run(case, rows)
    assert course.refused == []
    assert len(course.sent) == rows
    assert course.ended <= case.certain(rows)


def test_the_windows_pace_is_reached() -> None:
    """Of 500 servers, each with 12 windows of whole seconds, 95 in a hundred lose nothing and 99 less than 3 s."""
    random, lost = Random(5), []
    for _ in range(500):
        limit, length = random.choice([1, 2, 5, 10, 30]), random.choice([2.0, 5.0, 10.0, 60.0])
        concurrency = random.choice([1, 4, 16])
        least = random.uniform(0.0002, 0.3 * length / (6 * (limit / concurrency + 4)))
        delays = (least, least * 1.2 + 0.001)
        case = Case(limit, length, random.uniform(-100, 100), concurrency, *delays, 12, random.getrandbits(32))
        course = run(case, limit * 12)
        assert course.refused == []
        lost.append(course.ended - case.ideal(limit * 12))
    lost.sort()
    assert lost[475] <= 0
    assert lost[495] <= 3


@given(cases())
@settings(deadline=None)
def test_a_window_is_sent_at_once(case: Case) -> None:
    """The whole first window leaves within the time that its calls need on the way, not spread over the window."""
    course = run(case, case.limit)
    assert course.ended <= (math.ceil(case.limit / case.concurrency) + 3) * case.round_trip


@given(cases(st.floats(1.05, 70.0).map(lambda length: round(length, 3))))
@settings(deadline=None, max_examples=400)
def test_other_lengths_are_refused_twice_at_most(case: Case) -> None:
    """A window that is no whole number of seconds is found out by two calls at most, and loses a second a window."""
    rows = case.limit * (case.windows + 3)
    course = run(case, rows)
    assert len(course.refused) <= 2
    assert course.ended <= case.certain(rows + len(course.refused)) + SECOND


def test_a_wrong_guess_costs_one_refused_call() -> None:
    """Of 300 servers whose windows are no whole seconds, 95 in a hundred refuse one of 16 callers' calls at most."""
    random, refused = Random(5), []
    for _ in range(300):
        length, seed = round(random.uniform(2, 20), 3), random.getrandbits(32)
        server = Server(20, length, steady(random.uniform(-100, 100)), random=Random(seed))
        course = simulate(20 * 8, route_schedule(None), server, Callers(16, (0.005, 0.02)), Random(seed))
        refused.append(len(course.refused))
    refused.sort()
    assert refused[285] <= 1
    assert refused[-1] <= 2


@given(cases(), st.sampled_from([100e-6, -100e-6]))
@settings(deadline=None)
def test_clocks_that_drift_apart(case: Case, drift: float) -> None:
    """A server's clock that gains or loses 100 ppm causes no 429 and no loss of pace."""
    rows = case.limit * (case.windows + 4)
    course = run(case, rows, server=case.server(drift=drift))
    assert course.refused == []
    assert course.ended <= case.certain(rows)


@given(cases(), st.integers(2, 3))
@settings(deadline=None, max_examples=300)
def test_instances_that_take_turns_refuse_nothing(case: Case, instances: int) -> None:
    """Several instances, each with windows of its own, are distinguished by their resets: no 429."""
    rows = case.limit * case.windows * instances
    course = run(case, rows, server=case.server(instances=instances))
    assert course.refused == []
    # Never more than one instance's limit may be in flight unanswered, but none may be left unused for a window.
    assert course.ended <= case.certain(rows) + case.length


@pytest.mark.parametrize("instances", [2, 3, 5])
@pytest.mark.parametrize("limit", [10, 60])
def test_instances_that_take_turns_are_filled_but_for_one_call_each(limit: int, instances: int) -> None:
    """All but one instance keep one call: once a window is full, the next call may meet any instance."""
    server = Server(limit, 60.0, steady(12.3), instances=instances, random=Random(1))
    a_window = instances * limit - (instances - 1)
    course = simulate(a_window * 6, route_schedule(None), server, Callers(), Random(1))
    assert course.refused == []
    assert course.ended <= 5 * (60.0 + 0.1) + 2.0


@given(cases(), st.floats(0.2, 50.0))
@settings(deadline=None)
def test_the_slower_of_rate_and_window_holds(case: Case, rate: float) -> None:
    """With a rate of one's own beside the window there is no 429, no gap below the rate, and no further loss."""
    rows = case.limit * case.windows
    course = run(case, rows, rate)
    assert course.refused == []
    gaps = [later - earlier for earlier, later in zip(course.sent, course.sent[1:], strict=False)]
    assert not gaps or min(gaps) >= 1 / rate - 0.012
    spread = rows * 1.004 / rate
    windowed = case.certain(rows) + case.limit * 1.004 / rate
    assert course.ended <= max(spread + case.round_trip, windowed) + SECOND


@given(cases())
@settings(deadline=None)
def test_the_first_call_goes_alone(case: Case) -> None:
    """Until an answer shows whether there is a limit, one call is in flight."""
    assert run(case, case.limit).alone == 1


def bare(reply: Reply) -> Reply:
    """Take the rate-limit headers away."""
    return reply._replace(
        headers={name: value for name, value in reply.headers.items() if not name.startswith("X-RateLimit")}
    )


@given(cases())
@settings(deadline=None)
def test_unlimited_accounts_are_not_held(case: Case) -> None:
    """Answers without headers mean no limit: after the first one all that concurrency allows is in flight."""
    rows = case.concurrency * 4 + 1
    callers = Callers(case.concurrency, (case.most_delay, case.most_delay), distort=lambda _, reply: bare(reply))
    course = simulate(rows, route_schedule(None), Server(10**6, 60.0), callers, Random(case.seed))
    assert course.most_in_flight == case.concurrency
    assert course.ended <= 5 * 2 * case.most_delay + 0.01


@given(cases(), st.lists(st.floats(0.0, 300.0), max_size=200))
@settings(deadline=None)
def test_other_clients_share_the_window(case: Case, others: list[float]) -> None:
    """Where others use up the window there are 429s; each row comes through, and the pace is back once they stop."""
    server, windows = case.server(), case.windows
    rows = case.limit * windows
    callers = Callers(case.concurrency, (case.least_delay, case.most_delay), others=tuple(others))
    course = simulate(rows, route_schedule(None), server, callers, Random(case.seed))
    assert len(course.sent) == rows + len(course.refused)
    quiet = max(others, default=0.0) + 2 * (case.length + 1.5) + case.round_trip
    assert [moment for moment in course.refused if moment > quiet] == [], "others have long stopped"
    assert course.ended <= quiet + case.certain(rows)


@pytest.mark.parametrize("by", [-600.0, -120.0, -3.0, 3.0, 120.0, 600.0])
@pytest.mark.parametrize("at", [7.0, 31.0, 59.999, 95.0])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_a_clock_that_is_set_while_the_run_goes_on(by: float, at: float, concurrency: int) -> None:
    """When the server's clock jumps, the run goes on, is refused twice at most and comes back to its pace."""
    limit, length, windows = 20, 10.0, 20
    server = Server(limit, length, stepped(at, by))
    course = simulate(limit * windows, route_schedule(None), server, Callers(concurrency=concurrency), Random(3))
    assert len(course.refused) <= 2
    # Set back, the server itself keeps its window open for that much longer.
    assert course.ended <= (windows + 1) * (length + 1.1) + max(0.0, -by)


WITHOUT: dict[str, Mapping[str, str]] = {
    "words": {"X-RateLimit-Limit": "many", "X-RateLimit-Remaining": "some", "X-RateLimit-Reset": "later"},
    "nought": {"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"},
    "negative": {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "-3", "X-RateLimit-Reset": "-1"},
    "relative": {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "42"},
    "far": {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999999"},
    "past": {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1600000000000"},
    "huge": {"X-RateLimit-Limit": "9" * 300, "X-RateLimit-Remaining": "9" * 300, "X-RateLimit-Reset": "9" * 300},
    "some": {"X-RateLimit-Limit": "10"},
    "bad date": {"Date": "yesterday"},
    "mad date": {"Date": "Mon, 99 Foo 99999 99:99:99 GMT"},
}


@pytest.mark.parametrize("nonsense", WITHOUT.values(), ids=WITHOUT)
@pytest.mark.parametrize("every", [1, 2, 5])
def test_headers_that_make_no_sense_do_no_harm(nonsense: Mapping[str, str], every: int) -> None:
    """Headers of nonsense, in all answers or some, neither block the run nor delay it beyond the windows."""

    def distort(number: int, reply: Reply) -> Reply:
        return reply if number % every else reply._replace(headers={**reply.headers, **nonsense})

    limit, length, windows = 10, 10.0, 6
    callers = Callers(distort=distort)
    course = simulate(limit * windows, route_schedule(10.0), Server(limit, length), callers, Random(4))
    assert course.ended <= (windows + 2) * (length + 2)


def test_headers_that_vanish_mean_no_limit_any_more() -> None:
    """An account that is given the permission in mid-run waits no longer than its present window."""
    callers = Callers(distort=lambda number, reply: reply if number <= 25 else bare(reply)._replace(status=200))
    course = simulate(500, route_schedule(None), Server(10, 60.0), callers, Random(5))
    assert 120 <= course.ended <= 125


@pytest.mark.parametrize("limit", [1, 10, 50])
def test_without_a_date_the_run_goes_on(limit: int) -> None:
    """A server without a Date header gets one call at a time where its window may be full, and refuses few."""
    course = simulate(limit * 5, route_schedule(None), Server(limit, 10.0, dates=False), Callers(), Random(6))
    assert course.ended <= 5 * 12.0
    assert len(course.refused) <= 5 * 2


@given(cases(), st.integers(2, 5))
@settings(deadline=None)
def test_lost_answers_count_against_the_window(case: Case, every: int) -> None:
    """The server may have counted a call whose answer is lost: at most that one is missed, and the run goes on."""
    assume(case.limit > 1)  # else after a lost answer no other call shows its window, which one call must find out
    lost = NoReply("timeout", "", True)
    callers = Callers(
        case.concurrency,
        (case.least_delay, case.most_delay),
        distort=lambda number, reply: reply if number % every else lost,
    )
    rows = case.limit * case.windows
    course = simulate(rows, route_schedule(None), case.server(), callers, Random(case.seed))
    # An answer that left the server before the lost call came there, and arrives after the loss, hides it.
    lost_answers = len(course.sent) // every
    assert len(course.refused) <= (lost_answers if case.concurrency > 1 else 0)
    # One that the server had counted when another answer left may be counted twice: a call less in that window.
    assert course.ended <= case.ideal(len(course.sent) + lost_answers) + SECOND * (
        case.windows + lost_answers / case.limit
    )


def test_only_silence() -> None:
    """When no call is ever answered, one goes at a time and the run is not locked up."""
    callers = Callers(distort=lambda *_: NoReply("timeout", "", True))
    course = simulate(40, route_schedule(None), Server(10, 60.0), callers, Random(7))
    assert course.most_in_flight == 1
    assert len(course.sent) == 40
