"""The embedded workspace: a stand-in Rocket.Chat server on loopback, for demos, rehearsals and tests.

It imports nothing from the rest of the package: it is a second opinion on what the server does, and its record
of what really happened is what a run is judged by. Build a `World`, serve it with `Sandbox`, spoil it with `Fault`s:

    async with Sandbox(world, limiter=Limiter(), faults=[Fault(Kind.DROP_AFTER)]) as sandbox:
        ...  # call sandbox.url, then look at world.calls

What is modelled, as servers from 6.0 to 9.0 do it (`routes` has the table):

- the twelve calls that give and take a room role, with their checks in the server's order, the 200 for a member
  without `roles`, and system messages;
- `users.info` with rooms (`includeUserRooms` from 7.0 on, `fields={"userRooms":1}` before, each refused or ignored
  where it does not belong; `email` from 8.4 on), `users.list` with `query` where the version obeys it,
  `users.listByStatus` from 6.8 on;
- `groups.` and `channels.` `info`, `members` (active ones only), `roles`, `counters` and `list`, `groups.listAll`,
  `rooms.adminRooms`, `permissions.listAll`, `me`, `info`;
- `login` (password, second factor), `logout`, `chat.postMessage` and incoming webhooks;
- permissions by role as they ship (`permissions`), pages (`paging`), deactivated users, direct conversations, and the
  limiter with a window for each address and route, webhooks sharing one.

What is not:

- sorting by `sort`, `fields` other than `userRooms`; the parameter `email` of `users.list`, and `type`, `hasLoggedIn`
  and `inactiveReason` of `users.listByStatus`, which change nothing; looking a user up by import id;
- who may see a public channel, except in `channels.list`; settings of a room such as broadcast or read-only; teams and
  discussions; attachments; histories (every time in an answer is the same);
- `counters` tells numbers where the server tells `null` to those outside, and `permissions.listAll` asks for
  `access-permissions`, where recent servers ask for nothing.
"""

from rolecall.sandbox.call_log import Call, Post, Record, SystemMessage
from rolecall.sandbox.demo_world import ACCOUNT, Account, Demo, Expected, Truth, demo_faults, demo_world, leader_world
from rolecall.sandbox.faults import EVERY_ROUTE, Fault, FaultMatch, FaultPlan, Kind, Nonsense
from rolecall.sandbox.limiter import LimitDecision, Limiter
from rolecall.sandbox.org_world import Organisation, organisation_world
from rolecall.sandbox.paging import Paging
from rolecall.sandbox.server import Sandbox
from rolecall.sandbox.world import Hook, Room, User, World

__all__ = [
    "ACCOUNT",
    "EVERY_ROUTE",
    "Account",
    "Call",
    "Demo",
    "Expected",
    "Fault",
    "FaultMatch",
    "FaultPlan",
    "Hook",
    "Kind",
    "LimitDecision",
    "Limiter",
    "Nonsense",
    "Organisation",
    "Paging",
    "Post",
    "Record",
    "Room",
    "Sandbox",
    "SystemMessage",
    "Truth",
    "User",
    "World",
    "demo_faults",
    "demo_world",
    "leader_world",
    "organisation_world",
]
