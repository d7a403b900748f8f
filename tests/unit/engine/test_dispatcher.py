"""The whole engine in virtual time, over a real store file: the outcome of each row in every course of events."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolecall.engine.prior_reader import CHUNK
from rolecall.engine.settings import FailureThreshold
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.rate_limiter import PacedRateLimiter
from rolecall.models import NoReply, Outcome, Reply
from tests.unit.engine.answers import (
    ARCHIVED,
    BAD_GATEWAY,
    FORBIDDEN,
    LOST,
    NO_CONNECTION,
    NO_SUCH_ROOM,
    NO_SUCH_USER,
    NOT_A_LEADER,
    OK,
    SERVER_ERROR,
    TIMEOUT,
    TOO_MANY,
    UNAUTHORIZED,
    refusal,
    reply,
)
from tests.unit.engine.runs import PLAIN, TOOK, Run, Scripted, Start, Step, on_disk
from tests.unit.engine.throttle.fixed_window import Server
from tests.unit.engine.virtual import BEGINNING, run_virtual, turns

REMOVED, NOT_LEADER, FAILED, UNKNOWN = Outcome.REMOVED, Outcome.NOT_LEADER, Outcome.FAILED, Outcome.UNKNOWN
NOT_ATTEMPTED = Outcome.NOT_ATTEMPTED
LOGIN_PAGE, MOVED = reply(200, b"<html>Sign in</html>"), reply(302, b"")
BLOCKED = reply(403, b"<html>Blocked by the firewall</html>")
UNTYPED = reply(400, b'{"success":false,"error":"Match error: Expected string"}')


@pytest.fixture(autouse=True)
def longest_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each backoff as long as its bound, so that moments are known."""
    monkeypatch.setattr("tenacity.wait.random.uniform", lambda low, high: high)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give what starts runs."""
    starter = Start(tmp_path / "ledger.sqlite")
    yield starter
    starter.done()


def users(count: int) -> list[str]:
    """Name users, each in a room of their own."""
    return [f"u{number}" for number in range(count)]


def now() -> float:
    """Give virtual seconds since the beginning."""
    return asyncio.get_running_loop().time() - BEGINNING


@pytest.mark.parametrize(
    ("steps", "outcome", "reason", "attempts"),
    [
        ([OK], REMOVED, "", 1),
        ([NOT_A_LEADER], NOT_LEADER, "", 1),
        ([NO_SUCH_USER], FAILED, "user_not_found", 1),
        ([FORBIDDEN], FAILED, "forbidden", 1),
        ([ARCHIVED], FAILED, "room_archived", 1),
        ([TIMEOUT, OK], REMOVED, "", 2),
        ([TIMEOUT, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([LOST, NO_CONNECTION, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 3),
        ([SERVER_ERROR, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([BAD_GATEWAY, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([LOGIN_PAGE, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([NO_CONNECTION, NOT_A_LEADER], NOT_LEADER, "", 2),
        ([NO_CONNECTION, OK], REMOVED, "", 2),
        ([MOVED, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([TOO_MANY, NOT_A_LEADER], NOT_LEADER, "", 1),
        ([TOO_MANY] * 9 + [OK], REMOVED, "", 1),
        ([TOO_MANY, TIMEOUT, TOO_MANY, TOO_MANY, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([TIMEOUT], UNKNOWN, "timeout", 3),
        ([LOST], UNKNOWN, "answer_lost", 3),
        ([SERVER_ERROR], UNKNOWN, "server_error", 3),
        ([LOGIN_PAGE], UNKNOWN, "untrusted_answer", 3),
        ([TIMEOUT, NO_CONNECTION], UNKNOWN, "connect_failed", 3),
        ([NO_CONNECTION], FAILED, "connect_failed", 3),
        ([MOVED], UNKNOWN, "redirected", 3),
        ([UNTYPED], UNKNOWN, "server_exception", 3),
        ([UNTYPED, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([refusal("error-brand-new")], UNKNOWN, "unknown_error", 3),
        ([BLOCKED], UNKNOWN, "untrusted_answer", 3),
        ([BLOCKED, NOT_A_LEADER], REMOVED, "confirmed_on_retry", 2),
        ([reply(522, b"")], UNKNOWN, "proxy_error", 3),
        ([NO_CONNECTION, TIMEOUT, NO_SUCH_USER], UNKNOWN, "user_not_found", 3),
    ],
)
async def test_the_outcome_of_a_row(
    start: Start, steps: list[Step], outcome: Outcome, reason: str, attempts: int
) -> None:
    """Each course of answers ends in the outcome of the table for an unknown prior state."""
    run = start(["u"], {"u": steps})
    await run.go()
    result = run.results()["u"]
    assert (result.outcome, result.reason, result.attempts) == (outcome, reason, attempts)
    assert result.finished_at is not None
    assert result.duration_ms == round(TOOK * 1000)
    assert run.stop.reason is None


@pytest.mark.parametrize(
    ("steps", "doubt"),
    [
        ([OK], 0),
        ([NO_SUCH_USER], 0),
        ([TIMEOUT, NOT_A_LEADER], 0),
        ([TIMEOUT], 1),
        ([NO_CONNECTION], 0),
        ([TIMEOUT, NO_SUCH_USER], 1),
    ],
)
async def test_the_doubt_that_stays(start: Start, steps: list[Step], doubt: int) -> None:
    """After the run a row is in doubt where an attempt may have been carried out that no answer explains."""
    run = start(["u"], {"u": steps})
    await run.go()
    message = run.results()["u"].message
    assert on_disk(run.path)["u"][0] == doubt
    assert ("may have been carried out" in message) == (steps == [TIMEOUT, NO_SUCH_USER])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"success":true,"joined":false}', "room_not_joined"),
        (b'{"success":true,"joined":true}', "room_not_found"),
        (b'{"success":false,"errorType":"error-room-not-found"}', "room_not_found"),
    ],
)
async def test_a_room_that_is_not_found_is_looked_at_closer(start: Start, body: bytes, reason: str) -> None:
    """One call shows whether the room exists; its other rows get the same reason without a call."""
    run = start([("r", user) for user in users(20)], {"u0": [NO_SUCH_ROOM]})
    run.client.counters_answer = reply(200, body)
    await run.go()
    assert run.outcomes() == {(FAILED, reason): 20}
    assert run.client.counters == ["r"]
    assert [user for user, _ in run.client.calls] == ["u0"]
    others = [result for user, result in run.results().items() if user != "u0"]
    assert all(result.attempts == 0 and result.duration_ms is None and "line 2" in result.message for result in others)


async def test_an_id_that_is_a_name_is_recognised(start: Start) -> None:
    """One more call shows that there is a room of this name; an id like those of the server costs none."""
    own_id = "Zk3PdVx7RmLq2WcTn"
    run = start([("finance", "u0"), (own_id, "u1")], lambda _: NO_SUCH_ROOM, replace(PLAIN, concurrency=1))
    run.client.counters_answer = reply(400, b'{"success":false,"errorType":"error-room-not-found"}')
    run.client.name_answer = reply(200, b'{"success":true,"group":{"_id":"R1","name":"finance"}}')
    await run.go()
    assert run.client.names == ["finance"]
    assert run.outcomes() == {(FAILED, "room_not_found"): 2}
    assert run.results()["u0"].message.startswith("finance is no id but a name; its id is R1. Call the column roomName")


async def test_every_finished_row_is_counted(start: Start) -> None:
    """The counts of a session are those of its outcomes, sent or not."""
    script: dict[str, list[Step]] = {"u1": [NOT_A_LEADER], "u2": [TIMEOUT], "u3": [NO_SUCH_USER], "u4": [ARCHIVED]}
    run = start([*users(5), ("room-u4", "u5")], script, replace(PLAIN, concurrency=1))
    await run.go()
    assert run.counted == {REMOVED: 1, NOT_LEADER: 1, UNKNOWN: 1, FAILED: 3}


async def test_without_the_room_cache_each_row_is_asked(start: Start) -> None:
    """With the room cache off every row of a rejected room is sent."""
    run = start([("r", user) for user in users(9)], lambda _: ARCHIVED, replace(PLAIN, room_cache=False))
    await run.go()
    assert len(run.client.calls) == 9
    assert run.outcomes() == {(FAILED, "room_archived"): 9}


async def test_groups_counters_that_is_refused_is_not_asked_again(start: Start) -> None:
    """An account without that route costs one call, not one a room."""
    run = start(users(9), lambda _: NO_SUCH_ROOM, replace(PLAIN, concurrency=1))
    run.client.counters_answer = reply(403, b"{}")
    await run.go()
    assert len(run.client.counters) == 1
    assert run.outcomes() == {(FAILED, "room_not_found"): 9}


async def test_every_row_is_sent_once_and_no_more_at_a_time_than_allowed(start: Start) -> None:
    """A hundred good rows take a hundred calls, eight at a time."""
    run = start(users(100), {})
    await run.go()
    assert sorted(user for user, _ in run.client.calls) == sorted(users(100))
    assert run.client.most_in_flight == 8
    assert run.outcomes() == {(REMOVED, ""): 100}
    assert now() == pytest.approx((1 + 13) * TOOK, rel=0.01)


async def test_signs_of_overload_lower_what_is_in_flight(start: Start) -> None:
    """A workspace that fails under eight calls at once gets fewer, and all rows come through."""
    client: Scripted

    def answer(_: float) -> Step:
        return SERVER_ERROR if client.in_flight > 3 else 1.0

    run = start(users(60), answer, replace(PLAIN, max_attempts=20))
    client = run.client
    await run.go()
    assert run.outcomes() == {(REMOVED, ""): 60}
    assert "overload" in run.log.events
    assert len(client.calls) <= 60 + 50


async def test_good_answers_bring_the_calls_in_flight_back(start: Start) -> None:
    """After an overload that has passed, as many calls as before are in flight again."""
    client: Scripted
    in_flight: list[int] = []

    def answer(moment: float) -> Step:
        in_flight.append(client.in_flight)
        return SERVER_ERROR if moment - BEGINNING < 5 and client.in_flight > 3 else 1.0

    run = start(users(300), answer, replace(PLAIN, max_attempts=20))
    client = run.client
    await run.go()
    assert "overload" in run.log.events
    assert max(in_flight[-100:]) == 8


async def test_the_own_rate_is_kept(start: Start) -> None:
    """Thirty rows at ten a second take three seconds."""
    run = start(users(30), {}, replace(PLAIN, rate=10.0))
    await run.go()
    assert now() == pytest.approx(29 * 0.1 + TOOK, rel=0.02)


async def test_a_row_that_waits_for_its_slot_with_its_intent_on_disk_takes_it_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between the commit of its intent and its slot, a row was not sent, and the store says so."""
    monkeypatch.setattr(PacedRateLimiter, "lead", 0.5)
    run = start(users(4), {}, replace(PLAIN, rate=1.0))

    async def stop() -> None:
        await asyncio.sleep(1.007 - 0.25)
        assert [doubt for doubt, _, _ in on_disk(run.path).values()] == [0, 1, 0, 0]
        run.stop.request(StopReason.INTERRUPTED)

    await asyncio.gather(run.go(), stop())
    assert [user for user, _ in run.client.calls] == ["u0"]
    assert list(on_disk(run.path).values()) == [(0, 1, "removed"), (0, 0, None), (0, 0, None), (0, 0, None)]


async def test_the_servers_window_is_filled_and_never_passed(start: Start) -> None:
    """Three windows' rows take two windows' time, without a single 429."""
    server = Server(10, 60.0)

    def answer(moment: float) -> Reply:
        status, headers, body = server.take(moment)
        return reply(status, body, headers)

    run = start(users(30), answer)
    await run.go()
    assert len(run.client.calls) == 30
    assert run.outcomes() == {(REMOVED, ""): 30}
    assert 120 <= now() <= 124
    assert run.log.events.count("rate limit pause") == 2


@pytest.mark.parametrize(("steps", "at", "attempts"), [([TOO_MANY, OK], 3.0, 0), ([NO_CONNECTION, OK], 0.4, 1)])
async def test_an_intent_is_taken_back_while_its_row_waits(
    start: Start, steps: list[Step], at: float, attempts: int
) -> None:
    """After a call that was certainly not carried out, the row is not in doubt in the store while it waits."""
    run = start(["u"], {"u": steps})
    seen: list[tuple[int, int, str | None]] = []
    asyncio.get_running_loop().call_later(at, lambda: seen.append(on_disk(run.path)["u"]))
    await run.go()
    assert seen == [(0, attempts, None)]
    assert run.client.calls[1][1] - BEGINNING > at


@pytest.mark.parametrize("doubtful", [TIMEOUT, MOVED])
async def test_a_doubt_is_not_taken_back(start: Start, doubtful: Step) -> None:
    """After a lost answer or a redirect a later certain miss leaves the doubt on disk."""
    run = start(["u"], {"u": [doubtful, TOO_MANY, OK]})
    seen: list[tuple[int, int, str | None]] = []
    for moment in (0.3, 3.0):
        asyncio.get_running_loop().call_later(moment, lambda: seen.append(on_disk(run.path)["u"]))
    await run.go()
    assert [doubt for doubt, _, _ in seen] == [1, 1]
    assert [attempts for _, attempts, _ in seen] == [1, 1], "'too many requests' costs no attempt"


async def test_a_refused_call_pauses_all_rows(start: Start) -> None:
    """A 429 that names seven seconds pauses all rows for them, and none fails."""
    run = start(users(20), {"u9": [TOO_MANY, OK]})
    await run.go()
    refused_at = next(moment for user, moment in run.client.calls if user == "u9") + TOOK
    assert not [user for user, moment in run.client.calls if refused_at < moment < refused_at + 7]
    assert run.outcomes() == {(REMOVED, ""): 20}


async def test_refused_credentials_stop_the_run(start: Start) -> None:
    """The row that got the 401 is due again like all others, and nothing is sent any more."""
    run = start(users(50), {"u5": [UNAUTHORIZED]}, replace(PLAIN, concurrency=1))
    run.client.me_answer = lambda _: UNAUTHORIZED
    await run.go()
    results = run.results()
    assert run.stop.reason is StopReason.CREDENTIALS
    assert [user for user, _ in run.client.calls] == users(6)
    assert run.outcomes() == {(REMOVED, ""): 5, (NOT_ATTEMPTED, "credentials"): 45}
    assert on_disk(run.path)["u5"] == (0, 1, None)
    assert results["u5"].outcome is NOT_ATTEMPTED
    assert run.ledger.count_due(retry_failed=False)[0] == 45


async def test_ten_refusals_of_the_method_in_a_row_stop_the_run(start: Start) -> None:
    """Each 403 fails its row; the tenth in a row is a matter of the credentials."""
    run = start(users(40), {user: [FORBIDDEN] for user in users(40) if user != "u9"}, replace(PLAIN, concurrency=1))
    await run.go()
    assert run.stop.reason is StopReason.CREDENTIALS
    assert len(run.client.calls) == 20
    assert run.outcomes() == {(FAILED, "forbidden"): 19, (REMOVED, ""): 1, (NOT_ATTEMPTED, "credentials"): 20}


async def test_too_many_failures_stop_the_run(start: Start) -> None:
    """The failure beyond the threshold stops it; the other rows are due."""
    limited = replace(PLAIN, concurrency=1, max_failures=FailureThreshold(2, is_percent=False))
    run = start(users(30), lambda _: NO_SUCH_USER, limited)
    await run.go()
    assert run.stop.reason is StopReason.MAX_FAILURES
    assert run.outcomes() == {(FAILED, "user_not_found"): 3, (NOT_ATTEMPTED, "max_failures"): 27}


def away_until(moment: float, fault: NoReply | Reply) -> Callable[[float], Step]:
    """Give a workspace that is away until a moment after the beginning."""
    return lambda now: OK if now - BEGINNING >= moment else fault


@pytest.mark.parametrize("fault", [NO_CONNECTION, TIMEOUT, BAD_GATEWAY])
async def test_an_outage_is_waited_out(start: Start, fault: NoReply | Reply) -> None:
    """While the workspace is away rows wait and lose no attempt; then all go on at once."""
    run = start(users(40), away_until(120.0, fault), replace(PLAIN, max_attempts=5))
    await run.go()
    results = run.results()
    assert run.outcomes() == {(REMOVED, ""): 40}
    assert max(result.attempts for result in results.values()) <= 5
    assert len(run.client.calls) <= 40 + 8 + 5 + 20
    assert now() <= 120 + 16 + 1 + 30
    assert run.log.events.count("outage began") == run.log.events.count("outage ended") == 1


async def test_probes_cost_no_attempt(start: Start) -> None:
    """The fault that opens the breaker, and the probes through a long outage, cost no attempt, even with one worker."""
    alone = replace(PLAIN, max_attempts=5, concurrency=1)
    run = start(users(3), away_until(600.0, NO_CONNECTION), alone)
    await run.go()
    assert run.outcomes() == {(REMOVED, ""): 3}
    assert [run.results()[user].attempts for user in users(3)] == [5, 1, 1]
    assert len(run.client.calls) > 40


@pytest.mark.parametrize(("fault", "outcome"), [(NO_CONNECTION, NOT_ATTEMPTED), (TIMEOUT, UNKNOWN)])
async def test_an_outage_without_end_stops_the_run(start: Start, fault: NoReply, outcome: Outcome) -> None:
    """After the outage timeout the run stops; rows are due again, in doubt only where something may have been sent."""
    run = start(users(40), lambda _: fault, replace(PLAIN, max_attempts=50, outage_timeout=60.0))
    await run.go()
    assert run.stop.reason is StopReason.OUTAGE
    assert 60 <= now() <= 60 + 16
    sent = {user for user, _ in run.client.calls}
    results = run.results()
    assert {results[user].outcome for user in sent} == {outcome}
    assert {result.outcome for user, result in results.items() if user not in sent} == {NOT_ATTEMPTED}
    assert run.ledger.count_due(retry_failed=False)[0] == 40


async def test_refusals_without_end_stop_the_run(start: Start) -> None:
    """When nothing but 429 comes for longer than the outage timeout, the run stops with all rows due."""
    run = start(users(5), lambda _: TOO_MANY, replace(PLAIN, outage_timeout=60.0))
    await run.go()
    assert run.stop.reason is StopReason.OUTAGE
    assert 60 <= now() <= 60 + 8
    assert run.outcomes() == {(NOT_ATTEMPTED, "outage"): 5}


async def test_refusals_with_answers_between_them_do_not_stop_the_run(start: Start) -> None:
    """However long a run is refused now and then, answers between the refusals show that it gets on."""
    run = start(
        users(20), {user: [TOO_MANY, OK] for user in users(20)}, replace(PLAIN, concurrency=1, outage_timeout=60.0)
    )
    await run.go()
    assert run.outcomes() == {(REMOVED, ""): 20}
    assert now() > 2 * 60


async def stop_after(run: Run, seconds: float) -> None:
    """Ask a run to stop after a while, as a first Ctrl-C does."""
    loop = asyncio.get_running_loop()
    loop.call_later(seconds, lambda: run.stop.request(StopReason.INTERRUPTED))
    await run.go()


async def test_the_calls_in_flight_are_awaited_and_nothing_new_is_sent(start: Start) -> None:
    """Once a stop is requested, answers within the shutdown timeout count, and no further row is sent."""
    run = start(users(50), {"u0": [OK], **{user: [5.0] for user in users(50)[1:]}})
    await stop_after(run, 1.0)
    assert len(run.client.calls) == 1 + 8
    assert now() == pytest.approx(5.0 + TOOK)
    assert run.outcomes() == {(REMOVED, ""): 9, (NOT_ATTEMPTED, "interrupted"): 41}


async def test_intents_that_were_written_ahead_are_rolled_back_at_a_stop(start: Start) -> None:
    """While eight calls are in flight the intents of four more rows are on disk; after a stop those rows are due."""
    run = start(users(50), {"u0": [OK], **{user: [0.9] for user in users(50)[1:]}})
    loop, doubts = asyncio.get_running_loop(), list[int]()
    loop.call_later(1.5, lambda: doubts.append(sum(doubt for doubt, _, _ in on_disk(run.path).values())))
    await stop_after(run, 1.6)
    assert doubts == [8 + 4]
    assert len(run.client.calls) == 1 + 2 * 8
    assert run.outcomes() == {(REMOVED, ""): 17, (NOT_ATTEMPTED, "interrupted"): 33}
    assert not any(doubt for doubt, _, _ in on_disk(run.path).values())
    assert {result.started_at for result in run.results().values() if result.outcome is NOT_ATTEMPTED} == {None}


async def test_after_the_stop_the_store_is_not_read_on(start: Start) -> None:
    """The rows that are left are not read once a stop is requested: only those at hand and the next part were."""
    run = start(users(6 * CHUNK), {})
    await stop_after(run, 1.0)
    assert run.ledger.reads == 2


async def test_after_the_shutdown_timeout_the_calls_are_cancelled(start: Start) -> None:
    """A call without an answer within the shutdown timeout is cancelled, and its row reported as unknown."""
    slow = {user: [500.0] for user in users(50)[3:]}
    run = start(users(50), {"u1": [4.0], "u2": [9.0], **slow}, replace(PLAIN, shutdown_timeout=7.0))
    await stop_after(run, 1.0)
    assert now() == pytest.approx(8.0)
    assert run.outcomes() == {
        (REMOVED, ""): 2,
        (UNKNOWN, "cancelled_in_flight"): 7,
        (NOT_ATTEMPTED, "interrupted"): 41,
    }
    assert run.client.in_flight == 0


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([NO_CONNECTION, 100.0], (NOT_ATTEMPTED, "interrupted", 1)),
        ([TOO_MANY, 100.0], (NOT_ATTEMPTED, "interrupted", 0)),
        ([TIMEOUT, 100.0], (UNKNOWN, "timeout", 1)),
    ],
)
async def test_rows_that_wait_for_a_retry_do_not_outlast_the_stop(
    start: Start, steps: list[Step], expected: tuple[Outcome, str, int]
) -> None:
    """A row between two attempts ends at once: due again, or unknown where an answer was lost."""
    run = start(["u"], {"u": steps}, replace(PLAIN, retry_backoff=20.0))
    await stop_after(run, 4.0)
    assert now() == pytest.approx(4.0)
    result = run.results()["u"]
    assert (result.outcome, result.reason, result.attempts) == expected


async def test_a_pause_is_not_why_a_row_is_unknown(start: Start) -> None:
    """Stopped during a pause, a row in doubt keeps the reason of the answer that was lost, and its attempts."""
    run = start(["u"], {"u": [TIMEOUT, TOO_MANY, OK]})
    await stop_after(run, 3.0)
    result = run.results()["u"]
    assert (result.outcome, result.reason, result.attempts) == (UNKNOWN, "timeout", 1)


async def test_an_answer_that_asks_for_another_attempt_ends_its_row_in_the_grace(start: Start) -> None:
    """A fault within the shutdown timeout is not retried: the row is unknown, with that fault as its reason."""
    run = start(["u"], {"u": [TIMEOUT]})
    await stop_after(run, TOOK / 2)
    assert run.outcomes() == {(UNKNOWN, "timeout"): 1}
    assert len(run.client.calls) == 1
    assert now() == pytest.approx(TOOK)
    assert run.log.events == ["row unknown"]


async def test_a_call_that_is_refused_in_the_grace_is_not_sent_again(start: Start) -> None:
    """A 429 within the shutdown timeout leaves its row due; the pause is not waited for."""
    run = start(["u"], {"u": [TOO_MANY, OK]}, replace(PLAIN, shutdown_timeout=60.0))
    await stop_after(run, TOOK / 2)
    assert run.outcomes() == {(NOT_ATTEMPTED, "interrupted"): 1}
    assert len(run.client.calls) == 1
    assert now() == pytest.approx(TOOK)


@pytest.mark.parametrize("how", ["stop", "cancel"])
@pytest.mark.parametrize("commit", range(1, 8))
async def test_ended_while_an_intent_is_being_written(start: Start, commit: int, how: str) -> None:
    """A row whose request did not leave is not in doubt, also when the end comes while its intent is on its way."""
    run = start(users(30), {user: [0.1 + number * 0.01] for number, user in enumerate(users(30))})
    loop, left = asyncio.get_running_loop(), commit
    task = asyncio.create_task(run.go())

    async def end() -> None:
        if how == "stop":
            run.stop.request(StopReason.INTERRUPTED)
        else:
            task.cancel()
        await turns(5)

    def before_commit() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            asyncio.run_coroutine_threadsafe(end(), loop).result(10)

    run.ledger.before_commit = before_commit
    await asyncio.gather(task, return_exceptions=True)
    assert left <= 0
    assert len(run.client.calls) < 30
    assert_truthful(run)


@pytest.mark.parametrize("commits", [0, 1, 2, 5, 12])
async def test_a_store_that_fails_ends_the_run_and_nothing_is_sent_after_it(start: Start, commits: int) -> None:
    """Without a durable intent no request leaves: the run stops with the message of the store."""
    run = start(users(60), {user: [0.05 + number * 0.01] for number, user in enumerate(users(60))})
    run.ledger.commits_left = commits
    await run.go()
    assert run.ledger.failed
    assert run.stop.reason is StopReason.STORE
    assert run.stop.detail == "disk full"
    assert len(run.client.calls) < 60
    assert run.client.in_flight == 0


async def test_a_store_that_cannot_be_read_ends_the_run(start: Start) -> None:
    """A read that fails stops the run as a write does."""
    run = start(users(5), {})
    with sqlite3.connect(run.path) as db:
        db.execute("ALTER TABLE pair RENAME TO gone")
    db.close()
    await run.go()
    assert run.stop.reason is StopReason.STORE
    assert run.client.calls == []


def assert_truthful(run: Run) -> None:
    """Check that each row has the outcome of its own calls, and nothing is lost or invented."""
    sent = {user for user, _ in run.client.calls}
    for user, result in run.results().items():
        answer = run.client.answered.get(user)
        if answer is OK or (isinstance(answer, Reply) and answer.status == 200):
            assert result.outcome is REMOVED, user
        elif answer is None:
            assert result.outcome is (UNKNOWN if user in sent else NOT_ATTEMPTED), user
            assert on_disk(run.path)[user][0] == (user in sent), user


STEPS = st.lists(st.sampled_from([OK, 0.3, 2.0, TIMEOUT, NO_CONNECTION, TOO_MANY, 1000.0]), min_size=1, max_size=3)


@given(
    steps=st.lists(STEPS, min_size=1, max_size=12),
    moment=st.floats(0, 6),
    twice=st.one_of(st.none(), st.floats(0, 2)),
    how=st.sampled_from(["stop", "cancel"]),
    concurrency=st.integers(1, 4),
)
@example(steps=[[NO_CONNECTION] * 3], moment=2.0, twice=None, how="stop", concurrency=1)
@settings(deadline=None, max_examples=60)
def test_the_store_is_truthful_after_any_end_at_any_moment(
    steps: list[list[Step]], moment: float, twice: float | None, how: str, concurrency: int
) -> None:
    """Stopped, cancelled or stopped and then cancelled at any moment: answers that came are kept, others in doubt."""
    script = {f"u{number}": [*course, OK] for number, course in enumerate(steps)}

    async def scenario(run: Run) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(run.go())
        if how == "cancel":
            loop.call_later(moment, task.cancel)
        else:
            loop.call_later(moment, run.stop.request, StopReason.INTERRUPTED)
        if twice is not None:
            loop.call_later(moment + twice, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            assert how == "cancel" or twice is not None
        calls = len(run.client.calls)
        assert run.client.in_flight == 0
        assert [other.get_name() for other in asyncio.all_tasks() if other is not asyncio.current_task()] == []
        await asyncio.sleep(100)
        assert len(run.client.calls) == calls
        assert_truthful(run)
        # The same command again: all that was left is done, and what was done is not done again.
        done = {user for user, result in run.results().items() if result.outcome is REMOVED}
        again = Run.resumed(run)
        await again.go()
        assert {result.outcome for result in again.results().values()} == {REMOVED}
        assert not done & {user for user, _ in again.client.calls}

    with tempfile.TemporaryDirectory() as folder:
        start = Start(Path(folder) / "ledger.sqlite")
        enough = replace(PLAIN, concurrency=concurrency, max_attempts=4)  # one more than a row has faults
        run_virtual(scenario(start(script, script, enough)))
        start.done()


async def test_cancelled_from_outside_the_calls_are_in_doubt_and_the_answers_kept(start: Start) -> None:
    """A cancellation ends everything at once, yet all answers and all calls in flight are on disk."""
    run = start(users(20), {user: [0.1 if number < 4 else 50.0] for number, user in enumerate(users(20))})
    task = asyncio.create_task(run.go())
    await asyncio.sleep(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == pytest.approx(10)
    assert sorted(state for state in on_disk(run.path).values() if state[1]) == sorted(
        [(0, 1, "removed")] * 4 + [(1, 1, "unknown")] * 8
    )
    run.ledger.close_session("interrupted", 0)
    assert run.outcomes() == {
        (REMOVED, ""): 4,
        (UNKNOWN, "cancelled_in_flight"): 8,
        (NOT_ATTEMPTED, "interrupted"): 8,
    }


async def test_a_second_session_settles_what_the_first_left(start: Start) -> None:
    """Rows in doubt are sent again, and 'not a leader' then means that the lost attempt did it."""
    first = start(users(3), {"u0": [TIMEOUT], "u1": [NO_SUCH_USER]}, replace(PLAIN, max_attempts=2))
    await first.go()
    assert first.outcomes() == {(UNKNOWN, "timeout"): 1, (FAILED, "user_not_found"): 1, (REMOVED, ""): 1}
    second = Run.resumed(first, lambda _: NOT_A_LEADER)
    await second.go()
    assert [user for user, _ in second.client.calls] == ["u0"]
    result = second.results()["u0"]
    assert (result.outcome, result.reason, result.attempts) == (REMOVED, "confirmed_on_retry", 3)
    third = Run.resumed(second, {}, retry_failed=True)
    await third.go()
    assert [user for user, _ in third.client.calls] == ["u1"]
