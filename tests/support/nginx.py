"""A real nginx in front of sandboxes, on loopback, with its files in a folder of the test."""

import asyncio
import contextlib
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
START_TIMEOUT = 10.0
CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type application/json;
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

    def __init__(self, folder: Path, ports: Iterable[int], directives: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        text = CONFIG.format(folder=folder, port=self._port, servers=servers, directives=directives)
        (folder / "nginx.conf").write_text(text, "ascii")

    async def start(self) -> Self:
        """Start it and wait until it listens."""
        assert PROGRAM is not None
        words = ("-p", self._folder, "-c", self._folder / "nginx.conf", "-e", self._folder / "error.log")
        self._process = await asyncio.create_subprocess_exec(PROGRAM, *map(str, words))
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

    def reload(self) -> None:
        """Read the configuration again: old workers finish their requests and close idle connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)


@asynccontextmanager
async def nginx(folder: Path, ports: Iterable[int], directives: str = "") -> AsyncIterator[Nginx]:
    """Run nginx in front of these ports; `directives` stand in its location."""
    folder.mkdir()
    server = Nginx(folder, ports, directives)
    try:
        yield await server.start()
    finally:
        await server.stop()
