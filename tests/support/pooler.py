"""Connection poolers in front of a database: PgBouncer where it is installed, and a stand-in."""

import asyncio
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.support.postgres import OWNER, Database

_KEY_DATA = b"K" + struct.pack("!I", 12)
"""The beginning of the server's message with its process id, in protocol 3.0."""
_SETTINGS = """
[databases]
* = host={directory} port={server_port} user={owner}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
{more}
"""


def has_pgbouncer() -> bool:
    """Return whether PgBouncer is installed."""
    return find_pgbouncer() is not None


def find_pgbouncer() -> str | None:
    """Return the program; system directories are looked at too."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def pgbouncer(database: Database, more: str = "") -> Iterator[str]:
    """Run PgBouncer in transaction mode in front of a database and return the address."""
    program = find_pgbouncer()
    assert program is not None
    directory = Path(tempfile.mkdtemp(prefix="rolecall-pgbouncer-"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = database.server
    values = {"directory": server.directory, "server_port": server.port, "owner": OWNER, "port": port, "more": more}
    (directory / "pgbouncer.ini").write_text(_SETTINGS.format(**values))
    user = "nobody" if server.runs_as_nobody else None
    if user:
        shutil.chown(directory, user)
    process = subprocess.Popen(
        [program, "-q", str(directory / "pgbouncer.ini")], user=user, stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        deadline = time.monotonic() + 30
        while not _takes_connections(port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"postgresql://{OWNER}@127.0.0.1:{port}/{database.name}"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


def _takes_connections(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@asynccontextmanager
async def stand_in_pooler(database: Database) -> AsyncIterator[str]:
    """Run a proxy that hands out process ids of its own, as every pooler does, and return the address."""
    path = f"{database.server.directory}/.s.PGSQL.{database.server.port}"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(path)
        copying = asyncio.create_task(_copy(reader, to_server))
        try:
            while data := await from_server.read(65536):
                at = data.find(_KEY_DATA)
                if at >= 0:
                    data = data[: at + 5] + struct.pack("!I", 1) + data[at + 9 :]
                writer.write(data)
                await writer.drain()
        finally:
            copying.cancel()
            to_server.close()
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        yield f"postgresql://{OWNER}@127.0.0.1:{port}/{database.name}?sslmode=disable&gssencmode=disable"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
