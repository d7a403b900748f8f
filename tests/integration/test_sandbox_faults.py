"""Every kind of fault over a real socket: what a plain aiohttp client receives, and what is recorded."""

import asyncio
import json
import zlib
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDictProxy

from rolecall.sandbox import ACCOUNT, Fault, Kind, Limiter, Nonsense, Sandbox, World, leader_world
from rolecall.sandbox.wire_faults import BOMB_BYTES, HUGE_BYTES

NOW = 1_700_000_000.0
ACTS = [False, True]
JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"


async def call(sandbox: Sandbox, *, auto_decompress: bool = True) -> tuple[int, CIMultiDictProxy[str], bytes]:
    """Send the standard removal once and return status, headers and body."""
    options: dict[str, Any] = {"headers": ACCOUNT.headers, "auto_decompress": auto_decompress}
    async with aiohttp.ClientSession(**options) as http:
        target = f"{sandbox.url}/api/v1/groups.removeLeader"
        body = {"roomId": "ROOM", "userId": "USER"}
        async with http.post(target, json=body, allow_redirects=False) as response:
            return response.status, response.headers, await response.read()


def leader(*, limited: bool = False) -> World:
    """Return a world with one leader."""
    return leader_world([("ROOM", "USER")], roles=("user",) if limited else ("admin",))


def check_record(world: World, fault: Fault, *, acted: bool, status: int) -> None:
    """Check that one call was recorded with this fault, and that the state of the world agrees with the record."""
    recorded = [(call.fault, call.carried_out, call.status) for call in world.calls]
    assert recorded == [(fault.kind.value, acted, status)]
    assert world.removals("ROOM", "USER") == acted
    assert world.is_leader("ROOM", "USER") is not acted


@pytest.mark.parametrize(
    ("kind", "acted", "error"),
    [
        (Kind.RESET_BEFORE, False, aiohttp.ClientOSError),
        (Kind.DROP_AFTER, True, aiohttp.ServerDisconnectedError),
    ],
)
async def test_a_broken_connection(kind: Kind, acted: bool, error: type[Exception]) -> None:
    """The client gets no response; the record has whether the call was carried out."""
    fault, world = Fault(kind), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        with pytest.raises(error):
            await call(sandbox)
    check_record(world, fault, acted=acted, status=0)


@pytest.mark.parametrize(("kind", "acted"), [(Kind.HANG_BEFORE, False), (Kind.HANG_AFTER, True)])
async def test_a_hanging_connection(kind: Kind, acted: bool) -> None:
    """The connection stays open without data until the client disconnects."""
    fault, world = Fault(kind), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        waiting = asyncio.create_task(call(sandbox))
        await sandbox.wait_for_calls()
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    check_record(world, fault, acted=acted, status=0)


async def test_a_slow_response() -> None:
    """The call is carried out at once, and the normal response is sent later."""
    fault, world = Fault(Kind.SLOW, seconds=0.05), leader()
    loop = asyncio.get_running_loop()
    async with Sandbox(world, faults=[fault]) as sandbox:
        start = loop.time()
        status, _, body = await call(sandbox)
        assert loop.time() - start >= 0.05
    assert (status, body) == (200, b'{"success":true}')
    check_record(world, fault, acted=True, status=200)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 504, *range(520, 528)])
async def test_a_server_error(status: int, html: bool, act: bool) -> None:
    """Every 5xx is sent as JSON or as a proxy's page, without or after carrying out the call."""
    fault, world = Fault(Kind.STATUS, status=status, html=html, act=act), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        received, headers, body = await call(sandbox)
    assert (received, headers["Content-Type"]) == (status, HTML_TYPE if html else JSON_TYPE)
    assert body.startswith(b"<!DOCTYPE html>" if html else b'{"success":false')
    check_record(world, fault, acted=act, status=status)


async def test_too_many_requests_from_the_server() -> None:
    """A 429 as JSON has the wait in its text and the reset in its headers."""
    fault, world = Fault(Kind.TOO_MANY, seconds=42), leader()
    async with Sandbox(world, faults=[fault], clock=lambda: NOW) as sandbox:
        status, headers, body = await call(sandbox)
    assert (status, headers["X-RateLimit-Remaining"]) == (429, "0")
    assert headers["X-RateLimit-Reset"] == str(int((NOW + 42) * 1000))
    assert b"wait 42 seconds" in body
    assert b"errorType" not in body
    check_record(world, fault, acted=False, status=429)


@pytest.mark.parametrize("retry_after", [None, "7", "Tue, 14 Nov 2023 22:13:27 GMT"])
async def test_too_many_requests_from_a_proxy(retry_after: str | None) -> None:
    """A 429 as a page has no rate limit headers, and Retry-After with the text of the fault."""
    fault, world = Fault(Kind.TOO_MANY, html=True, retry_after=retry_after), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, headers, _ = await call(sandbox)
    assert (status, headers["Content-Type"]) == (429, HTML_TYPE)
    assert headers.get("Retry-After") == retry_after
    assert "X-RateLimit-Reset" not in headers
    check_record(world, fault, acted=False, status=429)


async def test_too_many_requests_from_a_very_old_server() -> None:
    """Very old servers report the rate limit as a 400 with an errorType."""
    fault, world = Fault(Kind.OLD_TOO_MANY), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, _, body = await call(sandbox)
    assert (status, json.loads(body)["errorType"]) == (400, "error-too-many-requests")
    check_record(world, fault, acted=False, status=400)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Kind.GARBAGE, b"\x00\xff\xfe{]not json"),
        (Kind.EMPTY_200, b""),
        (Kind.SUCCESS_MISSING, b"{}"),
        (Kind.SUCCESS_FALSE, b'{"success":false}'),
    ],
)
async def test_a_200_without_a_valid_body(kind: Kind, body: bytes, act: bool) -> None:
    """A 200 without a valid body is sent without or after carrying out the call."""
    fault, world = Fault(kind, act=act), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, _, received = await call(sandbox)
    assert (status, received) == (200, body)
    check_record(world, fault, acted=act, status=200)


async def test_a_login_page() -> None:
    """A proxy's login page is a 200 for a call that is not carried out."""
    fault, world = Fault(Kind.HTML_200), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, headers, body = await call(sandbox)
    assert (status, headers["Content-Type"]) == (200, HTML_TYPE)
    assert b"Sign in" in body
    check_record(world, fault, acted=False, status=200)


async def test_a_truncated_response() -> None:
    """The connection closes before the announced number of bytes was sent."""
    fault, world = Fault(Kind.TRUNCATED), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        with pytest.raises(aiohttp.ClientPayloadError):
            await call(sandbox)
    check_record(world, fault, acted=True, status=200)


async def test_a_wrong_length() -> None:
    """The announced length ends inside the body, and the client rejects the remaining bytes."""
    fault, world = Fault(Kind.WRONG_LENGTH), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        with pytest.raises(aiohttp.ClientResponseError, match="Bad status line"):
            await call(sandbox)
    check_record(world, fault, acted=True, status=200)


@pytest.mark.parametrize("act", ACTS)
async def test_a_huge_body(act: bool) -> None:
    """The body has 50 MB instead of a few bytes."""
    fault, world = Fault(Kind.HUGE, act=act), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, headers, body = await call(sandbox)
    assert (status, headers["Content-Length"], len(body)) == (200, str(HUGE_BYTES), HUGE_BYTES)
    check_record(world, fault, acted=act, status=200)


@pytest.mark.parametrize("act", ACTS)
async def test_a_gzip_bomb(act: bool) -> None:
    """A small body decompresses to more than 100 MB."""
    fault, world = Fault(Kind.BOMB, act=act), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, headers, body = await call(sandbox, auto_decompress=False)
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert len(body) < 1_000_000
    assert len(zlib.decompress(body, wbits=31)) == BOMB_BYTES > 100_000_000
    check_record(world, fault, acted=act, status=200)


@pytest.mark.parametrize("act", ACTS)
async def test_an_endless_body(act: bool) -> None:
    """Single bytes are sent without end until the client disconnects."""
    fault, world = Fault(Kind.ENDLESS, seconds=0.001, act=act), leader()
    async with (
        Sandbox(world, faults=[fault]) as sandbox,
        aiohttp.ClientSession(headers=ACCOUNT.headers) as http,
        http.post(f"{sandbox.url}/api/v1/groups.removeLeader", json={"roomId": "ROOM", "userId": "USER"}) as response,
    ):
        assert await response.content.readexactly(5) == b"     "
        assert not response.content.at_eof()
    check_record(world, fault, acted=act, status=200)


async def test_a_redirect() -> None:
    """A 302 has another URL in `Location`, and nothing is carried out."""
    fault, world = Fault(Kind.REDIRECT, location="http://127.0.0.1:9/elsewhere"), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, headers, _ = await call(sandbox)
    assert (status, headers["Location"]) == (302, "http://127.0.0.1:9/elsewhere")
    check_record(world, fault, acted=False, status=302)


@pytest.mark.parametrize(
    ("kind", "error_type", "error"),
    [
        (Kind.NO_ERROR_TYPE, None, "User is not a leader [error-user-not-leader]"),
        (Kind.UNKNOWN_ERROR_TYPE, "error-of-tomorrow", "Something new [error-of-tomorrow]"),
    ],
)
async def test_a_refusal_with_another_error_type(kind: Kind, error_type: str | None, error: str) -> None:
    """A refusal is sent without its errorType, or with an unknown one."""
    fault, world = Fault(kind), leader()
    world.join("ROOM", "USER", [])
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, _, body = await call(sandbox)
    payload = json.loads(body)
    assert (status, payload.get("errorType"), payload["error"]) == (400, error_type, error)
    assert [(call.fault, call.carried_out) for call in world.calls] == [(kind.value, False)]


@pytest.mark.parametrize("kind", [Kind.NO_ERROR_TYPE, Kind.UNKNOWN_ERROR_TYPE])
async def test_a_success_has_no_error_type_to_change(kind: Kind) -> None:
    """The two faults of the errorType do not change a success."""
    fault, world = Fault(kind), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        status, _, body = await call(sandbox)
    assert (status, body) == (200, b'{"success":true}')
    check_record(world, fault, acted=True, status=200)


@pytest.mark.parametrize(
    ("nonsense", "reset"),
    [
        (Nonsense.SECONDS, "1700000060"),
        (Nonsense.NEGATIVE, "-1"),
        (Nonsense.PAST, "1699999940000"),
        (Nonsense.YEAR_AHEAD, "1731536000000"),
        (Nonsense.TEXT, "soon"),
    ],
)
async def test_invalid_rate_limit_headers(nonsense: Nonsense, reset: str) -> None:
    """The normal response has an invalid reset instead of the limiter's."""
    fault, world = Fault(Kind.NONSENSE_HEADERS, nonsense=nonsense), leader(limited=True)
    async with Sandbox(world, limiter=Limiter(), faults=[fault], clock=lambda: NOW) as sandbox:
        status, headers, _ = await call(sandbox)
    assert (status, headers["X-RateLimit-Reset"]) == (200, reset)
    assert len(headers.getall("X-RateLimit-Reset")) == 1
    check_record(world, fault, acted=True, status=200)


async def test_a_revoked_token() -> None:
    """The call that revokes the token and every call after it return 401."""
    fault, world = Fault(Kind.REVOKE), leader()
    async with Sandbox(world, faults=[fault]) as sandbox:
        statuses = [(await call(sandbox))[0] for _ in range(2)]
    assert statuses == [401, 401]
    assert [(call.fault, call.carried_out) for call in world.calls] == [("revoke", False), (None, False)]
    assert world.is_leader("ROOM", "USER")


async def test_an_acting_fault_on_a_limited_call_is_not_carried_out() -> None:
    """With a fault that acts the route handles the call, and the rate limiter may still refuse it."""
    world = leader(limited=True)
    async with Sandbox(world, limiter=Limiter(1), clock=lambda: NOW) as sandbox:
        world.join("ROOM", "USER", [])
        await call(sandbox)
        world.join("ROOM", "USER", ["leader"])
        sandbox.faults.add(Fault(Kind.STATUS, status=504, html=True, act=True))
        assert (await call(sandbox))[0] == 504
    assert [(call.status, call.carried_out) for call in world.calls] == [(400, False), (504, False)]
