"""A real nginx in front of sandboxes, on loopback, with its files in a folder of the test."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
LIBFAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
"""The library that shows a program another time; None where it is not installed."""
START_TIMEOUT = 10.0
CONFIG = """
daemon off; worker_processes 1; env FAKETIME; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  log_format status '$status'; access_log {folder}/access.log status; default_type application/json; {http}
  client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
  uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  upstream workspace {{ {servers} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://workspace; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Real-IP $remote_addr; {directives}
    }}
    location = /page.html {{ internal; default_type text/html; return 200 '<html><h1>Sorry</h1></html>'; }}
  }}
}}
"""


class Nginx:
    """One nginx; it can be reloaded, stopped and started again on the same port."""

    def __init__(self, folder: Path, ports: Iterable[int], directives: str, http: str, ahead: float) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        text = CONFIG.format(folder=folder, port=self._port, servers=servers, directives=directives, http=http)
        (folder / "nginx.conf").write_text(text, "ascii")
        self._environment = dict(os.environ)
        if ahead:
            clock = {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME": f"{ahead:+}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            self._environment |= clock

    async def start(self) -> Self:
        """Start it and wait until it listens."""
        assert PROGRAM is not None
        words = ("-p", self._folder, "-c", self._folder / "nginx.conf", "-e", self._folder / "error.log")
        self._process = await asyncio.create_subprocess_exec(PROGRAM, *map(str, words), env=self._environment)
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    writer.close()
                    return self
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Stop it at once, as a restart does; connections break."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    def responses(self) -> Counter[int]:
        """Count the responses that it has sent, by status."""
        return Counter(int(line) for line in (self._folder / "access.log").read_text("ascii").split())

    def reload(self) -> None:
        """Read the configuration again: old workers finish their requests and close idle connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)


@asynccontextmanager
async def nginx(
    folder: Path, ports: Iterable[int], directives: str = "", *, http: str = "", ahead: float = 0.0
) -> AsyncIterator[Nginx]:
    """Run nginx in front of these ports; `directives` stand in its location, `http` above its server.

    `ahead`: seconds by which its clock is wrong; this needs libfaketime.
    """
    folder.mkdir()
    server = Nginx(folder, ports, directives, http, ahead)
    try:
        yield await server.start()
    finally:
        await server.stop()
