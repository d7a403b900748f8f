"""What others do during a run: administrators change roles, clients use the same window, the server restarts."""

import math
from collections.abc import Callable

from rolecall.sandbox import apply_role_change
from tests.simulation.acts import OtherChange, OtherClient, Restart, Revocation
from tests.simulation.loop import Timeline
from tests.simulation.network import ADDRESS, Network
from tests.simulation.scenario import Scenario
from tests.simulation.workspace import ADMIN

Act = OtherChange | OtherClient | Restart | Revocation


class Others:
    """Acts after so many requests of the worker, as the scenario has it."""

    def __init__(self, scenario: Scenario, timeline: Timeline, note: Callable[..., None]) -> None:
        self._scenario = scenario
        self._timeline = timeline
        self._note = note
        self._to_come: list[Act] = []
        """The last one first."""

    def begin(self, network: Network) -> None:
        """Act from now on."""
        scenario = self._scenario
        planned: tuple[Act, ...]
        planned = (*scenario.other_changes, *scenario.other_clients, *scenario.restarts, *scenario.revocations)
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
        """Act no more; every token is accepted."""
        self._to_come.clear()
        for revocation in self._scenario.revocations:
            self._accept(revocation)

    def server_time(self) -> float:
        """Return what the server's clock shows now: epoch seconds."""
        return self._timeline.now + self._scenario.server.skew(self._timeline.now)

    def _act(self, what: Act) -> None:
        server = self._scenario.server
        match what:
            case OtherChange():
                self._change(what)
            case OtherClient():
                server.use_window(self._scenario.operation.name, ADDRESS, what.calls, self._timeline.now)
            case Restart():
                server.stop()
                self._timeline.after(what.seconds, lambda: server.restart(what.limits))
            case Revocation():
                if what.instance is None:
                    self._scenario.world.revoke(what.account.token)
                else:
                    server.refusing.add(what.instance)
                if what.seconds < math.inf:
                    self._timeline.after(what.seconds, lambda: self._accept(what))

    def _accept(self, what: Revocation) -> None:
        self._scenario.world.tokens[what.account.token] = what.account.user_id
        if what.instance is not None:
            self._scenario.server.refusing.discard(what.instance)

    def _change(self, what: OtherChange) -> None:
        world, role = self._scenario.world, str(self._scenario.operation.role)
        room, user = what.pair
        if world.users[user].username is None:
            return  # the server refuses such a change to everybody
        if user in world.rooms[room].members and world.rooms[room].has_role(user, role) is not what.adds:
            world.now = self.server_time()
            apply_role_change(world, ADMIN, room, user, role, adds=what.adds)
