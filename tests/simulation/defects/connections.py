"""Defects of what is made of tokens that are not accepted any more, and of connections that the server has closed.

The last two are of the simulated client: `test_network` proves that the real one returns the same.
"""

from typing import Any

from rolecall.engine import row_call
from rolecall.engine.route_health import RouteHealth
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.models import NoReply, Outcome
from rolecall.rocketchat.error_table import CONNECT_FAILED, Action, ErrorScope
from tests.simulation.client import SimulatedClient
from tests.simulation.defects.registry import Replacement, defect
from tests.simulation.network import ClosedWhileIdle


@defect
def _unauthorized_row() -> list[Replacement]:
    """Fail a row whose call came with a token that is not accepted any more."""
    right = getattr(row_call, "classify")  # noqa: B009 - the module does not export it

    def classify(reply: Any, operation: Any) -> Any:
        result = right(reply, operation)
        if result.status != 401 or result.rule.action is not Action.STOP:
            return result
        rule = result.rule._replace(outcome=Outcome.FAILED, action=Action.FINISH, scope=ErrorScope.ROW)
        return result._replace(rule=rule)

    return [(row_call, "classify", classify)]


@defect
def _revoked_token_ignored() -> list[Replacement]:
    """Go on with a token that is not accepted any more."""
    right = StopSignal.request

    def request(self: StopSignal, reason: StopReason, *details: Any) -> None:
        if reason is not StopReason.CREDENTIALS:
            right(self, reason, *details)

    return [(StopSignal, "request", request)]


@defect
def _bad_instance_is_final() -> list[Replacement]:
    """Stop the run because one of several instances accepts no token."""

    async def is_final(self: RouteHealth, reply: Any, result: Any, refusals: int) -> bool:
        return True

    return [(RouteHealth, "is_final", is_final)]


@defect
def _closed_while_idle_not_sent() -> list[Replacement]:
    """Take a call on an idle connection that the server had closed as 'not carried out'."""
    right = SimulatedClient._lost

    def lost(self: SimulatedClient, error: Any) -> NoReply:
        if isinstance(error, ClosedWhileIdle):
            return NoReply(CONNECT_FAILED.reason, "the idle connection was closed", False)
        return right(self, error)

    return [(SimulatedClient, "_lost", lost)]


@defect
def _closed_while_idle_repeated() -> list[Replacement]:
    """Send a change again where its connection broke, as a reading."""

    def attempts(self: SimulatedClient, request: object) -> int:
        return 2

    return [(SimulatedClient, "_attempts", attempts)]
