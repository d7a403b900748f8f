"""All blocking work of one run, one thing after another on a thread of its own, so that the event loop is free."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class BlockingExecutor:
    """Calls what blocks, and keeps what must be let go of in the end."""

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rolecall")
        self._kept = ExitStack()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything, after whatever is still at work; no cancellation hinders it."""
        letting_go = self._thread.submit(self._kept.__exit__, kind, error, trace)
        try:
            await asyncio.shield(asyncio.wrap_future(letting_go))
        finally:
            self._thread.shutdown()

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something on the thread; when this is cancelled, what has begun there goes on to its end."""
        return await asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))

    async def keep(self, resource: AbstractContextManager[T]) -> T:
        """Open something that stays open until the end."""
        return await self.call(self._kept.enter_context, resource)
