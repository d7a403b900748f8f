"""Whole processes from outside: wall time, processor time and peak memory, as the kernel accounts for them.

Linux starts a child's peak memory at what its parent had when it started it. So this process must stay smaller than
whatever it measures: nothing here holds rows, and nothing large is imported.
"""

import http.client
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

ROOT = Path(__file__).resolve().parents[2]
ROLECALL = Path(sys.executable).with_name("rolecall")
UNREAD = ("--yes", "--concurrency", "64", "--no-read-roles")
"""Options of a run that sends every row: the target knows no roles that could be read first."""
LONGEST = 900
"""Seconds after which a measured process is taken for stuck."""


class Measured(NamedTuple):
    """One process from its start to its end."""

    seconds: float
    cpu: float
    """Seconds of processor time, user and system, its own children included."""
    peak_mb: float
    started: float
    """When it was started, on the system's monotonic clock."""


class Failed(Exception):  # noqa: N818 - a verdict of the measurement
    """A measured process did not do its work, so its figures mean nothing."""


class Counted(NamedTuple):
    """What reached the target; moments are those of the system's monotonic clock."""

    posts: int
    refused: int
    strange: int
    distinct: int
    once: int
    first_request: float
    first_post: float
    last_post: float
    arrivals: Sequence[float]


class Target:
    """The running target."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.url = f"http://127.0.0.1:{port}"

    def reset(self, **how: float) -> None:
        """Begin to count anew; see target.Counts for what may be set."""
        self._get("/bench/reset?" + "&".join(f"{name}={value}" for name, value in how.items()))

    def counts(self) -> Counted:
        """Tell what came since the last reset."""
        return Counted(**orjson.loads(self._get("/bench/counts")))

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def running_target() -> Iterator[Target]:
    """Start the target, and end it by its own process id."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.target"], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Target(int(process.stdout.readline()))
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder on a real disk (a ledger waits for it) that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="rolecall-bench-", dir=os.environ.get("BENCH_DIR")) as folder:
        yield Path(folder)


def run(words: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], stdin: Path | None = None) -> Measured:
    """Run a process to its end and measure it. Raises Failed when it ends badly."""
    with (cwd / "stdout.txt").open("wb") as out, (cwd / "stderr.txt").open("wb") as err:
        source = stdin.open("rb") if stdin else None
        try:
            started = time.monotonic()
            process = subprocess.Popen(
                [*map(str, words)], cwd=cwd, env=dict(env), stdin=source or subprocess.DEVNULL, stdout=out, stderr=err
            )
            usage = _wait(process)
            seconds = time.monotonic() - started
        finally:
            if source is not None:
                source.close()
    if process.returncode != 0:
        told = (cwd / "stderr.txt").read_text("utf-8", "replace")[-500:]
        raise Failed(f"{Path(words[0]).name} ended with {process.returncode}: {told}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, started)


def _wait(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    def stuck(signum: int, frame: object) -> None:
        process.kill()

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(LONGEST)
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return usage


def environment(url: str = "", **more: str) -> dict[str, str]:
    """Give the environment of a measured process."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "ROCKETCHAT_URL": url,
        "ROCKETCHAT_USER_ID": "rbAXPnMktTFbNpwtJ",
        "ROCKETCHAT_AUTH_TOKEN": "9HqLlyZOugoStsXCUfD_0YdwnNnunAJF8V47U3QHXSq",
        **more,
    }


def rolecall(target: Target, job: Path, out: Path, *options: str, rate: str = "unlimited") -> Measured:
    """Run a job with the installed command, 64 calls in flight."""
    words: list[str | Path] = [ROLECALL, "run", job, "--out", out, *UNREAD, "--rate", rate]
    return run([*words, *options], cwd=job.parent, env=environment(target.url))


def check_rows(target: Target, rows: int, who: str) -> Counted:
    """Tell what the target counted. Raises Failed unless it took each row exactly once."""
    counted = target.counts()
    if (counted.posts - counted.refused, counted.distinct, counted.once, counted.strange) != (rows, rows, rows, 0):
        raise Failed(f"{who} was to send {rows} rows once each; the target counted {counted._replace(arrivals=())}")
    return counted


def check_report(out: Path, rows: int) -> None:
    """Read the report line by line. Raises Failed unless it tells each row once, and all of them as removed."""
    with (out / "report.csv").open("rb") as file:
        next(file)
        removed = sum(b",removed," in line for line in file)
    with (out / "report.csv").open("rb") as file:
        lines = sum(1 for _ in file) - 1
    if (lines, removed) != (rows, rows):
        raise Failed(f"{out}/report.csv tells {lines} rows, {removed} of them removed; there are {rows}")


def machine() -> dict[str, Any]:
    """Say where this was measured."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "processor": model or os.uname().machine,
        "system": f"{os.uname().sysname} {os.uname().release}",
        "python": sys.version.split()[0],
        "load_before": os.getloadavg()[0],
        "harness_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _lines(path: str) -> Sequence[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return ()
