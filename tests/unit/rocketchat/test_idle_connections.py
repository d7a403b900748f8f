"""Idle connections: none is used again so late that the server may be closing it at that moment.

Both ends of each connection run on one loop whose time jumps, so minutes of waiting take no real time.
"""

import asyncio
import socket
from random import Random

import pytest

from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import KEEPALIVE, Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from tests.unit.engine.virtual import run_virtual
from tests.unit.rocketchat.raw_server import RawServer, Speak, answer, serving

PATH = "/api/v1/groups.removeLeader"
GOOD = b'{"success":true}'
WHO = Credentials("bulkBotId", "s3cr3t-T0ken")


def closing_after(seconds: float) -> Speak:
    """Return a server that answers each request at once and closes a connection that was idle for so long."""

    async def speak(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    if not await seen.hear(reader):
                        return
            except TimeoutError:
                writer.transport.abort()  # as a kernel answers a request for a connection that its process has closed
                return
            writer.write(answer(GOOD))

    return speak


def send_rows(pauses: list[float], idle: float, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Reply | NoReply], int]:
    """Send a row after each pause; return the replies and the number of connections."""

    async def main() -> tuple[list[Reply | NoReply], int]:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr("aiohttp.connector.monotonic", loop.time)
        replies = []
        async with serving(closing_after(idle)) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
            for pause in pauses:
                await asyncio.sleep(pause)
                replies.append(await client.post_pair(PATH, "ROOM", "USER"))
        return replies, seen.connections

    return run_virtual(main())


@pytest.mark.parametrize("seed", range(5))
def test_no_row_is_lost_at_twelve_a_minute(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes idle connections after five seconds, as Node does, loses no row that comes every five."""
    random = Random(seed)
    pauses = [5.0 + random.choice((-0.001, 0.0, 0.0, 0.001)) for _ in range(60)]
    replies, connections = send_rows(pauses, 5.0, monkeypatch)
    assert [reply for reply in replies if isinstance(reply, NoReply)] == []
    assert connections == 60


@pytest.mark.parametrize("pause", [5.0, 2.5])
def test_no_row_is_lost_to_a_server_that_closes_after_a_second(pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come further apart than the keep-alive each have a connection of their own."""
    replies, connections = send_rows([pause] * 40, 1.0, monkeypatch)
    assert [reply for reply in replies if isinstance(reply, NoReply)] == []
    assert connections == 40


def test_a_connection_is_used_again_within_the_keepalive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come sooner share one connection."""
    replies, connections = send_rows([KEEPALIVE - 0.1] * 20, 5.0, monkeypatch)
    assert all(isinstance(reply, Reply) for reply in replies)
    assert connections == 1


def test_a_connection_whose_end_was_not_read_yet_is_not_used_again() -> None:
    """The server's close lies in the socket, and the loop has not read it yet: the row leaves on a new connection."""

    async def main() -> Reply | NoReply:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(10)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with Client(ConnectionConfig(url), WHO) as client:
                for last in (False, True):
                    call = asyncio.create_task(client.post_pair(PATH, "ROOM", "USER"))
                    connection, _ = await loop.run_in_executor(None, listener.accept)
                    with connection:
                        await loop.run_in_executor(None, connection.recv, 65_536)
                        connection.sendall(answer(GOOD))
                        reply = await call
                    # The connection is closed now, and nothing awaits before the next call.
                    if last:
                        return reply
        raise AssertionError("two calls were made")

    assert isinstance(asyncio.run(asyncio.wait_for(main(), 30)), Reply)
