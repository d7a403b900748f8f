"""Deadlines that fire late because the whole process stood still: responses that lie in the sockets still count."""

import asyncio
import signal
import socket
import sys
import textwrap

import pytest

from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.deadlines import LATE
from tests.unit.engine.virtual import VirtualLoop, turns
from tests.unit.rocketchat.raw_server import RawServer, answer, serving

PATH = "/api/v1/groups.removeLeader"
GOOD = b'{"success":true}'
WHO = Credentials("bulkBotId", "s3cr3t-T0ken")
DEADLINE = 40.0
CALLS = 8
SENDER = """
    import asyncio, sys, uvloop
    from rolecall.rocketchat.client import Client
    from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials

    async def main(url):
        config = ConnectionConfig(url, connect_timeout=0.25, timeout=0.25)
        async with Client(config, Credentials("bulkBotId", "token")) as client:
            calls = (client.post_pair("/api/v1/groups.removeLeader", "ROOM", str(number)) for number in range(8))
            replies = await asyncio.gather(*calls)
        print(*(getattr(reply, "status", None) or reply.reason for reply in replies))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if sys.argv[2] == "uvloop" else None) as runner:
        runner.run(main(sys.argv[1]))
"""


def stall(answered: int, late: float) -> list[Reply | NoReply]:
    """Make calls, answer the first so many of them, and let the loop stand still until so long after the deadline."""

    async def main() -> list[Reply | NoReply]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with Client(ConnectionConfig(url, connect_timeout=DEADLINE / 2, timeout=DEADLINE / 2), WHO) as client:
                calls = [asyncio.create_task(client.post_pair(PATH, "ROOM", str(number))) for number in range(CALLS)]
                accepted = []
                for _ in calls:
                    await turns(20)
                    accepted.append(listener.accept()[0])
                await turns(20)
                for connection in accepted[:answered]:
                    connection.recv(65_536)
                    connection.sendall(answer(GOOD))
                loop.skip(DEADLINE + late)
                replies = await asyncio.gather(*calls)
                for connection in accepted:
                    connection.close()
                return replies

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("answered", [0, 7, CALLS])
def test_responses_that_came_while_the_loop_stood_still_are_read(answered: int) -> None:
    """Each call whose response lies in its socket has it; only the others are timeouts, a moment later."""
    replies = stall(answered, late=60.0)
    assert sum(isinstance(reply, Reply) for reply in replies) == answered
    assert [reply.reason for reply in replies if isinstance(reply, NoReply)] == ["timeout"] * (CALLS - answered)


def test_a_deadline_in_time_is_not_prolonged() -> None:
    """A delay below the limit is no standstill: the deadline counts as it is."""
    assert all(isinstance(reply, NoReply) for reply in stall(0, late=LATE / 2))


async def test_responses_that_came_while_the_process_was_stopped_are_read() -> None:
    """After SIGSTOP and SIGCONT, on asyncio and on uvloop, the eight responses are read and none is a timeout."""
    outputs = await asyncio.gather(*(_stopped_process(loop) for loop in ("asyncio", "uvloop")))
    assert outputs == ["200 200 200 200 200 200 200 200"] * 2


async def _stopped_process(loop: str) -> str:
    """Stop a process with eight calls in flight, answer them, and continue it after its deadlines."""
    everything_sent, stopped = asyncio.Event(), asyncio.Event()

    async def speak(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.hear(reader)
        if len(seen.requests) == CALLS:
            everything_sent.set()
        await stopped.wait()
        writer.write(answer(GOOD))
        await reader.read()

    async with serving(speak) as seen:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(SENDER), seen.url, loop, stdout=asyncio.subprocess.PIPE
        )
        await everything_sent.wait()
        process.send_signal(signal.SIGSTOP)
        stopped.set()
        await asyncio.sleep(0.5 + LATE + 0.2)  # real: the other process measures it
        process.send_signal(signal.SIGCONT)
        output, _ = await process.communicate()
    return output.decode().strip()
