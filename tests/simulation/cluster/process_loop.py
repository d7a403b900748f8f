"""An event loop of several processes: each of them can stand still, or die, while the others and the world go on.

What belongs to a process runs in a context that names it; what has no such context is the world's.
"""

import asyncio
from contextvars import Context, copy_context
from typing import Protocol

from tests.simulation.loop import OWNER, NumberedTask, SimulationLoop


class Scheduled(Protocol):
    """A process, as the loop sees it."""

    is_frozen: bool

    def step(self) -> None:
        """Receive a signal, perhaps: this is called before each callback of the process."""

    def keep(self, handle: asyncio.Handle) -> None:
        """Keep a callback that is ready until the process goes on."""


def context_of(process: Scheduled) -> Context:
    """Return a new context of a process."""
    context = copy_context()
    context.run(OWNER.set, process)
    return context


class ProcessLoop(SimulationLoop):
    """A loop whose callbacks belong to processes."""

    def tasks_of(self, process: Scheduled) -> list[NumberedTask]:
        """Return the tasks of a process that are not done, in the order of their creation."""
        return [task for task in self.running if task.owner is process]

    def resume(self, handles: list[asyncio.Handle]) -> None:
        """Let callbacks that were kept run next, in their order."""
        self._ready.extend(handles)

    def _run_once(self) -> None:
        """Run what is ready, each callback as its process is."""
        self._collect_ready()
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                self._run_handle(handle)

    def _run_handle(self, handle: asyncio.Handle) -> None:
        process: Scheduled | None = handle._context.get(OWNER)  # type: ignore[attr-defined]
        if process is None:
            handle._run()
            return
        if not process.is_frozen:
            process.step()
        if process.is_frozen:
            process.keep(handle)
        elif not handle.cancelled():
            handle._run()
