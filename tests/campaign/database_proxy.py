"""A network between workers and their database, which can become slow, or cut every connection."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self


class DatabaseProxy:
    """Forwards connections to the socket of a server; an async context manager."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._connections: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        """Seconds by which every further packet is late, in each direction."""
        self.is_cut = False
        """True while nothing is forwarded; connections stay open."""
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def drop(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers, pumps = [writer], list[asyncio.Future[None]]()
        try:
            with suppress(OSError):
                back, forth = await asyncio.open_unix_connection(str(self._socket))
                writers.append(forth)
                pumps += [asyncio.ensure_future(self._pump(*ends)) for ends in ((reader, forth), (back, writer))]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in writers:
                each.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, *(each.wait_closed() for each in writers), return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.delay:
                await asyncio.sleep(self.delay)
            while self.is_cut:  # noqa: ASYNC110 - a network sends no sign when it works again
                await asyncio.sleep(0.02)
            writer.write(data)
            await writer.drain()
