"""Context managers on a thread."""

import asyncio
import threading
from contextlib import AbstractContextManager

import pytest

from rolecall.app.run_directory import on_thread


class Slow(AbstractContextManager["Slow"]):
    """A context manager whose entering waits."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()
        self.events: list[str] = []

    def __enter__(self) -> "Slow":
        self.has_begun.set()
        self.may_go_on.wait(10)
        self.events.append("entered")
        return self

    def __exit__(self, *_: object) -> None:
        self.events.append("exited")


async def test_what_is_entered_on_a_thread_during_a_cancellation_is_exited() -> None:
    """The cancellation waits for the thread, so that no file is left to the garbage collector."""
    slow = Slow()

    async def use() -> None:
        async with on_thread(slow):
            raise AssertionError("it was cancelled before")

    using = asyncio.create_task(use())
    await asyncio.to_thread(slow.has_begun.wait, 10)
    using.cancel()
    await asyncio.sleep(0)
    slow.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert slow.events == ["entered", "exited"]
