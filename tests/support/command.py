"""The installed command as a subprocess, with nothing of this process's environment but what it is given."""

import asyncio
import csv
import fcntl
import os
import struct
import sys
import termios
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rolecall.sandbox import ACCOUNT

ROLECALL = Path(sys.executable).with_name("rolecall")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def environment(url: str, **more: str) -> dict[str, str]:
    """Give the environment of a command that works on a sandbox, without a question and without a limit on removals."""
    return {
        "PATH": os.environ["PATH"],
        "ROCKETCHAT_URL": url,
        "ROCKETCHAT_USER_ID": ACCOUNT.user_id,
        "ROCKETCHAT_AUTH_TOKEN": ACCOUNT.token,
        "ROLECALL_YES": "1",
        "ROLECALL_MAX_REMOVALS": "100%",
        **more,
    }


async def start(
    *words: str | Path, cwd: Path, env: Mapping[str, str], program: Sequence[str] = (str(ROLECALL),)
) -> asyncio.subprocess.Process:
    """Start the command, its output piped and no terminal on its input."""
    return await asyncio.create_subprocess_exec(
        *program,
        *map(str, words),
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def rolecall(*words: str | Path, cwd: Path, env: Mapping[str, str], stdin: bytes = b"") -> Ended:
    """Run the command to its end."""
    return await finish(await start(*words, cwd=cwd, env=env), stdin)


def write_job(path: Path, pairs: Iterable[tuple[str, str]]) -> Path:
    """Write a CSV job file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("roomId", "userId"))
        table.writerows(pairs)
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_report(folder: Path) -> list[dict[str, str]]:
    """Read a run's report.csv."""
    return read_rows(folder / "report.csv")


def many(rows: int, rooms: int = 7) -> list[tuple[str, str]]:
    """Give the pairs of a job."""
    return [(f"room{number % rooms}", f"user{number:04}") for number in range(rows)]


async def finish(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> Ended:
    """Await a started command; without `stdin` its input stays as it is."""
    stdout, stderr = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


def metrics(path: Path) -> Mapping[str, float]:
    """Read a metrics file; rows by their outcome."""
    from prometheus_client.parser import text_string_to_metric_families  # nothing else here needs it

    return {
        sample.labels.get("outcome", sample.name): sample.value
        for family in text_string_to_metric_families(path.read_text("utf-8"))
        for sample in family.samples
    }


def outcomes(folder: Path) -> Counter[tuple[str, str]]:
    """Count a report's outcomes and reasons."""
    return Counter((row["outcome"], row["reason"]) for row in read_report(folder))


def wait_until_read(pipe: int) -> None:
    """Return once the reader of a pipe has read everything that was written."""
    waiting = 1
    while waiting:
        (waiting,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
