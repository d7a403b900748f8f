"""A 401 or a 404: when it stops the run, and when it is only one bad instance behind a load balancer."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from rolecall.engine.clock import Clock
from rolecall.engine.route_health import CONFIRM_AFTER, Credentials, CredentialsCheck
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.adaptive_concurrency import max_rows
from rolecall.models import NoReply, Outcome, Reply
from tests.unit.engine.answers import BAD_GATEWAY, NOT_A_LEADER, OK, TIMEOUT, TOO_MANY, UNAUTHORIZED, reply
from tests.unit.engine.runs import PLAIN, TOOK, Run, Start, Step, on_disk
from tests.unit.engine.virtual import BEGINNING, turns

UNKNOWN_ROUTE = reply(404, b'{"success":false,"error":"API endpoint not found"}')
ALONE = replace(PLAIN, concurrency=1)
REMOVED = {(Outcome.REMOVED, ""): 30}
LOGIN_PAGE = reply(401, b"<html>401 Authorization Required</html>")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts runs."""
    starter = Start(tmp_path / "ledger.sqlite")
    yield starter
    starter.done()


def users(count: int = 30) -> list[str]:
    """Name users, each in a room of their own."""
    return [f"u{number}" for number in range(count)]


def in_turn(*answers: Reply | NoReply) -> Callable[[float], Reply | NoReply]:
    """Return what answers `me` with these, one after the other; the last one stays."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("answer", [UNAUTHORIZED, UNKNOWN_ROUTE])
@pytest.mark.parametrize("user", ["u0", "u12"])
async def test_a_single_refusal_stops_nothing(start: Start, answer: Reply, user: str) -> None:
    """With a good `me` the row is sent again, and the refused attempt does not count."""
    run = start(users(), {user: [answer, OK]}, ALONE)
    await run.go()
    assert run.stop.reason is None
    assert run.outcomes() == REMOVED
    assert run.results()[user].attempts == 1
    assert len(run.client.calls) == 31


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_two_refusals_of_me_stop_the_run(start: Start, concurrency: int) -> None:
    """All rows that got a 401 share one check: `me` is read twice, a second apart, and no rows but those under way."""
    revoked_at = 0.3
    run = start(
        users(200),
        lambda now: UNAUTHORIZED if now - BEGINNING > revoked_at else OK,
        replace(PLAIN, concurrency=concurrency),
    )
    run.client.me_answer = lambda _: UNAUTHORIZED
    await run.go()
    assert run.stop.reason is StopReason.CREDENTIALS
    first, second = run.client.me
    assert second - first == pytest.approx(CONFIRM_AFTER + TOOK)
    assert len([moment for _, moment in run.client.calls if moment - BEGINNING > revoked_at]) == max_rows(concurrency)
    assert {outcome for outcome, _ in run.outcomes()} == {Outcome.REMOVED, Outcome.NOT_ATTEMPTED}
    assert not any(doubt for doubt, _, _ in on_disk(run.path).values())


@pytest.mark.parametrize("second", [OK, LOGIN_PAGE, BAD_GATEWAY, TIMEOUT, TOO_MANY])
async def test_one_refusal_of_me_stops_nothing(start: Start, second: Reply | NoReply) -> None:
    """A `me` that refuses once and then says anything else proves nothing: the row is sent again."""
    run = start(users(), {"u3": [UNAUTHORIZED, OK]}, ALONE)
    run.client.me_answer = in_turn(UNAUTHORIZED, second)
    await run.go()
    assert run.stop.reason is None
    assert run.outcomes() == REMOVED


@pytest.mark.parametrize("me", [LOGIN_PAGE, BAD_GATEWAY, TIMEOUT, TOO_MANY])
async def test_a_me_that_does_not_answer_ends_in_an_outage(start: Start, me: Reply | NoReply) -> None:
    """Refused rows wait for as long as an outage may last; then the run stops, and they are due."""
    run = start(users(), lambda _: UNAUTHORIZED, replace(ALONE, outage_timeout=60.0))
    run.client.me_answer = lambda _: me
    await run.go()
    assert run.stop.reason is StopReason.OUTAGE
    assert 60 <= asyncio.get_running_loop().time() - BEGINNING <= 70
    assert run.outcomes() == {(Outcome.NOT_ATTEMPTED, "outage"): 30}
    assert on_disk(run.path)["u0"][0] == 0


@pytest.mark.parametrize(
    ("answer", "reason"), [(UNKNOWN_ROUTE, StopReason.NO_SUCH_ROUTE), (UNAUTHORIZED, StopReason.CREDENTIALS)]
)
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_route_that_refuses_every_call_stops_the_run(
    start: Start, concurrency: int, answer: Reply, reason: StopReason
) -> None:
    """Three refusals one after the other, with a good `me` and no success, are enough; parallel ones count once."""
    run = start(users(), lambda _: answer, replace(PLAIN, concurrency=concurrency))
    await run.go()
    assert run.stop.reason is reason
    assert len(run.client.calls) == max_rows(concurrency) + 2
    assert {reason for _, reason in run.outcomes()} == {reason.value}
    assert run.ledger.count_due(retry_failed=False)[0] == 30


@pytest.mark.parametrize("good", [OK, NOT_A_LEADER])
async def test_a_route_that_has_accepted_a_call_exists(start: Start, good: Reply) -> None:
    """After one success, or one refusal of a row by Rocket.Chat, no number of 404 is 'no such route'."""
    steps: dict[str, list[Step]] = {user: [UNKNOWN_ROUTE] for user in users()[1:]}
    run = start(users(), {"u0": [good], **steps}, replace(PLAIN, outage_timeout=60.0))
    await run.go()
    assert run.stop.reason is StopReason.OUTAGE
    assert run.ledger.count_due(retry_failed=False)[0] == 29


async def test_a_row_that_waits_is_due_when_the_run_stops(start: Start) -> None:
    """Stopped while a refused row waits for its next attempt, the row has no doubt and no attempt."""
    run = start(users(), lambda _: UNAUTHORIZED, ALONE)
    asyncio.get_running_loop().call_later(0.4, lambda: run.stop.request(StopReason.INTERRUPTED))
    await run.go()
    assert run.stop.reason is StopReason.INTERRUPTED
    assert on_disk(run.path)["u0"] == (0, 0, None)
    assert run.outcomes() == {(Outcome.NOT_ATTEMPTED, "interrupted"): 30}


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("answer", [UNAUTHORIZED, UNKNOWN_ROUTE])
async def test_a_third_of_the_instances_may_be_bad(start: Start, first: int, answer: Reply) -> None:
    """`me` goes to the bad instance too, every third request does; what the next requests get shows that it is bad."""
    requests = count(first)

    def instance(_: float) -> Reply:
        return answer if next(requests) % 3 == 0 else OK

    run = start(users(300), instance, PLAIN)
    run.client.me_answer = instance
    await run.go()
    assert run.stop.reason is None
    assert run.outcomes() == {(Outcome.REMOVED, ""): 300}
    assert asyncio.get_running_loop().time() - BEGINNING < 60


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("after", ["3600", "60"])
async def test_a_long_retry_after_is_no_outage(start: Start, status: int, after: str) -> None:
    """A server that asks to wait for longer than an outage may last ends the run with that reason; rows are due."""
    refusal = reply(status, b'{"success":false}', {"Retry-After": after})
    run = start(users(), lambda _: refusal, replace(ALONE, outage_timeout=100.0, max_attempts=50))
    await run.go()
    assert run.stop.reason is (StopReason.RETRY_LATER if after == "3600" else StopReason.OUTAGE)
    assert ("3600" in run.stop.detail) == (after == "3600")
    assert run.ledger.count_due(retry_failed=False)[0] == 30


async def test_a_good_me_counts_for_a_few_seconds(start: Start) -> None:
    """Rows that are refused one after the other read `me` once: its own route is limited too."""
    run = start(users(), {user: [UNAUTHORIZED, OK] for user in users()[1:]}, ALONE)
    await run.go()
    assert run.outcomes() == REMOVED
    assert len(run.client.me) == 1


async def test_a_check_that_is_cancelled_leaves_the_next_one_free(start: Start) -> None:
    """A row that is cancelled during its check does not keep others from theirs."""
    run: Run = start(users(), {}, ALONE)
    run.client.me_answer = lambda _: UNAUTHORIZED
    loop = asyncio.get_running_loop()
    check, clock = CredentialsCheck(), Clock(now=loop.time)
    first, second = (asyncio.create_task(check.run(run.client, clock)) for _ in range(2))
    await turns()
    first.cancel()
    assert await second is Credentials.REFUSED
    assert len(run.client.me) == 3
