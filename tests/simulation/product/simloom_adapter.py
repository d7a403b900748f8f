"""One simulation on simloom: its loop, its network, and the hosts that processes run on. Nothing else imports it.

simloom draws from a seed which ready callback runs next and how long bytes are under way. Added here: what is given to
threads runs in the loop, in order and in virtual time; and the clocks of the process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Any

import simloom

from tests.simulation.loop import NumberedTask
from tests.simulation.product.clocks import virtual_time

GC_INTERVAL = 20_000
"""Steps between two collections of garbage, each of which takes some 10 ms."""
MAX_CALL = 0.02
"""Seconds of a call on a thread, at most."""


@dataclass(frozen=True)
class Simulated:
    """One simulation that has ended."""

    error: BaseException | None
    events: Callable[[], str] = field(repr=False)
    """Returns a hash of every step and its time, which takes a while."""


@dataclass(eq=False)
class ThreadCall:
    """A call on a thread."""

    function: Callable[[], Any]
    future: asyncio.Future[Any]
    of_store: bool
    """On an executor of its own, not on the loop's."""
    has_begun: bool = False
    deliver: Callable[[], None] | None = None
    """Sets the result; set once it is executed. Its result may then still be under way to the loop."""


class Threads:
    """Runs what is given to threads: in the loop, in virtual time, and in order where an executor has one thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self._loop = loop
        self._random = random
        self._free_at: dict[object, float] = {}
        self._calls: dict[ThreadCall, None] = {}
        self._lost: list[ThreadCall] = []

    def run_in_executor(self, executor: object, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Do what the loop's method of this name does."""
        call = ThreadCall(partial(function, *args), self._loop.create_future(), executor is not None)
        self._calls[call] = None
        now = self._loop.time()
        begin = now if executor is None else max(now, self._free_at.get(executor, now))
        end = begin + self._random.uniform(1e-6, MAX_CALL)
        if executor is not None:
            self._free_at[executor] = end
        self._loop.call_at(begin, self._begin, call)
        self._loop.call_at(end, self._execute, call)
        return call.future

    def power_off(self) -> Callable[[], Any] | None:
        """Forget every call; return the call of the store that had begun and not ended, if there is one."""
        lost, self._calls = list(self._calls), {}
        self._lost += lost
        begun = (call for call in lost if call.has_begun and call.deliver is None)
        return next((call.function for call in begun if call.of_store), None)

    def release_lost(self) -> None:
        """End the calls that were forgotten, so that the dead tasks can be ended after all."""
        for call in self._lost:
            if call.deliver is None:
                call.future.cancel()
            else:
                call.deliver()

    def _begin(self, call: ThreadCall) -> None:
        if call.future.cancelled():  # a queued call is not begun any more
            self._calls.pop(call, None)
        call.has_begun = call in self._calls

    def _execute(self, call: ThreadCall) -> None:
        if call not in self._calls or not call.has_begun:
            return
        try:
            call.deliver = partial(_set_result, call.future, call.function())
        except Exception as error:
            call.deliver = partial(_set_exception, call.future, error)
        self._loop.call_later(self._random.uniform(0.0, MAX_CALL / 10), self._deliver, call)

    def _deliver(self, call: ThreadCall) -> None:
        if call in self._calls and call.deliver is not None:
            del self._calls[call]
            call.deliver()


def _set_result(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class Process:
    """A process on a host of its own, which can lose its power."""

    def __init__(self, world: "World", name: str, main: Callable[[], Coroutine[Any, Any, int]]) -> None:
        host = world.simulated.host(name)
        self._host = host
        self._world = world
        self._network = world.simulated.net
        self._powered_off = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[int] = host.spawn(main)

    async def wait(self) -> int | None:
        """Return what the process returned; None if its power was cut."""
        await asyncio.wait([self._task, self._powered_off], return_when=asyncio.FIRST_COMPLETED)
        return None if self._powered_off.done() else self._task.result()

    def cancel(self) -> None:
        """Cancel the process."""
        self._task.cancel()

    def power_off(self) -> Callable[[], Any] | None:
        """Stop the process for ever: no task of it runs again. Return the call of the store that is in progress."""
        if self._task.done() or self._powered_off.done():
            return None
        connections = self._network._live_transports.values()
        self._world.dead_protocols += [each.get_protocol() for each in connections if each.owner is self._host]
        self._host.crash()
        self._powered_off.set_result(None)
        return self._world.threads.power_off()

    def reset_connections(self) -> None:
        """Break all connections of the process."""
        self._network.reset_connections(self._host, None)

    def disconnect(self) -> None:
        """Let no byte pass between the process and the world."""
        self._network.partition([self._host], [None])

    def reconnect(self) -> None:
        """Let bytes pass again; those that waited arrive, also where their connection was given up."""
        self._network.heal()


class NumberedFuture(asyncio.Future[Any]):
    """A future whose hash is its number."""

    number = 0

    def __hash__(self) -> int:
        """Return the number."""
        return self.number


def number_futures(loop: asyncio.AbstractEventLoop) -> None:
    """Let tasks and futures have numbers, by which sets of them are ordered: else that is by their place in memory."""
    numbers = count(1)

    def create_task(_: object, coroutine: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        task = NumberedTask.__new__(NumberedTask)
        task.number = next(numbers)
        task.__init__(coroutine, loop=loop, **more)  # type: ignore[misc]  # the hash is needed there
        return task

    def create_future() -> asyncio.Future[Any]:
        future = NumberedFuture(loop=loop)
        future.number = next(numbers)
        return future

    loop.set_task_factory(create_task)  # type: ignore[arg-type]  # typeshed has a union of coroutines
    loop.create_future = create_future  # type: ignore[method-assign]


class World:
    """What a simulation consists of, for the code that plays it."""

    def __init__(self, simulated: Any, random: Random) -> None:
        self.simulated = simulated
        loop: Any = asyncio.get_running_loop()
        self.threads = Threads(loop, random)
        number_futures(loop)
        loop.run_in_executor = self.threads.run_in_executor
        # With more latency the client would time out where nothing has gone wrong.
        simulated.net.set_latency(0.0005, random.choice((0.002, 0.02, 0.1)))
        simulated.net.set_loss(random.choice((0, 0, 1, 5)))
        self.dead_protocols: list[asyncio.BaseProtocol] = []

    def start(self, name: str, main: Callable[[], Coroutine[Any, Any, int]]) -> Process:
        """Start a process on a new host."""
        return Process(self, name, main)

    def release_dead(self) -> None:
        """End what processes without power wait for: simloom cancels their tasks after the simulation."""
        self.threads.release_lost()
        for protocol in self.dead_protocols:
            protocol.connection_lost(None)


def has_unread_bytes(transport: Any) -> bool:
    """Return whether bytes, or the end of the connection, have arrived that the protocol has not read yet."""
    return transport is not None and bool(getattr(transport, "_inbox", ()))


def simulate(seed: int, play: Callable[[World], Awaitable[None]]) -> Simulated:
    """Play a simulation of a seed to its end."""
    problems: list[BaseException] = []

    async def main(world: Any) -> None:
        loop: Any = asyncio.get_running_loop()
        with virtual_time(loop.time):
            simulated = World(world, Random(f"{seed} threads"))
            try:
                await play(simulated)
            except Exception as error:
                problems.append(error)
            problems.extend(
                AssertionError(f"{each.get('message')}: {each.get('exception')!r}")
                for each in loop.unhandled_exceptions
            )
            simulated.release_dead()

    result = simloom.run(
        main,
        seed=seed,
        raise_on_error=False,
        on_unhandled="record",
        gc_interval=GC_INTERVAL,
        seed_randomness=True,
    )
    if result.outcome == "error" and not problems:
        problems.append(result.error)
    return Simulated(problems[0] if problems else None, lambda: str(result.digest))
