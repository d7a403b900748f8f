"""A ready-made organisation for end-to-end tests: departments, their people, their rooms, and the room roles.

It is not random: the rooms, people and roles are always the same, and their ids and names are readable.
"""

from collections.abc import Iterable
from typing import NamedTuple

from rolecall.sandbox.demo_world import ACCOUNT, Account
from rolecall.sandbox.world import World

DEPARTMENTS = ("facilities", "finance", "legal", "logistics", "platform", "research", "sales", "support")
POSITIONS = ("lead", "deputy", "analyst", "planner", "assistant")
GROUP_TOPICS = ("planning", "budget", "incidents")
CHANNELS = ("announcements", "general", "help", "random")

UNJOINED = "legal-incidents"
"""The group that the account is not a member of."""
ARCHIVED = "support-incidents"
DEPARTED = ("legal.lead", "sales.lead")
"""The people who left: their accounts are deactivated, their roles stay."""


class Organisation(NamedTuple):
    """A world of eight departments, and the account that calls it."""

    world: World
    account: Account
    departed: tuple[str, ...]
    """The user ids of those who left and are still leaders."""
    unjoined: str
    """The id of the group that the account is not a member of."""
    archived: str
    """The id of the archived group."""


def organisation_world(*, version: str = "8.6.1", roles: Iterable[str] = ("user", "admin")) -> Organisation:
    """Return the organisation, with these roles for the account.

    Each department has five people and three private groups. In each group the lead is leader, the deputy is moderator,
    the planner once had a role (`roles: []`), the analyst and the assistant never had one (no `roles` at all); the
    account is owner. The lead is also leader of the next department's incidents group and, like every lead, of the
    channel `announcements`, where the deputies are owners.
    """
    world = World(version=version)
    world.add_account(*ACCOUNT, username="bulk.bot", roles=roles, name="Bulk Bot", email="bulk.bot@example.org")
    for department in DEPARTMENTS:
        _add_people(world, department)
    for index, department in enumerate(DEPARTMENTS):
        _add_groups(world, department, neighbour=DEPARTMENTS[index - 1])
    for name in CHANNELS:
        _add_channel(world, name)
    world.add_room("directBotFinanceLead", name="finance.lead", type="d")
    for user_id in (ACCOUNT.user_id, user("finance.lead")):
        world.join("directBotFinanceLead", user_id, None)
    departed = tuple(user(name) for name in DEPARTED)
    for user_id in departed:
        world.deactivate(user_id)
    return Organisation(world, ACCOUNT, departed, group(UNJOINED), group(ARCHIVED))


def user(username: str) -> str:
    """Return the id of a person by name, such as `finance.lead`."""
    return "user" + _camel(username, ".")


def group(name: str) -> str:
    """Return the id of a room by name, such as `finance-planning`."""
    return "GENERAL" if name == "general" else "room" + _camel(name, "-")


def _camel(text: str, separator: str) -> str:
    return "".join(part.title() for part in text.split(separator))


def _add_people(world: World, department: str) -> None:
    """Add one person for each position."""
    for position in POSITIONS:
        username = f"{department}.{position}"
        name = f"{department.title()} {position.title()}"
        world.add_user(user(username), username=username, name=name, email=f"{username}@example.org")


def _add_groups(world: World, department: str, *, neighbour: str) -> None:
    """Add the department's groups; the neighbour's lead is a leader of the incidents group too."""
    roles_by_position: dict[str, tuple[str, ...] | None] = {
        "lead": ("leader",),
        "deputy": ("moderator",),
        "planner": (),
        "analyst": None,
        "assistant": None,
    }
    for topic in GROUP_TOPICS:
        name = f"{department}-{topic}"
        room = world.add_room(group(name), name=name, archived=name == ARCHIVED)
        if name != UNJOINED:
            world.join(room.id, ACCOUNT.user_id, ("owner",))
        for position, roles in roles_by_position.items():
            world.join(room.id, user(f"{department}.{position}"), roles)
    world.join(group(f"{department}-incidents"), user(f"{neighbour}.lead"), ("leader",))


def _add_channel(world: World, name: str) -> None:
    """Add a public channel with every person as a member; `announcements` has owners and leaders."""
    world.add_room(group(name), name=name, type="c")
    world.join(group(name), ACCOUNT.user_id, None)
    for department in DEPARTMENTS:
        for position in POSITIONS:
            roles = {"lead": ("leader",), "deputy": ("owner",)}.get(position) if name == "announcements" else None
            world.join(group(name), user(f"{department}.{position}"), roles)
