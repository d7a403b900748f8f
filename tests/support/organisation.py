"""The ready-made organisation for tests of whole commands, and the role changes made in it."""

from rolecall.sandbox import World
from rolecall.sandbox.org_world import group, organisation_world, user
from tests.support.truth import changing_calls

FAST = ("--rate", "unlimited")
RUN = (*FAST, "--yes", "--retry-backoff", "0.01")
LEADERS = [(group("finance-planning"), user("finance.lead")), (group("sales-budget"), user("sales.lead"))]
NO_LEADER = (group("finance-planning"), user("finance.deputy"))
NO_ROLE = (group("finance-planning"), user("finance.analyst"))
"""A member without a `roles` field: the server returns 200 to any removal."""


def organisation() -> World:
    """Return the world of the organisation."""
    return organisation_world().world


def changes(world: World) -> list[tuple[str, str, str]]:
    """Return every request for a role change as (route, room id, user id)."""
    return [(call.route, call.room_id, call.user_id) for call in changing_calls(world)]
