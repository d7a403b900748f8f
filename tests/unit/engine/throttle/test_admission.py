"""What stands between a row and its call, put together."""

import asyncio

import pytest

from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.engine.throttle.circuit_breaker import THRESHOLD, CircuitBreaker
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.models import NoReply, Reply
from tests.unit.engine.answers import BAD_GATEWAY, NO_CONNECTION, OK, SERVER_ERROR, TOO_MANY, reply, verdict_of
from tests.unit.engine.virtual import BEGINNING, turns, virtual_clock


class Gated:
    """A gate for two calls at once at two a second, and what it told."""

    def __init__(self) -> None:
        clock = virtual_clock()
        self.told: list[str] = []
        breaker = CircuitBreaker(
            clock,
            900.0,
            on_open=lambda: self.told.append("open"),
            on_close=lambda _: self.told.append("close"),
            on_give_up=lambda: self.told.append("give up"),
        )
        pacing = RouteSchedule(2.0)
        pacing.take(0.0)
        pacing.leave(0.0)
        pacing.answered(OK, refused=False)
        self.gate = AdmissionController(
            AdaptiveConcurrencyLimiter(2),
            breaker,
            RouteLimiter(pacing, clock, lambda _: None),
            clock,
            patience=60.0,
            on_give_up=lambda: self.told.append("refused too long"),
            on_overload=lambda allowed: self.told.append(f"overload {allowed}"),
        )

    def leave(self, answer: Reply | NoReply, key: int = 0, *, probing: bool = False) -> None:
        if isinstance(answer, Reply):
            answer = answer._replace(received_at=asyncio.get_running_loop().time())
        self.gate.leave(key, answer, verdict_of(answer), probing=probing)

    async def open_breaker(self, last: Reply | NoReply = NO_CONNECTION) -> None:
        """Bring the workspace down."""
        for key in range(THRESHOLD):
            await self.gate.enter()
            self.leave(NO_CONNECTION if key < THRESHOLD - 1 else last, key)
        assert self.told[-1] == "open"


async def test_cancelled_in_the_turnstile_a_call_gives_its_place_back() -> None:
    """However many calls are cancelled while they wait for their turn, two can be in flight afterwards."""
    gated = Gated()
    await gated.gate.enter()
    for _ in range(5):
        waiting = asyncio.create_task(gated.gate.enter())
        await turns()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        assert await gated.gate.enter() is False


async def test_cancelled_in_the_turnstile_a_probe_gives_its_place_back() -> None:
    """When a probe is cancelled after the breaker let it through, the next one can go."""
    gated = Gated()
    await gated.open_breaker(reply(503, b"", {"Retry-After": "20"}))
    first = asyncio.create_task(gated.gate.enter())
    await asyncio.sleep(3)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    async with asyncio.timeout(30):
        assert await gated.gate.enter() is True


@pytest.mark.parametrize("probing", [False, True])
async def test_a_withdrawn_call_gives_everything_back(probing: bool) -> None:
    """A call that was let through and did not leave takes no place, no permit and no probe with it."""
    gated = Gated()
    if probing:
        await gated.open_breaker()
    async with asyncio.timeout(60):
        for _ in range(6):
            assert await gated.gate.enter() is probing
            gated.gate.withdraw(probing=probing)


async def test_a_fault_costs_its_place_only_while_it_lasts() -> None:
    """Each answer, whatever it says, makes room for the next call."""
    gated = Gated()
    async with asyncio.timeout(120):
        for answer in (OK, SERVER_ERROR, BAD_GATEWAY, NO_CONNECTION, TOO_MANY, OK):
            probing = await gated.gate.enter()
            gated.leave(answer, probing=probing)
    assert gated.told == ["overload 1"]


async def test_any_answer_of_the_workspace_ends_an_outage() -> None:
    """A probe that is refused by 'too many requests' shows that the workspace is back."""
    gated = Gated()
    await gated.open_breaker()
    assert await gated.gate.enter() is True
    gated.leave(TOO_MANY, probing=True)
    assert gated.told[-1] == "close"


async def test_refusals_for_longer_than_patience_are_told() -> None:
    """Only when every answer for the whole patience was a refusal."""
    gated, loop = Gated(), asyncio.get_running_loop()
    while not gated.told:
        gated.leave(TOO_MANY, probing=await gated.gate.enter())
    assert 60 <= loop.time() - BEGINNING <= 68
    assert gated.told == ["refused too long"]
