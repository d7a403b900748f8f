"""The sandbox: a stand-in Rocket.Chat server on loopback, for demos, rehearsals and tests.

It imports nothing from the rest of the package, so it is an independent second implementation of the server's
behaviour, and its record of what was carried out is what a run is checked against. Build a `World`, serve it with
`Sandbox`, inject faults with `Fault`:

    async with Sandbox(world, limiter=Limiter(), faults=[Fault(Kind.DROP_AFTER)]) as sandbox:
        ...  # send requests to sandbox.url, then inspect world.calls

Implemented, as in servers from 6.0 to 9.0 (`request_handler.ROUTES` is the table of routes); 8.6.1 is the default:

- the twelve calls that add and remove a room role, with their checks in the server's order, the 200 for a member
  without `roles` (the normal case), the four writes in their order, and system messages;
- `users.info` with rooms (`includeUserRooms` from 7.0 on, `fields={"userRooms":1}` before, each rejected or ignored
  by the other versions; `email` from 8.4 on), `users.list` with `query` if the version obeys it,
  `users.listByStatus` from 6.8 on;
- `groups.` and `channels.` `info`, `members` (active ones only), `roles`, `counters`, `history` and `list`,
  `groups.listAll`, `rooms.adminRooms`, `rooms.membersOrderedByRole`, `permissions.listAll`, `roles.list`, `me`, `info`;
- `chat.syncMessages` with `lastUpdate`, `chat.postMessage` and incoming webhooks;
- `login` (password, second factor) and `logout`;
- the default permissions of each role (`entities.DEFAULT_PERMISSIONS`), pages, deactivated users, direct
  conversations, discussions, teams, and the rate limiter with a counter for each address and route; all webhooks share
  one window. Newer servers (`world.NEWER`) check bodies before the limiter and count exempt accounts.

Not implemented:

- sorting by `sort`, `fields` other than `userRooms`; the parameter `email` of `users.list`, and `type`, `hasLoggedIn`
  and `inactiveReason` of `users.listByStatus`, which have no effect; finding a user by import id;
- the parameters `next`, `previous`, `count` and `type` of `chat.syncMessages`, and deleted messages;
- who may see a public channel, except in `channels.list`; settings of a room such as broadcast or read-only;
  attachments; histories of anything but messages (every other time in a response is the same);
- `counters` returns numbers where the server returns `null` to accounts outside the room.
"""

from rolecall.sandbox.demo_world import ACCOUNT, Account, Demo, DemoRow, RowKind, demo_faults, demo_world, leader_world
from rolecall.sandbox.entities import Call, Paging, Post, RoleWrite, Room, SystemMessage, User, Webhook
from rolecall.sandbox.faults import EVERY_ROUTE, Fault, FaultMatch, FaultPlan, Kind, Nonsense
from rolecall.sandbox.org_world import Organisation, organisation_world
from rolecall.sandbox.request_handler import LimitDecision, Limiter
from rolecall.sandbox.server import Sandbox, ServerAddress
from rolecall.sandbox.world import Record, World
from rolecall.sandbox.write_routes import apply_role_change

__all__ = [
    "ACCOUNT",
    "EVERY_ROUTE",
    "Account",
    "Call",
    "Demo",
    "DemoRow",
    "Fault",
    "FaultMatch",
    "FaultPlan",
    "Kind",
    "LimitDecision",
    "Limiter",
    "Nonsense",
    "Organisation",
    "Paging",
    "Post",
    "Record",
    "RoleWrite",
    "Room",
    "RowKind",
    "Sandbox",
    "ServerAddress",
    "SystemMessage",
    "User",
    "Webhook",
    "World",
    "apply_role_change",
    "demo_faults",
    "demo_world",
    "leader_world",
    "organisation_world",
]
