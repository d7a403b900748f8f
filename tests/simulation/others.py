"""What others do during a run: administrators change roles, clients use the same window, the server restarts."""

from collections.abc import Callable

from rolecall.sandbox import apply_role_change
from tests.simulation.loop import Timeline
from tests.simulation.network import ADDRESS, Network
from tests.simulation.scenario import OtherChange, OtherClient, Restart, Scenario
from tests.simulation.workspace import ADMIN


class Others:
    """Acts after so many requests of the worker, as the scenario has it."""

    def __init__(self, scenario: Scenario, timeline: Timeline, note: Callable[..., None]) -> None:
        self._scenario = scenario
        self._timeline = timeline
        self._note = note
        self._to_come: list[OtherChange | OtherClient | Restart] = []
        """The last one first."""

    def begin(self, network: Network) -> None:
        """Act from now on."""
        scenario = self._scenario
        planned: tuple[OtherChange | OtherClient | Restart, ...]
        planned = (*scenario.other_changes, *scenario.other_clients, *scenario.restarts)
        wanted = [each for each in planned if each.name not in network.without]
        self._to_come = sorted(wanted, key=lambda each: (each.after, each.name), reverse=True)

        def look() -> None:
            while self._to_come and self._to_come[-1].after <= scenario.server.arrivals:
                each = self._to_come.pop()
                network.faults[each.name] = None
                self._note(each.name)
                self._act(each)

        network.on_arrival = look

    def end(self) -> None:
        """Act no more."""
        self._to_come.clear()

    def server_time(self) -> float:
        """Return what the server's clock shows now: epoch seconds."""
        return self._timeline.now + self._scenario.server.skew(self._timeline.now)

    def _act(self, what: OtherChange | OtherClient | Restart) -> None:
        server = self._scenario.server
        match what:
            case OtherChange():
                self._change(what)
            case OtherClient():
                server.use_window(self._scenario.operation.name, ADDRESS, what.calls, self._timeline.now)
            case Restart():
                server.stop()
                self._timeline.after(what.seconds, lambda: server.restart(what.limits))

    def _change(self, what: OtherChange) -> None:
        world, role = self._scenario.world, str(self._scenario.operation.role)
        room, user = what.pair
        if user in world.rooms[room].members and world.rooms[room].has_role(user, role) is not what.adds:
            world.now = self.server_time()
            apply_role_change(world, ADMIN, room, user, role, adds=what.adds)
