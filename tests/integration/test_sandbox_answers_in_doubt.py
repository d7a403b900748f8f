"""Answers that say little about what the server did, over a real socket: exceptions, firewalls, proxies and clocks."""

import json
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Limiter, Sandbox, leader_world

NOW = 1_700_000_000.0
ROOM = "ROOM"


async def remove(
    sandbox: Sandbox, user_id: str = "USER", headers: dict[str, str] | None = None
) -> tuple[int, str, dict[str, str]]:
    """Send one removal and return status, text and headers."""
    async with (
        aiohttp.ClientSession(headers={**ACCOUNT.headers, **(headers or {})}) as http,
        http.post(
            f"{sandbox.url}/api/v1/groups.removeLeader",
            json={"roomId": ROOM, "userId": user_id},
            allow_redirects=False,
        ) as response,
    ):
        return response.status, await response.text(), dict(response.headers)


@pytest.mark.parametrize("writes", range(5))
async def test_an_exception_after_any_number_of_writes(writes: int) -> None:
    """The 400 has neither errorType nor brackets, and the role is gone unless no write was reached."""
    world = leader_world([(ROOM, "USER")], roles=("user",))
    fault = Fault(Kind.EXCEPTION, writes=writes)
    async with Sandbox(world, limiter=Limiter(), faults=[fault]) as sandbox:
        status, text, headers = await remove(sandbox)
    assert (status, json.loads(text)) == (400, {"success": False, "error": "not primary"})
    assert headers["X-RateLimit-Remaining"] == "9"
    assert [(call.carried_out, call.status, call.fault) for call in world.calls] == [(writes > 0, 400, "exception")]
    assert world.is_leader(ROOM, "USER") is (writes == 0)
    assert world.removers(ROOM, "USER") == [ACCOUNT.user_id] * (writes > 0)
    assert world.removals(ROOM, "USER") == (writes > 2)


async def test_the_retry_after_an_exception_finds_nothing_to_remove() -> None:
    """The fault ends with its call: the next one is refused, because the role is gone."""
    world = leader_world([(ROOM, "USER")])
    async with Sandbox(world, faults=[Fault(Kind.EXCEPTION, writes=1)]) as sandbox:
        await remove(sandbox)
        status, text, _ = await remove(sandbox)
    assert (status, json.loads(text)["errorType"]) == (400, "error-user-not-leader")
    assert world.removals(ROOM, "USER") == 0


async def test_a_refused_call_does_not_come_to_an_exception_in_a_write() -> None:
    """The checks come before the writes, so a refusal stays what it is."""
    world = leader_world([], former=[(ROOM, "USER")])
    async with Sandbox(world, faults=[Fault(Kind.EXCEPTION, writes=2)]) as sandbox:
        status, text, _ = await remove(sandbox)
    assert (status, json.loads(text)["errorType"]) == (400, "error-user-not-leader")


async def test_an_exception_can_happen_in_a_reading_route() -> None:
    """A fault for a reading route gives the same 400."""
    world = leader_world([(ROOM, "USER")])
    fault = Fault(Kind.EXCEPTION, FaultMatch(route="groups.roles"))
    async with (
        Sandbox(world, faults=[fault]) as sandbox,
        aiohttp.ClientSession(headers=ACCOUNT.headers) as http,
        http.get(f"{sandbox.url}/api/v1/groups.roles?roomId={ROOM}") as response,
    ):
        assert (response.status, await response.json()) == (400, {"success": False, "error": "not primary"})


@pytest.mark.parametrize("act", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 421, 425, 429])
async def test_a_page_of_a_firewall_proves_nothing(status: int, act: bool) -> None:
    """A page with a 4xx comes without or after carrying out the call."""
    world = leader_world([(ROOM, "USER")])
    async with Sandbox(world, faults=[Fault(Kind.STATUS, status=status, html=True, act=act)]) as sandbox:
        received, text, headers = await remove(sandbox)
    assert (received, headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert world.is_leader(ROOM, "USER") is not act


@pytest.mark.parametrize("act", [False, True])
@pytest.mark.parametrize("html", [False, True])
async def test_a_5xx_may_have_the_text_of_a_refusal(html: bool, act: bool) -> None:
    """The text of a 5xx may end in the type of a refusal, without or after carrying out the call."""
    world = leader_world([(ROOM, "USER")])
    text = "User is not a leader [error-user-not-leader]"
    async with Sandbox(world, faults=[Fault(Kind.STATUS, status=502, text=text, html=html, act=act)]) as sandbox:
        status, received, _ = await remove(sandbox)
    assert status == 502
    assert text in received if html else json.loads(received) == {"success": False, "error": text}
    assert world.is_leader(ROOM, "USER") is not act


@pytest.mark.parametrize("act", [False, True])
async def test_a_redirect_may_come_after_the_call_was_carried_out(act: bool) -> None:
    """A redirect says nothing about whether the call was passed on."""
    world = leader_world([(ROOM, "USER")])
    async with Sandbox(world, faults=[Fault(Kind.REDIRECT, act=act)]) as sandbox:
        status, _, headers = await remove(sandbox)
    assert (status, headers["Location"]) == (302, "http://127.0.0.1:9/")
    assert world.removals(ROOM, "USER") == act


@pytest.mark.parametrize(
    ("user_id", "status", "messages", "removers"),
    [("LEAD", 400, 1, [ACCOUNT.user_id]), ("MEMBER", 200, 2, []), ("FORMER", 400, 0, [])],
)
async def test_a_proxy_that_repeats_the_call_sends_the_second_answer(
    user_id: str, status: int, messages: int, removers: list[str]
) -> None:
    """The server acts twice: a leader's removal is answered with a refusal, an ordinary member gets two messages."""
    world = leader_world([(ROOM, "LEAD")], members=[(ROOM, "MEMBER")], former=[(ROOM, "FORMER")], roles=("user",))
    async with Sandbox(world, limiter=Limiter(), faults=[Fault(Kind.REPEATED)]) as sandbox:
        received, _, headers = await remove(sandbox, user_id)
    assert (received, world.removals(ROOM, user_id), world.removers(ROOM, user_id)) == (status, messages, removers)
    assert headers["X-RateLimit-Remaining"] == "8"
    assert [(call.carried_out, call.fault) for call in world.calls] == [(messages > 0, "repeated")]


@pytest.mark.parametrize(("skew", "date_skew"), [(0.0, 0.0), (0.0, -45.0), (3600.0, 7.0)])
async def test_the_date_may_be_of_another_clock_than_the_reset(skew: float, date_skew: float) -> None:
    """A proxy's `Date` has its own offset; the reset and the messages have the server's clock."""
    world = leader_world([(ROOM, "USER")], roles=("user",))
    async with Sandbox(world, limiter=Limiter(), skew=skew, date_skew=date_skew, clock=lambda: NOW) as sandbox:
        _, _, headers = await remove(sandbox)
    assert parsedate_to_datetime(headers["Date"]).timestamp() == NOW + skew + date_skew
    assert headers["X-RateLimit-Reset"] == str(int((NOW + skew + 60) * 1000))
    assert [message.time for message in world.record.messages] == [NOW + skew]


async def test_the_limiter_takes_the_address_that_a_proxy_names() -> None:
    """`X-Real-IP` comes before the address of the socket: each of them has its own counter."""
    world = leader_world([(ROOM, "USER")], roles=("user",))
    addresses: list[dict[str, Any]] = [{}, {"X-Real-IP": "192.0.2.1"}, {"X-Real-IP": "192.0.2.2"}, {}]
    async with Sandbox(world, limiter=Limiter(1), clock=lambda: NOW) as sandbox:
        statuses = [(await remove(sandbox, headers=address))[0] for address in addresses]
    assert statuses == [200, 400, 400, 429]


async def test_a_429_may_say_0_seconds() -> None:
    """At the exact reset there is nothing left to wait."""
    async with Sandbox(leader_world([(ROOM, "USER")]), faults=[Fault(Kind.TOO_MANY, seconds=0)]) as sandbox:
        status, text, _ = await remove(sandbox)
    assert status == 429
    assert "You must wait 0 seconds" in text
