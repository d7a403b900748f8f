"""The wish to end a run before its last row."""

import asyncio

from rolecall.engine.stop_reasons import StopReason


class StopSignal:
    """The wish to end the run; the first reason stands."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.detail = ""
        self._asked = asyncio.Event()

    def ask(self, reason: StopReason, detail: str = "") -> None:
        """Ask for the end; later reasons do not replace the first."""
        if self.reason is None:
            self.reason, self.detail = reason, detail
            self._asked.set()

    async def asked(self) -> None:
        """Return once the end has been asked for."""
        await self._asked.wait()
