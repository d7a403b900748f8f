"""Who is measured beside Rolecall. Whoever is not installed is left out, with a word."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.jobs import pairs
from tests.bench.measure import ROLECALL, UNREAD, environment

RIVALS = Path(__file__).with_name("rivals")
POST = "/api/v1/groups.removeLeader"


class Command(NamedTuple):
    """How a competitor is started."""

    words: Sequence[str | Path]
    stdin: Path | None = None


class Competitor(NamedTuple):
    """One way to post the rows of a job."""

    name: str
    share: tuple[float, float]
    """The part of the rows that it is given, at no latency and with some: slow ones would take too long."""
    command: Callable[[str, Path, int], Command]
    """Prepares a run (files are made here, outside of the measured time) from url, job file and rows."""
    absent: str = ""
    """Why it cannot be measured here; empty when it can."""


def competitors() -> list[Competitor]:
    """Name everybody; the first is Rolecall, the second what it is held against."""
    client = python_with("rocketchat_API")
    no_client = "" if client else "not installed; name a Python that has rocketchat-api as BENCH_PYTHON"
    api = RIVALS / "by_rocketchat_api.py"
    return [
        Competitor("rolecall", (1, 1), _rolecall),
        Competitor("bare aiohttp, uvloop", (1, 1), _bare("uvloop"), "" if _has("uvloop") else "uvloop not installed"),
        Competitor("bare aiohttp, asyncio", (1, 1), _bare("asyncio")),
        Competitor("curl --parallel", (1, 1), _curl, _missing("curl")),
        Competitor("rocketchat-api", (0.05, 0.01), lambda url, job, rows: Command((client, api, job, "1")), no_client),
        Competitor(
            "rocketchat-api, 64 threads",
            (0.05, 0.1),
            lambda url, job, rows: Command((client, api, job, "64")),
            no_client,
        ),
        Competitor("xargs -P 64 curl", (0.01, 0.02), _xargs, _missing("curl") or _missing("xargs")),
    ]


def python_with(package: str) -> str:
    """Find a Python that can import a package: BENCH_PYTHON, or this one; empty where neither can."""
    for python in (os.environ.get("BENCH_PYTHON", ""), sys.executable):
        if (
            python
            and subprocess.run([python, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0
        ):
            return python
    return ""


def _has(package: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0


def _missing(tool: str) -> str:
    return "" if shutil.which(tool) else f"{tool} not installed"


def _rolecall(url: str, job: Path, rows: int) -> Command:
    shutil.rmtree(job.parent / "out", ignore_errors=True)
    options = ("--out", "out", *UNREAD, "--rate", "unlimited")
    return Command((ROLECALL, "run", job, *options))


def _bare(loop: str) -> Callable[[str, Path, int], Command]:
    return lambda url, job, rows: Command((sys.executable, RIVALS / "bare_aiohttp.py", job, loop))


def _headers() -> list[str]:
    known = environment()
    return [
        "Content-Type: application/json",
        f"X-User-Id: {known['ROCKETCHAT_USER_ID']}",
        f"X-Auth-Token: {known['ROCKETCHAT_AUTH_TOKEN']}",
    ]


def _curl(url: str, job: Path, rows: int) -> Command:
    config = job.with_suffix(".curl")
    head = "".join(f'header = "{header}"\n' for header in _headers())
    with config.open("w", encoding="ascii") as file:
        file.write("silent\nfail\nparallel\nparallel-max = 64\n")
        for number, (room, user) in enumerate(pairs(rows)):
            file.write("next\nsilent\nfail\n" if number else "")
            file.write(f'url = "{url}{POST}"\noutput = "/dev/null"\n{head}')
            file.write(f'data = "{{\\"roomId\\":\\"{room}\\",\\"userId\\":\\"{user}\\"}}"\n')
    return Command(("curl", "--config", config))


def _xargs(url: str, job: Path, rows: int) -> Command:
    bodies = job.with_suffix(".bodies")
    with bodies.open("w", encoding="ascii") as file:
        file.writelines(f'\'{{"roomId":"{room}","userId":"{user}"}}\'\n' for room, user in pairs(rows))
    headers = [word for header in _headers() for word in ("-H", header)]
    curl = ("curl", "-s", "-f", "-o", "/dev/null", *headers, "-d", "{}", url + POST)
    return Command(("xargs", "-P", "64", "-I", "{}", *curl), bodies)
