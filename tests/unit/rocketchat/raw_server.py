"""A server that says exactly the bytes it is told to, on a real socket of loopback, and counts its connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Speak = Callable[["RawServer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """What one server saw."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[bytes] = []
        """Each request as it came, head and body."""
        self.connections = 0
        self.client_left = asyncio.Event()
        """Set when the client has closed a connection that was being written to."""

    async def hear(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request; empty at the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        self.requests.append(head + await reader.readexactly(length))
        return self.requests[-1]


@asynccontextmanager
async def serving(speak: Speak, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve each connection with `speak` for as long as the context lasts."""
    seen = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.connections += 1
        try:
            await speak(seen, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            seen.client_left.set()
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    seen.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(*pieces: bytes) -> Speak:
    """Answer each request of a connection with these bytes, then wait for the next; an empty piece closes."""

    async def speak(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await seen.hear(reader):
            for piece in pieces:
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()

    return speak


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Give the bytes of a whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
