"""Pacing decisions, one at a time."""

import math
from itertools import pairwise

import pytest

from rolecall.engine.throttle.clock_bounds import DRIFT
from rolecall.engine.throttle.route_schedule import FIRST_PAUSE, LONGEST_PAUSE, Delay, DelayReason, RouteSchedule
from rolecall.engine.throttle.server_clock import ServerClock
from rolecall.engine.throttle.server_window import NOW, SAFETY, SCOUT_TIMEOUT, FixedWindowTracker
from rolecall.models import NoReply, Reply
from tests.unit.engine.answers import NO_CONNECTION, OK, TIMEOUT, reply, windowed
from tests.unit.engine.throttle.fixed_window import route_schedule

SERVER = 1_700_000_000.0
"""The server's clock when ours shows nought."""


def learnt(limit: int, remaining: int, *, length: float = 60.0, rate: float | None = None) -> RouteSchedule:
    """Give a schedule that knows, since 0, a window that ends at `length` by our clock.

    It has seen two windows before. The answers took long, so that the window's length is not beyond doubt.
    """
    schedule = route_schedule(rate)
    for at in (-2 * length - 9.0, -length - 3.0):
        assert schedule.reserve(at - 0.3) is None
        schedule.assign_slot(at - 0.3)
        earlier = windowed(limit, limit - 1, SERVER + at + length, SERVER + at, at=at)
        schedule.record_response(earlier._replace(sent_at=at - 0.3), refused=False)
    for left in range(limit - 1, remaining - 1, -1):
        at = (remaining - left) * 0.2
        assert schedule.reserve(at - 0.3) is None
        schedule.assign_slot(at - 0.3)
        answer = windowed(limit, left, SERVER + length, SERVER + at, at=at)
        schedule.record_response(answer._replace(sent_at=at - 0.3), refused=False)
    return schedule


def opening(schedule: RouteSchedule, now: float) -> float:
    """Wait until a call leaves; return when.

    The clocks may have drifted apart meanwhile, so that a wait which is over can be followed by a short one.
    """
    while (wait := schedule.reserve(now)) is not None:
        assert wait.reason is DelayReason.WINDOW
        now = wait.until
    return now


def test_nothing_more_leaves_before_the_first_answer() -> None:
    """The second call waits for the first one's answer, not for a moment."""
    schedule = route_schedule(None)
    assert schedule.reserve(0.0) is None
    assert schedule.reserve(0.0) == Delay(math.inf, DelayReason.ANSWER)


@pytest.mark.parametrize(
    "answer",
    [
        TIMEOUT,
        NO_CONNECTION,
        reply(502, b"<html>"),
        reply(429, b""),
        reply(404, b"<html>"),
        reply(200, b"{}"),
    ],
)
def test_an_answer_that_tells_nothing_leaves_the_next_call_alone_too(answer: Reply | NoReply) -> None:
    """What Rocket.Chat itself did not answer does not mean that there is no limit."""
    schedule = route_schedule(None)
    schedule.reserve(0.0)
    schedule.record_response(answer, refused=False)
    assert schedule.reserve(1.0) is None
    assert schedule.reserve(1.0) == Delay(math.inf, DelayReason.ANSWER)


def test_a_call_that_was_withdrawn_does_not_count() -> None:
    """A call that did not leave makes room for another, also in a window."""
    schedule = route_schedule(None)
    schedule.reserve(0.0)
    schedule.cancel()
    assert schedule.reserve(0.0) is None
    window = learnt(3, 2)
    assert [window.reserve(1.0), window.reserve(1.0)] == [None, None]
    assert window.reserve(1.0) is not None
    window.cancel()
    assert window.reserve(1.0) is None


def test_the_remainder_leaves_at_once_and_then_all_wait_for_the_reset() -> None:
    """Exactly the calls that are left leave, in one moment; the next waits until the window has surely ended."""
    schedule = learnt(10, 9)
    assert [schedule.reserve(0.5) for _ in range(9)] == [None] * 9
    wait = schedule.reserve(0.5)
    assert wait is not None
    assert wait.reason is DelayReason.WINDOW
    assert 60.0 <= wait.until <= 61.1
    assert schedule.reserve(wait.until - 0.001) is not None


def test_the_first_call_into_a_new_window_goes_alone() -> None:
    """The rest of the limit leaves at once when its response shows the window, and no call more."""
    schedule = learnt(4, 0)
    now = opening(schedule, 1.0)
    assert 60.0 < now < 61.1
    schedule.cancel()
    assert schedule.reserve(now) is None
    assert schedule.reserve(now) == Delay(now + SCOUT_TIMEOUT, DelayReason.ANSWER)
    schedule.record_response(windowed(4, 3, SERVER + now + 60, SERVER + now, at=now), refused=False)
    assert [schedule.reserve(now) for _ in range(3)] == [None] * 3
    assert schedule.reserve(now) is not None


def test_a_first_call_that_is_not_answered_is_followed_by_others() -> None:
    """Each call that goes without an answer for a second is followed by another one, up to the limit."""
    schedule = learnt(4, 0)
    now = opening(schedule, 1.0)
    for _ in range(3):
        delay = schedule.reserve(now)
        assert delay == Delay(now + SCOUT_TIMEOUT, DelayReason.ANSWER)
        now = delay.until
        assert schedule.reserve(now) is None
    assert schedule.reserve(now + 60.0) == Delay(math.inf, DelayReason.ANSWER)


def test_a_window_that_was_not_full_lets_as_many_calls_into_the_next_one() -> None:
    """Calls for which the old window had room leave at once: they fit, even if it goes on."""
    schedule = learnt(4, 2)
    assert [schedule.reserve(70.0) for _ in range(2)] == [None] * 2
    assert schedule.reserve(70.0) is not None


def test_calls_in_flight_over_the_reset_count_against_the_new_window() -> None:
    """A call whose answer has not come when the window ends may be counted in the next one."""
    schedule = learnt(4, 3)
    assert [schedule.reserve(1.0) for _ in range(3)] == [None] * 3
    assert [schedule.reserve(70.0), schedule.reserve(70.0)] == [None, Delay(math.inf, DelayReason.ANSWER)]


def test_an_answer_without_a_window_ends_the_one_that_was_known() -> None:
    """An account that is given the permission in mid-run waits for no reset any more."""
    schedule = learnt(2, 1)
    assert schedule.reserve(1.0) is None
    schedule.record_response(reply(200, at=1.1), refused=False)
    assert [schedule.reserve(1.1) for _ in range(20)] == [None] * 20


@pytest.mark.parametrize("body", [b"{}", b'{"success":false}', b'{"status":"ok"}'])
def test_json_of_a_proxy_does_not_end_the_window_that_was_known(body: bytes) -> None:
    """Only Rocket.Chat's own success without headers shows that the account is not limited any more."""
    schedule = learnt(2, 1)
    assert schedule.reserve(1.0) is None
    schedule.record_response(reply(200, body, at=1.1), refused=False)
    assert [schedule.reserve(1.1) for _ in range(20)].count(None) <= 1


@pytest.mark.parametrize("orders", [(3, 2, 1), (1, 2, 3), (2, 1, 3)])
def test_answers_may_come_in_any_order(orders: tuple[int, ...]) -> None:
    """What is left is the least that any answer showed."""
    schedule = learnt(5, 4)
    for _ in orders:
        schedule.reserve(0.0)
    for remaining in orders:
        schedule.record_response(windowed(5, remaining, SERVER + 60, SERVER, at=0.1), refused=False)
    assert schedule.reserve(0.2) is None
    assert schedule.reserve(0.2) is not None


def test_other_instances_have_windows_of_their_own() -> None:
    """A call must fit into every known window, for it may meet any instance."""
    schedule = learnt(5, 4)
    schedule.reserve(1.0)
    schedule.record_response(windowed(5, 0, SERVER + 30.0, SERVER + 1, at=1.0), refused=False)
    wait = schedule.reserve(1.0)
    assert wait is not None
    assert 30.0 <= wait.until <= 31.1
    assert [schedule.reserve(32.0) for _ in range(4)] == [None] * 4
    assert schedule.reserve(32.0) is not None


def test_resets_that_differ_a_little_are_one_window_that_ends_with_the_last() -> None:
    """Each answer computes its reset anew; where two instances' windows lie close, both must have ended."""
    schedule = learnt(5, 4)
    schedule.reserve(1.0)
    schedule.record_response(windowed(5, 0, SERVER + 60.09, SERVER + 1, at=1.0), refused=False)
    wait = schedule.reserve(1.0)
    assert wait is not None
    assert wait.until >= 60.09 + SAFETY - 1e-6


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        (b"You must wait 42 seconds before trying this endpoint again", {}, 42.0),
        (b"slow down", {"Retry-After": "13"}, 13.0),
        (b"You must wait 42 seconds", {"Retry-After": "13"}, 42.0),
        (b"slow down", {}, FIRST_PAUSE),
        (b"slow down", {"Retry-After": "soon"}, FIRST_PAUSE),
        (b"You must wait 999999 seconds", {}, 900.0),
        (b"", {"Retry-After": "99999999"}, 900.0),
    ],
)
def test_a_refusal_holds_all_for_as_long_as_it_says(body: bytes, headers: dict[str, str], seconds: float) -> None:
    """A 429 pauses every call for the time that it names, never longer than the maximum wait."""
    schedule = route_schedule(None)
    schedule.reserve(10.0)
    schedule.record_response(reply(429, body, headers, at=11.0), refused=True)
    assert schedule.reserve(11.0) == Delay(11.0 + seconds, DelayReason.REFUSED)
    assert schedule.reserve(11.0 + seconds - 0.001) == Delay(11.0 + seconds, DelayReason.REFUSED)
    assert schedule.reserve(11.0 + seconds) is None


def pauses(schedule: RouteSchedule, refusals: int) -> list[float]:
    """Refuse calls without a word on how long; return the pauses."""
    now, found = 0.0, []
    for _ in range(refusals):
        assert schedule.reserve(now) is None
        schedule.record_response(reply(429, b"", at=now), refused=True)
        wait = schedule.reserve(now)
        assert wait is not None
        found.append(wait.until - now)
        now = wait.until
    return found


def test_refusals_without_a_word_double_the_pause() -> None:
    """Each refusal in a row doubles the pause up to the longest; a good answer ends the row."""
    schedule = route_schedule(None)
    assert pauses(schedule, 8) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE, LONGEST_PAUSE]
    schedule.reserve(1e6)
    schedule.record_response(OK._replace(received_at=1e6), refused=False)
    schedule.reserve(1e6 + 9)
    schedule.record_response(reply(429, b"", at=1e6 + 9), refused=True)
    assert schedule.reserve(1e6 + 9) == Delay(1e6 + 9 + FIRST_PAUSE, DelayReason.REFUSED)


def test_refusals_without_end_keep_the_longest_pause() -> None:
    """Also after thousands of refusals the pause is the longest, and nothing overflows."""
    assert pauses(route_schedule(None), 1500)[-1] == LONGEST_PAUSE


def test_calls_refused_together_are_one_refusal() -> None:
    """The calls in flight beside a refused one are refused too; that doubles nothing."""
    schedule = route_schedule(None)
    schedule.reserve(0.0)
    schedule.record_response(OK, refused=False)
    for _ in range(5):
        assert schedule.reserve(9.0) is None
    for _ in range(5):
        schedule.record_response(reply(429, b"", at=9.1), refused=True)
    assert schedule.reserve(9.2) == Delay(9.1 + FIRST_PAUSE, DelayReason.REFUSED)
    schedule.reserve(11.0)
    schedule.record_response(reply(429, b"", at=11.0), refused=True)
    assert schedule.reserve(11.0) == Delay(11.0 + 2 * FIRST_PAUSE, DelayReason.REFUSED)


def test_a_later_shorter_hold_does_not_shorten_an_earlier_one() -> None:
    """Of several pauses the longest applies."""
    schedule = route_schedule(None)
    schedule.reserve(0.0)
    schedule.record_response(OK, refused=False)
    schedule.reserve(0.0)
    schedule.reserve(0.0)
    schedule.record_response(reply(429, b"", {"Retry-After": "30"}, at=1.0), refused=True)
    schedule.record_response(reply(429, b"", {"Retry-After": "5"}, at=2.0), refused=True)
    assert schedule.reserve(2.0) == Delay(31.0, DelayReason.REFUSED)


@pytest.mark.parametrize(("status", "pauses_calls"), [(503, True), (500, True), (400, False), (200, False)])
def test_a_server_error_may_pause_calls(status: int, pauses_calls: bool) -> None:
    """`Retry-After` on a 5xx pauses all calls; elsewhere it has no effect."""
    schedule = route_schedule(None)
    schedule.reserve(0.0)
    schedule.record_response(reply(status, b"{}", {"Retry-After": "20"}, at=1.0), refused=False)
    assert schedule.reserve(1.0) == (Delay(21.0, DelayReason.REFUSED) if pauses_calls else None)


def test_the_own_rate_is_used_only_by_calls_that_leave() -> None:
    """Calls that wait for the window use no slot of the own rate."""
    schedule = learnt(2, 0, rate=10.0)
    now = opening(schedule, 0.05)
    schedule.assign_slot(now)
    schedule.record_response(windowed(2, 1, SERVER + now + 60, SERVER + now, at=now), refused=False)
    wait = schedule.reserve(now)
    assert wait is not None
    assert wait.reason is DelayReason.RATE
    assert wait.until - now == pytest.approx(0.1, rel=0.01)


def test_a_window_is_not_believed_beyond_the_maximum_wait() -> None:
    """However far away a reset is, no wait is longer than the maximum wait."""
    schedule = route_schedule(None, max_wait=30.0)
    schedule.reserve(0.0)
    schedule.record_response(windowed(5, 0, SERVER + 3600, SERVER, at=0.0), refused=False)
    assert schedule.reserve(1.0) == Delay(30.0, DelayReason.WINDOW)


def test_a_window_that_has_ended_when_its_answer_comes_is_not_kept() -> None:
    """An answer that took long delays no other call."""
    schedule = learnt(5, 4)
    schedule.reserve(1.0)
    late = windowed(5, 0, SERVER + 60, SERVER + 1, at=80.0)._replace(sent_at=1.0)
    schedule.record_response(windowed(5, 3, SERVER + 130, SERVER + 80, at=80.0), refused=False)
    schedule.reserve(80.0)
    schedule.record_response(late, refused=False)
    assert schedule.reserve(80.0) is None


def test_the_limit_is_told() -> None:
    """The window's limit is known from the first answer on, and not before."""
    window = FixedWindowTracker()
    before = window.status(0.0)
    window.record_request(0.0)
    window.record_response(windowed(17, 16, SERVER + 60, SERVER, at=0.0))
    known = window.status(0.0)
    assert (before, known and known.limit) == (None, 17)
    assert window.opens_at(0.0) == NOW


def test_a_refused_call_does_not_open_a_window() -> None:
    """With a limit of one a refused answer too has `limit - 1` left; nothing is learnt of the clock from it."""
    window, clock = FixedWindowTracker(), ServerClock()
    for index, (reset, at) in enumerate(((60.0, 0.0), (121.5, 61.5), (183.0, 123.0))):
        for moment in (at, at + 0.3, at + 0.6):
            clock.record_date(float(int(SERVER + moment)), moment, moment)
            window.record_request(0.0)
            refused = moment != at
            answer = windowed(1, 0, SERVER + reset, SERVER + moment, at=moment, status=429 if refused else 200)
            window.record_response(answer, refused=refused)
            if not refused:
                clock.record_window_start(SERVER + reset, moment, moment)
        expected = clock.to_local(SERVER + reset, at + 0.7)
        assert expected is not None
        assert window.opens_at(at + 0.7) == pytest.approx(expected + SAFETY, abs=1e-6), f"window {index}"


def dates(clock: ServerClock, offset: float, moments: list[float], round_trip: float = 0.0) -> None:
    """Let a clock see `Date` headers of a server that is `offset` ahead."""
    for moment in moments:
        clock.record_date(float(math.floor(moment + offset)), moment - round_trip / 2, moment + round_trip / 2)


@pytest.mark.parametrize("offset", [0.0, 0.5, -90.25, 1e6 + 0.75])
def test_dates_place_the_clock_within_a_second_and_never_too_early(offset: float) -> None:
    """One `Date` places the server's clock within a second, many almost exactly; the result is never too early."""
    one, many = ServerClock(), ServerClock()
    dates(one, offset, [10.3])
    dates(many, offset, [10.0 + step * 0.037 for step in range(60)])
    for clock, most in ((one, 1.0 + 1e-3), (many, 0.05)):
        local = clock.to_local(100.0 + offset, 13.0)
        assert local is not None
        assert 100.0 - 1e-6 <= local <= 100.0 + most


def test_a_clock_of_which_nothing_is_known() -> None:
    """Before any answer no moment of the server is known."""
    assert ServerClock().to_local(5.0, 5.0) is None


def test_a_clock_that_was_set_is_learnt_anew() -> None:
    """A `Date` that contradicts the earlier ones replaces them."""
    clock = ServerClock()
    dates(clock, 0.0, [1.0, 2.0])
    dates(clock, 300.0, [3.0])
    local = clock.to_local(400.0, 3.0)
    assert local is not None
    assert 100.0 <= local <= 101.0


def test_what_is_known_of_a_clock_grows_old() -> None:
    """Without new answers the resulting moments move away from the exact one, by the drift of two clocks."""
    clock = ServerClock()
    dates(clock, 0.0, [0.0])
    local = [clock.to_local(1e6, now) for now in (0.0, 1000.0, 10_000.0)]
    assert all(
        later is not None and earlier is not None and 0.1 < later - earlier < 10 for earlier, later in pairwise(local)
    )


def opened(clock: ServerClock, offset: float, at: float, length: float) -> None:
    """Let a clock see a window open at `at`, answered with a round trip of 10 ms."""
    clock.record_date(float(math.floor(at + offset)), at - 0.005, at + 0.005)
    clock.record_window_start(at + offset + length, at - 0.005, at + 0.005)


def is_guessing(clock: ServerClock) -> bool:
    """Tell whether the window's length is a guess now."""
    return clock.longest_window < math.inf


@pytest.mark.parametrize("length", [1.0, 5.0, 60.0, 3600.0])
def test_a_window_of_whole_seconds_makes_the_clock_exact(length: float) -> None:
    """Once the length is beyond doubt the clock is known to milliseconds, and stays so in the second window."""
    clock, offset = ServerClock(), 12.345
    dates(clock, offset, [step * 0.02 for step in range(60)], 0.01)
    opened(clock, offset, 2.0, length)
    assert is_guessing(clock)
    local = clock.to_local(50.0 + offset, 2.1)
    assert local is not None
    assert 50.0 <= local <= 50.011
    opened(clock, offset, 2.5 + length, length)
    assert is_guessing(clock)
    local = clock.to_local(50.0 + offset, 2.6 + length)
    assert local is not None
    assert 50.0 - 1e-6 <= local <= 50.011 + length * DRIFT


def test_a_guess_that_is_contradicted_is_dropped_for_good() -> None:
    """When windows open where the guessed length says that they cannot, only `Date` headers count from then on."""
    clock, offset = ServerClock(), 0.0
    dates(clock, offset, [step * 0.02 for step in range(60)], 0.2)
    opened(clock, offset, 2.5, 10.0)
    assert is_guessing(clock)
    clock.record_window_start(13.7 + 10.0 + 0.5, 13.695, 13.705)
    assert not is_guessing(clock)
    for moment in (30.5, 41.5):
        opened(clock, offset, moment, 10.0)
    local = clock.to_local(50.0, 41.5)
    assert local is not None
    assert 50.05 < local <= 50.2, "the Date headers' own exactness"


def test_a_length_that_is_not_beyond_doubt_is_not_guessed() -> None:
    """While the `Date` headers leave two whole numbers of seconds, nothing is guessed."""
    clock = ServerClock()
    clock.record_date(1.0, 0.9, 1.9)
    clock.record_window_start(61.5, 0.9, 1.9)
    assert not is_guessing(clock)
    assert clock.to_local(10.0, 1.9) == pytest.approx(10.9)


def test_a_cancelled_call_is_taken_out_of_each_count() -> None:
    """Of three calls into a new window two leave: they are in flight, counted, and all that the window has lost."""
    tracker = learnt(5, 4).window
    calls = tracker.calls
    assert tracker.opens_at(70.0) == NOW
    for _ in range(3):
        tracker.record_request(70.0)
    tracker.cancel_request()
    status = tracker.status(70.0)
    assert status is not None
    assert (tracker.calls, tracker.in_flight, status.left) == (calls + 2, 2, 3)


@pytest.mark.parametrize(
    ("reset", "until"),
    [(53.5, 53.5), (53.96, 54.0), (52.5, 54.0), (30.0, 54.0)],
    ids=["the clock knows better", "beyond the wait", "too early", "contradicted"],
)
def test_a_stated_wait_is_rounded_up(reset: float, until: float) -> None:
    """Where the clock agrees with "wait 42 seconds" the window's own end counts, which is up to a second earlier."""
    schedule = learnt(5, 4)
    schedule.reserve(11.0)
    answer = windowed(5, 0, SERVER + reset, SERVER + 12.0, at=12.0, status=429)
    body = b"You must wait 42 seconds before trying this endpoint again"
    schedule.record_response(answer._replace(body=body, sent_at=12.0), refused=True)
    delay = schedule.server_delay(12.0)
    assert delay is not None
    assert delay.until == pytest.approx(until, abs=0.06)


@pytest.mark.parametrize("remaining", ["-1", "few"])
def test_headers_that_make_no_sense_do_not_end_a_limit(remaining: str) -> None:
    """A success with headers that cannot be used is no success without headers."""
    schedule = learnt(2, 1)
    assert schedule.reserve(1.0) is None
    answer = windowed(2, 0, SERVER + 60, SERVER + 1, at=1.1)
    spoiled = answer._replace(headers={**answer.headers, "X-RateLimit-Remaining": remaining})
    schedule.record_response(spoiled, refused=False)
    assert [schedule.reserve(1.1) for _ in range(20)].count(None) <= 1
