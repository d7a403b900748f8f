"""Ctrl-C at every moment of a command: one line and exit code 130, or the result; never a traceback."""

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from random import Random

import pytest

from rolecall.sandbox import Sandbox, leader_world
from tests.support.command import (
    ROLECALL,
    Ended,
    environment,
    finish,
    outcomes,
    rolecall,
    start,
    wait_until_read,
    write_job,
)

PAIRS = [("room", "anna"), ("room", "ben"), ("other", "anna")]
INTERRUPTED = Ended(130, "", "rolecall: interrupted.\n")
INTERRUPTER = """
import atexit, os, signal, sys

moment, number = os.environ["INTERRUPT_AT"], int(os.environ["INTERRUPT_BY"])
events = None

def interrupt():
    os.kill(os.getpid(), number)

def watch(event, args):
    global events
    if event == "import" and args[0] == moment:
        interrupt()
    if event == "import" and args[0] == "rolecall.cli.main":
        events = 0
    elif events is not None:
        events += 1
        if str(events) == moment:
            interrupt()

if moment == "end":
    atexit.register(interrupt)
else:
    sys.addaudithook(watch)
"""
"""Python imports a module of this name at its start. It sends a signal where a module is imported, or at the n-th event
that Python reports to audit hooks (imports, opened files, sockets ...), or when the process ends."""


def interrupted_at(moment: str, folder: Path, number: signal.Signals = signal.SIGINT) -> dict[str, str]:
    """Return the variables that let a command get a signal at a moment of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(INTERRUPTER)
    return {"PYTHONPATH": str(folder), "INTERRUPT_AT": moment, "INTERRUPT_BY": str(int(number))}


@pytest.mark.parametrize(
    "module",
    [
        "rolecall.cli.main",
        "click",
        "rolecall.app.run_job",
        "asyncio",
        "aiohttp",
        "sqlite3",
        "orjson",
        "multidict",
        "uvloop",
    ],
)
async def test_an_interrupt_during_an_import_is_one_line(module: str, tmp_path: Path) -> None:
    """A signal while the command still imports its modules ends it with 130, one line, and no folder."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    number = Random(module).choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    env = environment("http://127.0.0.1:9", **interrupted_at(module, tmp_path / "site", number))
    assert await rolecall("run", job, cwd=tmp_path, env=env) == INTERRUPTED
    assert not (tmp_path / "runs").exists()


async def test_an_interrupt_at_any_moment_leaves_no_traceback_and_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    """At 16 moments from the first import to the end: exit code 130, or 0 with the whole report."""
    codes = set()
    for moment in range(20, 7220, 450):
        folder = tmp_path / str(moment)
        folder.mkdir()
        job = write_job(folder / "job.csv", PAIRS)
        async with Sandbox(leader_world(PAIRS)) as sandbox:
            env = environment(sandbox.url)
            site = interrupted_at(str(moment), tmp_path / "site")
            ended = await rolecall("run", job, "--out", "o", cwd=folder, env={**env, **site})
            assert ended.code in (0, 130), (moment, ended)
            assert "Traceback" not in ended.stderr, (moment, ended)
            assert "ignored" not in ended.stderr, (moment, ended)
            if ended.code:
                again = await rolecall("run", job, "--out", "o", cwd=folder, env=env)
                assert again.code == 0, (moment, again)
        assert sum(outcomes(folder / "o").values()) == len(PAIRS), moment
        assert {outcome for outcome, _ in outcomes(folder / "o")} == {"removed"}, moment
        codes.add(ended.code)
    assert 130 in codes


async def test_an_interrupt_after_the_end_changes_nothing(tmp_path: Path) -> None:
    """A signal while the process ends leaves the exit code of the result, and prints nothing."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        env = environment(sandbox.url, **interrupted_at("end", tmp_path / "site"))
        ended = await rolecall("run", job, "--quiet", "--out", "o", cwd=tmp_path, env=env)
    assert ended == Ended(0, "", "")


CLOSING = """
import os, signal, sys
from rolecall.cli.terminal import event_loop
from rolecall.cli.terminal.early_interrupt import handle_early_signals

async def left_open():
    try:
        yield
    finally:  # the loop closes it, after the work is done
        os.kill(os.getpid(), signal.SIGINT)

async def work():
    global generator
    generator = left_open()
    await anext(generator)
    return 7

handle_early_signals()
code = event_loop.run(work())
os.kill(os.getpid(), signal.SIGINT)
sys.exit(code)
"""


@pytest.mark.parametrize("uvloop", ["0", "1"])
async def test_an_interrupt_while_the_loop_closes_changes_nothing(uvloop: str, tmp_path: Path) -> None:
    """Once the work is done, a signal neither prints anything nor changes the exit code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLOSING),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "ROLECALL_UVLOOP": uvloop},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert await finish(process) == Ended(7, "", "")


REPORTING = """
import asyncio, os, signal, sys
from rolecall.app import reports
from rolecall.cli.entry import main

async def write_report_files(*_):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
    await asyncio.Event().wait()

reports.write_report_files = write_report_files
sys.exit(main())
"""
"""The command, whose reports are written until it is interrupted."""


@pytest.mark.parametrize("words", [(), ("--quiet",)])
async def test_a_second_interrupt_while_the_reports_are_written_names_the_run(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """Every outcome is recorded: the line names the command that writes the report, which then has all rows."""
    write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        env = environment(sandbox.url)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", REPORTING, "run", "job.csv", "--out", "an out", *words),
            cwd=tmp_path,
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = await finish(process)
        reported = await rolecall("report", "an out", cwd=tmp_path, env=env)
    assert ended.code == 130
    line = "Stopped at once. What was recorded is safe; the report is written by: rolecall report 'an out'"
    assert ended.stderr.splitlines().count(line) == 1
    assert "interrupted." not in ended.stderr
    assert reported.code == 0
    assert outcomes(tmp_path / "an out") == {("removed", ""): 3}


@pytest.mark.parametrize("words", [(), ("--log-format", "json"), ("--quiet",)])
async def test_an_interrupt_while_removals_are_counted_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    """A signal before the first change, while the roles are read for the limits, ends with one line and no folder."""
    pairs = [(f"room{number}", "user") for number in range(120)]
    job, world = write_job(tmp_path / "job.csv", pairs), leader_world(pairs)
    async with Sandbox(world, latency=0.02) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        process = await start("run", job, "--rate", "unlimited", *words, cwd=tmp_path, env=env)
        while not any(call.route == "groups.roles" for call in world.calls):
            await sandbox.wait_for_calls(len(world.calls) + 1)
        process.send_signal(signal.SIGINT)
        ended = await finish(process)
    if "json" in words:
        event = json.loads(ended.stderr)
        assert (ended.code, event["detail"], event["exit_code"]) == (130, "interrupted.", 130)
    else:
        assert ended == INTERRUPTED
    assert not any(call.route == "groups.removeLeader" for call in world.calls)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_while_stdin_is_read_ends_the_command(number: signal.Signals, tmp_path: Path) -> None:
    """The first signal ends a run that waits for its rows: one line, no folder, and the metrics say so."""
    world = leader_world(PAIRS)
    ours, theirs = os.pipe()
    async with Sandbox(world) as sandbox:
        process = await asyncio.create_subprocess_exec(
            *(ROLECALL, "run", "-", "--metrics-file", "m.prom"),
            cwd=tmp_path,
            env=environment(sandbox.url),
            stdin=ours,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(ours)
        os.write(theirs, b"roomId,userId\n")
        await asyncio.to_thread(wait_until_read, theirs)
        process.send_signal(number)
        ended = await finish(process)
    os.close(theirs)
    assert ended == INTERRUPTED
    assert world.calls == []
    assert not (tmp_path / "runs").exists()
    assert re.search(r"^\w+_exit_code\S* 130$", (tmp_path / "m.prom").read_text(), re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_while_a_list_is_read_ends_an_offboarding(number: signal.Signals, tmp_path: Path) -> None:
    """The first signal ends an offboarding that waits for its list: one line, nothing sent, and the metrics say so."""
    world = leader_world(PAIRS)
    ours, theirs = os.pipe()
    async with Sandbox(world) as sandbox:
        process = await asyncio.create_subprocess_exec(
            *(ROLECALL, "offboard", "--users", "-", "--metrics-file", "m.prom"),
            cwd=tmp_path,
            env=environment(sandbox.url),
            stdin=ours,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(ours)
        os.write(theirs, b"@someone\n")
        await asyncio.to_thread(wait_until_read, theirs)
        process.send_signal(number)
        async with asyncio.timeout(20):
            ended = await finish(process)
    os.close(theirs)
    assert ended == INTERRUPTED
    assert world.calls == []
    assert not (tmp_path / "offboardings").exists()
    assert re.search(r"^\w+_exit_code\S* 130$", (tmp_path / "m.prom").read_text(), re.MULTILINE)


@pytest.mark.parametrize("module", ["rolecall.app.run_job", "aiohttp", "asyncio"])
async def test_an_interrupt_before_a_fifo_is_read_has_its_effect(module: str, tmp_path: Path) -> None:
    """A signal during the imports ends a run whose job is a FIFO without a writer; it would wait for ever."""
    os.mkfifo(tmp_path / "job.csv")
    env = environment("http://127.0.0.1:9", **interrupted_at(module, tmp_path / "site"))
    assert await rolecall("run", "job.csv", cwd=tmp_path, env=env) == INTERRUPTED
