"""One request and its response, with the fault that it gets, without I/O: carried out, spoiled and recorded."""

from dataclasses import replace

from rolecall.sandbox.entities import Call
from rolecall.sandbox.faults import Fault, Kind
from rolecall.sandbox.request_handler import Limiter, Request, handle_request
from rolecall.sandbox.response_faults import NO_RESPONSE, apply_fault
from rolecall.sandbox.responses import Response
from rolecall.sandbox.world import World


def exchange(
    world: World, limiter: Limiter | None, request: Request, fault: Fault | None, now: float, skew: float
) -> Response:
    """Carry out one request at `now` (epoch seconds), record it, and return its response after the fault.

    `skew` (seconds) is the difference of the server's own clock.
    """
    if fault is not None and fault.kind is Kind.REVOKE:
        world.revoke(request.token)
    response = NO_RESPONSE
    if fault is None or fault.acts:
        response = _carry_out(world, limiter, request, fault, now, skew)
    if fault is not None:
        response = apply_fault(fault, response, now + skew)
    named = (request.route, request.room, request.user)
    kind = fault.kind.value if fault else None
    number, done, status = len(world.calls) + 1, response.carried_out, response.status
    world.calls.append(Call(number, now, *named, done, status, kind, request.user_id))
    return response


def _carry_out(
    world: World, limiter: Limiter | None, request: Request, fault: Fault | None, now: float, skew: float
) -> Response:
    """Return the server's own response, or the second one if a proxy repeats the call."""
    kind = fault.kind if fault else None
    world.fail_after_writes = fault.writes if fault and kind is Kind.EXCEPTION else None
    response = handle_request(world, limiter, request, now, skew)
    if kind is Kind.REPEATED:
        first, response = response, handle_request(world, limiter, request, now, skew)
        response = replace(response, carried_out=first.carried_out or response.carried_out)
    world.fail_after_writes = None
    return response
