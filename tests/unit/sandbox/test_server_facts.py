"""What the real server does, as pairs of a request and its response; each case is named after one known fact."""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
import pytest

from rolecall.sandbox import ACCOUNT, World
from tests.unit.sandbox.facts_world import (
    ADD_LEADER,
    REMOVE_LEADER,
    as_admin_elsewhere,
    forbid_route,
    in_discussion,
    make_world,
    newer,
    row,
    send,
    two_owners,
    unchanged,
    without_username,
)

LOGIN_TEXT = "You must be logged in to do this."
NO_ROOM = 'The required "roomId" or "roomName" param provided does not match any group [error-room-not-found]'
NO_USER = 'The required "userId" or "username" param provided does not match any users [error-invalid-user]'
NO_PERMISSION = "User does not have the permissions required for this action [error-unauthorized]"
UNEXPECTED_KEY = "must NOT have additional properties"
LAST_OWNER = "This is the last owner. Please set a new owner before removing this one. [error-remove-last-owner]"
ROOM_NEEDED = 'The parameter "roomId" or "roomName" is required [error-room-param-not-provided]'
USER_NEEDED = 'The required "userId" or "username" param was not provided [error-user-param-not-provided]'
TIME_NEEDED = 'The "lastUpdate" query parameter must be a valid date [error-lastUpdate-param-invalid]'
NOT_LEADER = "User is not a leader [error-user-not-leader]"
NOT_OWNER = "User is not an owner [error-user-not-owner]"
NOT_IN_ROOM = "User is not in this room [error-user-not-in-room]"
INVALID_ROOM = "Invalid room [error-invalid-room]"
SUCCESS = {"success": True}

REMOVE_MODERATOR = "groups.removeModerator"
REMOVE_OWNER = "groups.removeOwner"
ADD_MODERATOR = "groups.addModerator"
SINCE = {"lastUpdate": "2023-01-01T00:00:00.000Z"}


class Success(NamedTuple):
    """A role change that the server answers with `{"success": true}`, and the sentence that it is an example of."""

    sentence: str
    route: str
    params: Any
    arrange: Callable[[World], None] = unchanged


class Refusal(NamedTuple):
    """A call that the server refuses deliberately, with a 400 that has both an `errorType` and brackets."""

    sentence: str
    route: str
    params: Any
    error: str
    """The text; the `errorType` is the one in its brackets."""
    method: str
    """The method in `details`; empty if the body has no `details`."""
    arrange: Callable[[World], None] = unchanged


class Other(NamedTuple):
    """A call with any other response."""

    sentence: str
    route: str
    params: Any
    status: int
    body: Any
    """The JSON value, or the text of a body that is not JSON."""
    arrange: Callable[[World], None] = unchanged


SUCCESSES = [
    Success("200 done", REMOVE_LEADER, row("LEAD")),
    Success("for a member without roles removeLeader answers 200", REMOVE_LEADER, row("MEMBER")),
    Success("for a member without roles removeModerator answers 200", REMOVE_MODERATOR, row("MEMBER")),
    Success("deactivated users keep the role; it can be removed", REMOVE_LEADER, row("GONE")),
    Success("an owner can be removed while there is another", REMOVE_OWNER, row("LEAD"), two_owners),
    Success("a discussion's parent membership is enough", REMOVE_LEADER, row("LEAD", "UNJOINED"), in_discussion),
    Success("8.6.1 accepts extra keys", REMOVE_LEADER, {**row("LEAD"), "line": 7}),
    Success("roomId wins over roomName", REMOVE_LEADER, {**row("LEAD"), "roomName": "unjoined"}),
    Success("username is case-insensitive", REMOVE_LEADER, {"roomId": "ROOM", "username": "LEAD.name"}),
    Success("user identifies the user", REMOVE_LEADER, {"roomId": "ROOM", "user": "lead.NAME"}),
    Success("exactly roomId and userId are valid everywhere", REMOVE_LEADER, row("LEAD"), newer),
]

# Unformatted, so that a case is its sentence and one or two lines.
# fmt: off
REFUSALS = [
    Refusal("error-user-not-leader comes only where a roles array exists without leader",
            REMOVE_LEADER, row("FORMER"), NOT_LEADER, "removeRoomLeader"),
    Refusal("error-user-not-leader comes where a roles array has other roles only",
            REMOVE_LEADER, row("MOD"), NOT_LEADER, "removeRoomLeader"),
    Refusal("removeOwner differs: without roles it answers error-user-not-owner",
            REMOVE_OWNER, row("MEMBER"), NOT_OWNER, "removeRoomOwner"),
    Refusal("error-room-not-found: no such room",
            REMOVE_LEADER, row("LEAD", "NOWHERE"), NO_ROOM, ""),
    Refusal("error-room-not-found: not a private group",
            REMOVE_LEADER, row("LEAD", "PUBLIC"), NO_ROOM, ""),
    Refusal("error-room-not-found: the account is not a member, even an admin",
            REMOVE_LEADER, row("LEAD", "UNJOINED"), NO_ROOM, "", as_admin_elsewhere),
    Refusal("error-invalid-room: removeModerator and the user is not a member",
            REMOVE_MODERATOR, row("STRANGER"), INVALID_ROOM, "removeRoomModerator"),
    Refusal("error-invalid-room: removeOwner and the user is not a member",
            REMOVE_OWNER, row("STRANGER"), INVALID_ROOM, "removeRoomOwner"),
    Refusal("error-invalid-room: channels.removeModerator and the user is not a member",
            "channels.removeModerator", row("STRANGER", "PUBLIC"), INVALID_ROOM, "removeRoomModerator"),
    Refusal("error-room-archived: archived",
            REMOVE_LEADER, row("LEAD", "OLD"), "The private group, old, is archived [error-room-archived]", ""),
    Refusal("error-invalid-user: no such user, no details",
            REMOVE_LEADER, row("NOBODY"), NO_USER, ""),
    Refusal("error-invalid-user: Invalid user for a user without username",
            REMOVE_LEADER, row("NAMELESS"), "Invalid user [error-invalid-user]", "removeRoomLeader"),
    Refusal("error-user-not-in-room: not a member",
            REMOVE_LEADER, row("STRANGER"), NOT_IN_ROOM, "removeRoomLeader"),
    Refusal("error-user-not-in-room: addModerator and the user is not a member",
            ADD_MODERATOR, row("STRANGER"), NOT_IN_ROOM, "addRoomModerator"),
    Refusal("error-not-allowed: the account lacks set-leader in that room",
            REMOVE_LEADER, row("LEAD", "PLAIN"), "Not allowed [error-not-allowed]", "removeRoomLeader"),
    Refusal("error-user-already-leader",
            ADD_LEADER, row("LEAD"), "User is already a leader [error-user-already-leader]", "addRoomLeader"),
    Refusal("error-remove-last-owner",
            REMOVE_OWNER, row(ACCOUNT.user_id), LAST_OWNER, "removeRoomOwner"),
    Refusal("error-room-param-not-provided",
            REMOVE_LEADER, {"userId": "LEAD"}, ROOM_NEEDED, ""),
    Refusal("error-user-param-not-provided",
            REMOVE_LEADER, {"roomId": "ROOM"}, USER_NEEDED, ""),
    Refusal("groups.roles needs membership",
            "groups.roles", {"roomId": "UNJOINED"}, NO_ROOM, "", as_admin_elsewhere),
    Refusal("groups.history needs membership",
            "groups.history", {"roomId": "UNJOINED"}, NO_ROOM, "", as_admin_elsewhere),
    Refusal("groups.counters: 200 only where a private room of that id exists",
            "groups.counters", {"roomId": "PUBLIC"}, NO_ROOM, ""),
    Refusal("chat.syncMessages needs access to the room",
            "chat.syncMessages", {"roomId": "UNJOINED", **SINCE}, "Not allowed [error-not-allowed]", "messages/get",
            as_admin_elsewhere),
    Refusal("chat.syncMessages needs a time",
            "chat.syncMessages", {"roomId": "ROOM", "lastUpdate": "yesterday"}, TIME_NEEDED, ""),
]

OTHERS = [
    Other("newer route files: errorType invalid-params, no brackets in error",
          REMOVE_LEADER, {**row("LEAD"), "line": 7}, 400,
          {"success": False, "error": UNEXPECTED_KEY, "errorType": "invalid-params"}, newer),
    Other("users.info: schema errors are error-invalid-params, no brackets",
          "users.info", {"userId": "LEAD", "roomId": "ROOM"}, 400,
          {"success": False, "error": f"{UNEXPECTED_KEY}\n must match a schema in anyOf",
           "errorType": "error-invalid-params"}),
    Other("403 is the permission of the whole route",
          REMOVE_LEADER, row("LEAD"), 403, {"success": False, "error": NO_PERMISSION}, forbid_route),
    Other("404 Not Found as text/plain: unknown route",
          "groups.nothing", {}, 404, "404 Not Found"),
    Other("500 text/plain: a calling account without a username",
          REMOVE_LEADER, row("LEAD"), 500, "Internal Server Error", without_username),
    Other("me is 200 for an account that lacks a username",
          "me", {}, 200,
          {**SUCCESS, "_id": ACCOUNT.user_id, "active": True, "roles": ["user"], "status": "online", "utcOffset": 0},
          without_username),
]
# fmt: on

ALL_FIELDS = {"success": False, "error": LOGIN_TEXT, "status": "error", "message": LOGIN_TEXT}


@pytest.mark.parametrize("fact", SUCCESSES, ids=[fact.sentence for fact in SUCCESSES])
def test_the_server_answers_a_success(fact: Success) -> None:
    """The role change is answered with a 200 and exactly this body, and it reaches the writes."""
    world = make_world()
    fact.arrange(world)
    response = send(world, fact.route, fact.params)
    assert (response.status, orjson.loads(response.body), response.carried_out) == (200, SUCCESS, True)


@pytest.mark.parametrize("fact", REFUSALS, ids=[fact.sentence for fact in REFUSALS])
def test_the_server_refuses(fact: Refusal) -> None:
    """The call is answered with a 400 and exactly this body, and changes nothing."""
    world = make_world()
    fact.arrange(world)
    response = send(world, fact.route, fact.params)
    details = {"details": {"method": fact.method}} if fact.method else {}
    error_type = fact.error.rpartition("[")[2].removesuffix("]")
    body = {"success": False, "error": fact.error, "errorType": error_type, **details}
    assert (response.status, orjson.loads(response.body)) == (400, body)
    assert (world.record.history, world.record.role_writes) == ([], [])


@pytest.mark.parametrize("fact", OTHERS, ids=[fact.sentence for fact in OTHERS])
def test_the_server_answers(fact: Other) -> None:
    """The response has exactly this status and this body, as JSON or as plain text."""
    world = make_world()
    fact.arrange(world)
    response = send(world, fact.route, fact.params)
    content_type = response.headers["Content-Type"]
    body = response.body.decode() if isinstance(fact.body, str) else orjson.loads(response.body)
    assert (response.status, body) == (fact.status, fact.body)
    assert content_type.startswith("text/plain" if isinstance(fact.body, str) else "application/json")
    assert response.carried_out is False


@pytest.mark.parametrize(
    ("version", "fields"),
    [("8.6.1", tuple(ALL_FIELDS)), ("7.4.0", ("status", "message")), ("9.0.0", ("success", "error"))],
    ids=["8.x has all four", "older the last two", "9.0 the first two"],
)
def test_the_401(version: str, fields: tuple[str, ...]) -> None:
    """A wrong token gets a 401 with the fields of the server's version."""
    world = make_world()
    world.version = version
    response = send(world, REMOVE_LEADER, row("LEAD"), token="wrong")
    assert (response.status, orjson.loads(response.body)) == (401, {key: ALL_FIELDS[key] for key in fields})
