"""Find calls of Rolecall that block the event loop: files, SQLite, locks and sleeping belong on a thread."""

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from pathlib import Path
from types import FrameType
from typing import Any

from blockbuster import BlockBuster, BlockBusterFunction

import rolecall

PACKAGE = str(Path(rolecall.__file__).parent)
TESTS = str(Path(__file__).parent.parent)

FURTHER_CALLS = ("builtins.open", "io.open", "os.open", "os.fsync", "os.fdatasync", "fcntl.flock", "sqlite3.connect")
"""Blocking calls beside those that blockbuster knows."""


@contextmanager
def blocking_calls_fail(except_in: frozenset[str] = frozenset()) -> Iterator[None]:
    """Make a blocking call raise BlockingError if Rolecall makes it on a running event loop; report it at the end too.

    Raises AssertionError at the end for calls whose BlockingError was caught. `except_in`: the layers that may block.
    """
    found: list[str] = []

    def watch(function: BlockBusterFunction) -> None:
        is_harmless = function.can_block_predicate

        def may_block(*args: Any, **values: Any) -> bool:
            caller = sys._getframe(1)
            culprit = responsible_frame(caller)
            if culprit is None or layer_of(culprit) in except_in or is_harmless(*args, **values):
                return True
            if any(is_in(caller, path, names) for path, names in function.can_block_functions):
                return True
            found.append(f"{function.full_name} " + "".join(traceback.format_stack(culprit, limit=1)))
            return False

        function.can_block_predicate = may_block

    guard = BlockBuster()
    guard.functions |= {name: BlockBusterFunction(None, name) for name in FURTHER_CALLS}
    for function in guard.functions.values():
        watch(function)
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()
    assert not found, "Blocking calls on the event loop:\n" + "\n".join(found)


def responsible_frame(frame: FrameType | None) -> FrameType | None:
    """Return the frame of Rolecall that is responsible for a call; None where a test, or other code, makes it.

    Responsible is the innermost coroutine on the stack, or the callback of the event loop, with what it calls.
    """
    innermost = None
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(TESTS):
            return None
        if path.startswith(PACKAGE):
            innermost = innermost or frame
            if frame.f_code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
                return frame
        frame = frame.f_back
    return innermost


def is_in(frame: FrameType | None, path: str, names: Iterable[str]) -> bool:
    """Return whether one of the functions of a file is on the stack."""
    while frame is not None:
        if frame.f_code.co_name in names and frame.f_code.co_filename.endswith(path):
            return True
        frame = frame.f_back
    return False


def layer_of(frame: FrameType) -> str:
    """Return the layer of a frame of Rolecall: the name of a folder or module of the package."""
    return Path(frame.f_code.co_filename).relative_to(PACKAGE).parts[0].removesuffix(".py")
