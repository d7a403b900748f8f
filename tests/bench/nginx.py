"""A cross-check against nginx as the target: were the target in the way, nginx would show other ratios."""

import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import measure
from tests.bench.competitors import competitors
from tests.bench.jobs import write_job
from tests.bench.target import GOOD, ME

Say = Callable[[str], None]
CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/access.log combined buffer=64k flush=1s;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  keepalive_requests 100000000; default_type application/json;
  server {{
    listen 127.0.0.1:{port};
    location = /api/v1/me {{ return 200 '{me}'; }}
    location = /api/v1/groups.removeLeader {{ return 200 '{good}'; }}
  }}
}}
"""
NAMES = ("rolecall", "bare aiohttp, uvloop", "bare aiohttp, asyncio", "curl --parallel")


def cross_check(rows: int, rounds: int, say: Say) -> dict[str, Any] | None:
    """Measure the fast ones against nginx at no latency; None where it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        say("left out: nginx (not installed)")
        return None
    present = [one for one in competitors() if one.name in NAMES and not one.absent]
    taken: dict[str, list[dict[str, float]]] = {one.name: [] for one in present}
    with measure.scratch() as folder, _running(program, folder) as url:
        job, counted = write_job(folder / "job.csv", rows), 0
        for number in range(rounds):
            for one in present:
                command = one.command(url, job, rows)
                measured = measure.run(command.words, cwd=folder, env=measure.environment(url))
                counted = _check(folder / "access.log", counted, rows, one.name)
                speed = rows / measured.seconds
                cpu = measured.cpu / rows * 1000
                taken[one.name].append(
                    {"rows": rows, "per_second": speed, "cpu_per_1000": cpu, "peak_mb": measured.peak_mb}
                )
                say(f"nginx, round {number + 1}: {one.name}: {speed:,.0f} rows/s")
    return {"rounds": rounds, "absent": {}, "series": [{"latency_ms": 0, "rows": rows, "taken": taken}]}


def _check(log: Path, before: int, rows: int, who: str) -> int:
    time.sleep(1.5)  # nginx writes its log once a second
    with log.open("rb") as file:
        posts = sum(b"POST /api/v1/groups.removeLeader" in line and b'" 200 ' in line for line in file)
    if posts - before != rows:
        raise measure.Failed(f"{who} was to send {rows} rows; nginx logged {posts - before}")
    return posts


@contextmanager
def _running(program: str, folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, me=ME.decode(), good=GOOD.decode()), "ascii")
    process = subprocess.Popen([program, "-c", config, "-e", folder / "error.log"])
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _await(port: int) -> None:
    for _ in range(100):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/api/v1/me")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise measure.Failed("nginx did not come up")
