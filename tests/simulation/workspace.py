"""The workspace of one scenario: rooms, members, roles, and messages of earlier changes."""

from random import Random

from rolecall.rocketchat.operations import Operation
from rolecall.sandbox import ACCOUNT, Account, World, apply_role_change
from tests.unit.engine.virtual import EPOCH

Pair = tuple[str, str]

SECOND_ACCOUNT = Account("secondBotAccount1", "sandbox-second")
ADMIN = "otherAdministrator"
KEEPER = "keeper"
"""Has the role in every room and is not in the job."""


def draw_world(random: Random, operation: Operation, pairs: list[Pair], roles: tuple[str, ...]) -> World:
    """Draw a workspace with these pairs; the accounts of the worker have these roles."""
    world = World(version=random.choice(("8.6.1", "8.6.1", "9.0.0", "7.5.0")))
    for account in (ACCOUNT, SECOND_ACCOUNT):
        world.add_account(*account, username=f"{account.user_id[:6].lower()}.bot", roles=roles)
    if random.random() < 0.5:
        world.grant("view-other-user-channels", "user")
    world.add_user(ADMIN, roles=("user", "admin"))
    world.add_user(KEEPER)
    other_role = "moderator" if operation.role == "leader" else "leader"
    for room in dict.fromkeys(room for room, _ in pairs):
        world.add_room(room, type="p" if operation.kind == "groups" else "c")
        for account in (ACCOUNT, SECOND_ACCOUNT):
            world.join(room, account.user_id, ("owner",))
        world.join(room, KEEPER, (str(operation.role),))
    kinds: tuple[tuple[str, ...] | None, ...]
    role = str(operation.role)
    usual: tuple[str, ...] | None = None if operation.adds else (role,)
    kinds = ((), None, (role, other_role), (other_role,), *[usual] * 7)
    strangers, missing = random.choice((0.0, 0.08)), random.choice((0.0, 0.03))
    for room, user in pairs:
        if user not in world.users:
            world.add_user(user, active=random.random() > 0.05, username=None if random.random() < 0.01 else "")
        if random.random() >= strangers:
            world.join(room, user, random.choice(kinds))
    for user in sorted({user for _, user in pairs if random.random() < missing}):
        del world.users[user]
        for each in world.rooms.values():
            each.members.pop(user, None)
    _spoil_rooms(random, world)
    _add_history(random, world, operation, pairs)
    return world


def _add_history(random: Random, world: World, operation: Operation, pairs: list[Pair]) -> None:
    """Let messages of earlier changes stand in some rooms: the worker's account changed roles, and they were restored.

    An hour before the run, or long enough before it for the coarsest of clocks.
    """
    role = str(operation.role)
    for room, user in random.sample(pairs, k=min(len(pairs), random.choice((0, 0, 3, 10)))):
        members = world.rooms[room].members
        if user not in members or world.rooms[room].has_role(user, role) is operation.adds:
            continue
        world.now = EPOCH + 1000.0 - 3600.0
        apply_role_change(world, ACCOUNT.user_id, room, user, role, adds=operation.adds)
        members[user] = [*(each for each in members[user] or () if each != role), *(() if operation.adds else (role,))]
    world.record.role_writes.clear()


def _spoil_rooms(random: Random, world: World) -> None:
    rooms = sorted(world.rooms)
    for room in random.sample(rooms, k=min(len(rooms) - 1, random.choice((0, 0, 0, 1)))):
        world.rooms[room].archived = True
    for room in random.sample(rooms, k=min(len(rooms) - 1, random.choice((0, 0, 0, 1)))):
        for account in (ACCOUNT, SECOND_ACCOUNT):
            del world.rooms[room].members[account.user_id]
    if random.random() < 0.06:
        world.role_descriptions[random.choice(("leader", "moderator"))] = ""
