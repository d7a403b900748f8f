"""The guard against blocking calls: it finds those of Rolecall on the event loop, and leaves those of tests alone."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError

from tests.support.blocking import PACKAGE, blocking_calls_fail

CODE = """
async def call(block): return block()
def call_directly(block): return block()
async def catch(block):
    try: block()
    except Exception: pass
async def on_thread(block): return await asyncio.to_thread(block)
"""


def in_layer(layer: str) -> dict[str, Any]:
    """Return functions that look as if they were part of a layer of Rolecall."""
    names: dict[str, Any] = {"asyncio": asyncio}
    exec(compile(CODE, f"{PACKAGE}/{layer}/module.py", "exec"), names)
    return names


CALLS = """
calls = {
    "sleep": lambda: time.sleep(0),
    "file": lambda: path.open("w").close(),
    "stat": lambda: path.exists(),
    "database": lambda: sqlite3.connect(":memory:").close(),
    "lock": lambda: lock.acquire(timeout=0.001),
}
"""


def blocking_calls(path: Path) -> dict[str, Callable[[], object]]:
    """Return calls that block, from code that is not a file of the tests."""
    lock = threading.Lock()
    lock.acquire()
    names: dict[str, Any] = {"path": path, "sqlite3": sqlite3, "time": time, "lock": lock}
    exec(compile(CALLS, "elsewhere.py", "exec"), names)
    calls: dict[str, Callable[[], object]] = names["calls"]
    return calls


@pytest.mark.parametrize("name", ["sleep", "file", "stat", "database", "lock"])
async def test_a_blocking_call_fails(tmp_path: Path, name: str) -> None:
    """A call that blocks in a coroutine of Rolecall raises BlockingError, and is reported at the end."""
    call, block = in_layer("store")["call"], blocking_calls(tmp_path / "file")[name]
    with pytest.raises(AssertionError, match="Blocking calls"), blocking_calls_fail(), pytest.raises(BlockingError):
        await call(block)
    await call(block)


async def test_a_caught_error_is_reported_at_the_end() -> None:
    """A BlockingError that Rolecall catches fails the test all the same, with the place of the call."""
    catch = in_layer("store")["catch"]
    with pytest.raises(AssertionError, match=r"time\.sleep .*store/module\.py"), blocking_calls_fail():
        await catch(blocking_calls(Path())["sleep"])


async def test_a_callback_of_the_loop_is_responsible() -> None:
    """A function of Rolecall that the event loop calls directly may not block either."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    with pytest.raises(AssertionError, match="Blocking calls"), blocking_calls_fail():  # noqa: PT012 # at the end
        loop.call_soon(in_layer("engine")["call_directly"], blocking_calls(Path())["sleep"])
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["on a thread", "of a test", "through a test", "in a layer that may"])
async def test_other_blocking_calls_are_allowed(tmp_path: Path, name: str) -> None:
    """Allowed are calls on threads, those that a test makes through sync code, and those of the layers to leave out."""
    block = blocking_calls(tmp_path / "file")["stat"]
    names = in_layer("app" if name == "in a layer that may" else "store")

    def through_a_test() -> object:
        return block()

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "on a thread": lambda: names["on_thread"](block),
        "through a test": lambda: names["call"](through_a_test),
        "in a layer that may": lambda: names["call"](block),
    }
    with blocking_calls_fail(frozenset({"app"})):
        if name == "of a test":
            names["call_directly"](block)
        else:
            await calls[name]()
