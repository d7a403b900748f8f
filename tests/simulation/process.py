"""One session of the worker: the real engine in a process that can be killed, paused, interrupted and suspended."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rolecall.app.run_directory import Run
from rolecall.app.send_session import open_session
from rolecall.engine.clock import Clock
from rolecall.engine.context import Caller, RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.file_access import OpenDirectory
from rolecall.models import Reply, RolecallError
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.preflight import fetch_current_user, may_bypass_rate_limit, parse_account
from rolecall.rocketchat.rate_limit_headers import server_date
from rolecall.sandbox import Account
from rolecall.store.base import StoreError
from rolecall.store.records import Batch, Identity
from tests.simulation.client import SimulatedClient
from tests.simulation.interruptions import Interruption, Kind
from tests.simulation.loop import NumberedTask, SimulationLoop
from tests.simulation.network import URL, Line, Network
from tests.simulation.session_rules import SessionWatch
from tests.support.engine import SilentLog
from tests.support.memory_store import MemoryStore
from tests.unit.engine.virtual import EPOCH

DEATH_THROES = 3600.0
"""Seconds in which the tasks of a dead process, which are cancelled, must have ended."""


class Process:
    """One process with one session. Its tasks are all that the loop runs beside the simulation's own."""

    def __init__(
        self,
        network: Network,
        store: MemoryStore,
        line: tuple[int, Account],
        interruption: Interruption | None,
        *,
        loop: SimulationLoop,
        skew: float,
        commit_time: Callable[[], float],
        watch: SessionWatch,
    ) -> None:
        """`line`: the number of the session, and its account. `skew`: that of the wall clock, in seconds."""
        self.watch = watch
        self.network = network
        self.store = store
        self.line = Line(*line, self.step)
        self.stop = StopSignal()
        self.skew = skew
        self.was_cut_off = False
        """True where calls may have been cut off: killed, cancelled, or without a store."""
        self.failure = ""
        """What ended the session before its first row."""
        self.clock = Clock(now=loop.time, wall=lambda: EPOCH + self.skew + loop.time())
        self._loop = loop
        self._interruption = interruption
        self._commit_time = commit_time
        self._steps = 0
        self._disk_is_full = False
        self._killed = loop.create_future()
        self._session: NumberedTask | None = None
        store.before_commit, store.after_commit = self._before_commit, self._after_commit

    def step(self, what: str) -> None:
        """Count a step, and let the interruption happen where it is due."""
        self._steps += 1
        planned = self._interruption
        if planned is None or not self.line.is_alive:
            return
        if self._steps == planned.after and planned.name not in self.network.without:
            self.network.faults[planned.name] = None
            self.network.note("interrupted", planned.kind.name, what)
            self._interrupt(planned)
        is_second = planned.kind is Kind.INTERRUPT_TWICE and self.stop.reason is StopReason.INTERRUPTED
        if is_second and self._steps == planned.after + planned.second_after and self._session is not None:
            self.was_cut_off = True
            self.network.note("interrupted again", what)
            self._session.cancel()

    def _interrupt(self, planned: Interruption) -> None:
        match planned.kind:
            case Kind.KILL:
                self.was_cut_off, self.line.is_alive = True, False
                self.store = self.store.crash()
                self._killed.set_result(None)
            case Kind.PAUSE:
                self._loop.skip(planned.seconds)
                self.network.timeline.catch_up()
            case Kind.INTERRUPT | Kind.INTERRUPT_TWICE:
                self.stop.request(StopReason.INTERRUPTED)
                self.watch.stopped_at = self._loop.time()
            case Kind.SET_CLOCK:
                self.skew += planned.seconds
            case Kind.DISK_FULL:
                self._disk_is_full = self.was_cut_off = True

    async def _before_commit(self, batch: Batch) -> None:
        if (seconds := self._commit_time()) > 0:
            await asyncio.sleep(seconds)
        self.step("committing")
        self.watch.at_commit(batch, self.store)
        if self._disk_is_full:
            raise StoreError("disk full")

    async def _after_commit(self, batch: Batch) -> None:
        self.network.note("committed", *map(len, batch))
        self.step("committed")

    async def live(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of a session until it ends or is killed; afterwards no task of it is left."""
        others = set(self._loop.running)
        session = self._loop.create_task(work)
        assert isinstance(session, NumberedTask)
        self._session = session
        await asyncio.wait([session, self._killed], return_when=asyncio.FIRST_COMPLETED)
        if not self.line.is_alive:
            await self._die(others)
        elif session.done() and not session.cancelled() and (error := session.exception()) is not None:
            raise error
        left = [task for task in self._loop.running if task not in others]
        if left:
            raise AssertionError(f"tasks of the session are left: {left}")

    async def _die(self, others: set[NumberedTask]) -> None:
        end = self._loop.time() + DEATH_THROES
        while left := [task for task in self._loop.running if task not in others]:
            if self._loop.time() > end:
                raise AssertionError(f"tasks cannot be cancelled: {left}")
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=60.0)
        if self._session is not None and not self._session.cancelled():
            self._session.exception()  # of no interest: the process is dead

    async def run(self, operation: Operation, settings: Settings, patience: float) -> None:
        """Run one session as the command does: preflight, then every due row.

        `patience`: the seconds that the client waits for a response.
        """
        store = self.store
        async with SimulatedClient(self.network, self.line, self._loop, patience) as client:
            try:
                reply = await fetch_current_user(client, settings.outage_timeout, lambda _: None)
                account = parse_account(reply, URL)
                may_be_exempt = await may_bypass_rate_limit(client, account)
            except RolecallError as error:
                self.failure = str(error)
                return
            date = server_date(reply.headers) if isinstance(reply, Reply) else None
            caller = Caller(account.user_id, None if date is None else round(date * 1000), may_be_exempt)
            context = RunContext.create(settings, SilentLog(), clock=self.clock, stop=self.stop, caller=caller)
            with OpenDirectory(Path()) as directory:  # nothing is written in it
                run = Run(directory, Identity(URL, operation.name, "job"), store)
                try:
                    async with open_session(run, account.username, 0, context):
                        await process_rows(store, client, operation, context)
                except StoreError as error:  # the session could not even be begun
                    self.failure = str(error)
