"""The event loop: uvloop where it is installed, unless ROLECALL_UVLOOP=0."""

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new event loop; raises KeyboardInterrupt when a signal cancelled it."""
    # What is imported stays, so the collector need not look at it; and it may look at the rest less often.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    with asyncio.Runner(loop_factory=_factory()) as runner:
        try:
            return runner.run(main)
        except asyncio.CancelledError:  # a signal, before there was anything to end in stages
            raise KeyboardInterrupt from None


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("ROLECALL_UVLOOP", "1") == "0":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
