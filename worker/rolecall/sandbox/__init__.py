"""The sandbox: a stand-in Rocket.Chat server on loopback, for demos, rehearsals and tests.

It imports nothing from the rest of the package, so it is an independent second implementation of the server's
behaviour, and its record of what was carried out is what a run is checked against. Build a `World`, serve it with
`Sandbox`, inject faults with `Fault`:

    async with Sandbox(world, limiter=Limiter(), faults=[Fault(Kind.DROP_AFTER)]) as sandbox:
        ...  # send requests to sandbox.url, then inspect world.calls

Implemented, as in servers from 6.0 to 9.0 (`request_handler.ROUTES` is the table of routes):

- the twelve calls that add and remove a room role, with their checks in the server's order, the 200 for a member
  without `roles`, and system messages;
- `users.info` with rooms (`includeUserRooms` from 7.0 on, `fields={"userRooms":1}` before, each rejected or ignored
  by the other versions; `email` from 8.4 on), `users.list` with `query` if the version obeys it,
  `users.listByStatus` from 6.8 on;
- `groups.` and `channels.` `info`, `members` (active ones only), `roles`, `counters` and `list`, `groups.listAll`,
  `rooms.adminRooms`, `permissions.listAll`, `me`, `info`;
- `login` (password, second factor), `logout`, `chat.postMessage` and incoming webhooks;
- the default permissions of each role (`world.DEFAULT_PERMISSIONS`), pages, deactivated users, direct conversations,
  and the rate limiter with a window for each address and route; all webhooks share one window.

Not implemented:

- sorting by `sort`, `fields` other than `userRooms`; the parameter `email` of `users.list`, and `type`, `hasLoggedIn`
  and `inactiveReason` of `users.listByStatus`, which have no effect; finding a user by import id;
- who may see a public channel, except in `channels.list`; settings of a room such as broadcast or read-only; teams and
  discussions; attachments; histories (every time in a response is the same);
- `counters` returns numbers where the server returns `null` to accounts outside the room, and `permissions.listAll`
  requires `access-permissions`, where recent servers require nothing.
"""

from rolecall.sandbox.call_log import Call, Post, Record, SystemMessage
from rolecall.sandbox.demo_world import ACCOUNT, Account, Demo, DemoRow, RowKind, demo_faults, demo_world, leader_world
from rolecall.sandbox.faults import EVERY_ROUTE, Fault, FaultMatch, FaultPlan, Kind, Nonsense
from rolecall.sandbox.org_world import Organisation, organisation_world
from rolecall.sandbox.request_handler import LimitDecision, Limiter
from rolecall.sandbox.server import Sandbox, ServerAddress
from rolecall.sandbox.world import Paging, Room, User, Webhook, World

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
    "Room",
    "RowKind",
    "Sandbox",
    "ServerAddress",
    "SystemMessage",
    "User",
    "Webhook",
    "World",
    "demo_faults",
    "demo_world",
    "leader_world",
    "organisation_world",
]
