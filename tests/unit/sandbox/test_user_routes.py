"""Routes that read users, the account and the permissions: what each account sees in each version."""

from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, World
from tests.unit.sandbox.api_calls import FORBIDDEN, call_api, workspace

OLD_ROOMS_FIELD = '{"userRooms":1}'


def populated(version: str = "8.4.0", *, roles: tuple[str, ...] = ("user", "admin"), **settings: Any) -> World:
    """Return a world with one leader, one deactivated user (both in four rooms) and one without a username."""
    world = workspace(version, roles=roles, **settings)
    world.add_user("LEAD", username="finance.lead", name="Finance Lead", email="Lead@example.org")
    world.add_user("GONE", username="sales.lead", name="Sales Lead", email="gone@example.org", roles=("user", "guest"))
    world.add_user("NAMELESS", username=None)
    for room_id, kind, room_roles in (("P2", "p", ["leader"]), ("P1", "p", None), ("C1", "c", []), ("D1", "d", None)):
        world.add_room(room_id, type=kind)  # type: ignore[arg-type]  # the table's literals
        world.join(room_id, "LEAD", room_roles)
        world.join(room_id, "GONE", room_roles)
    world.join("C1", ACCOUNT.user_id)
    world.deactivate("GONE")
    return world


def usernames(body: Any) -> list[str | None]:
    """Return the usernames in a list of users, None for a user without one."""
    return [user.get("username") for user in body["users"]]


@pytest.mark.parametrize(
    "by", [{"userId": "LEAD"}, {"username": "finance.lead"}, {"userId": "finance.lead"}, {"email": " lead@EXAMPLE.org"}]
)
def test_a_user_is_found_by_id_name_and_address(by: dict[str, str]) -> None:
    """Id and name are both searched as id and as name, an address in upper or lower case."""
    status, body = call_api(populated(), "users.info", **by)
    assert (status, body["user"]["_id"]) == (200, "LEAD")


def test_rooms_come_with_their_roles_joined_or_not() -> None:
    """Every membership is listed, by type and name; `roles` is absent if the subscription has none."""
    _, body = call_api(populated(), "users.info", userId="LEAD", includeUserRooms="true")
    rooms = [(room["rid"], room["name"], room["t"], room.get("roles")) for room in body["user"]["rooms"]]
    assert rooms == [
        ("C1", "c1", "c", []),
        ("D1", "d1", "d", None),
        ("P1", "p1", "p", None),
        ("P2", "p2", "p", ["leader"]),
    ]


def test_a_deactivated_user_keeps_rooms_and_roles() -> None:
    """A deactivated user is still a leader; the role can be removed after the account has joined the room."""
    world = populated()
    _, body = call_api(world, "users.info", userId="GONE", includeUserRooms="true")
    assert body["user"]["active"] is False
    assert ["leader"] in [room.get("roles") for room in body["user"]["rooms"]]
    world.join("P2", ACCOUNT.user_id)
    assert call_api(world, "groups.removeLeader", post={"roomId": "P2", "userId": "GONE"}) == (200, {"success": True})
    assert not world.is_leader("P2", "GONE")


@pytest.mark.parametrize(
    ("version", "params", "has_rooms"),
    [
        ("6.13.0", {"fields": OLD_ROOMS_FIELD}, True),
        ("6.13.0", {"fields": '{"userRooms":0}'}, False),
        ("6.13.0", {}, False),
        ("7.0.0", {"fields": OLD_ROOMS_FIELD}, False),
        ("8.1.0", {"fields": OLD_ROOMS_FIELD}, False),
        ("7.0.0", {"includeUserRooms": "true"}, True),
        ("7.0.0", {"includeUserRooms": "true", "fields": OLD_ROOMS_FIELD}, True),
        ("8.1.0", {"includeUserRooms": "false"}, False),
        ("9.0.0", {"includeUserRooms": "true"}, True),
    ],
)
def test_each_version_has_its_own_parameter_for_rooms(version: str, params: dict[str, str], has_rooms: bool) -> None:
    """Before 7.0 it is `fields`, from then on `includeUserRooms`; the other parameter has no effect."""
    status, body = call_api(populated(version), "users.info", userId="LEAD", **params)
    assert (status, "rooms" in body["user"]) == (200, has_rooms)


@pytest.mark.parametrize(
    ("version", "params", "error"),
    [
        ("8.1.0", {}, "must have required property 'userId'\n must have required property 'username'"),
        ("8.1.0", {"userId": "LEAD", "username": "finance.lead"}, "must NOT have additional properties"),
        ("8.1.0", {"userId": "LEAD", "roomId": "P1"}, "must NOT have additional properties"),
        ("8.3.0", {"email": "lead@example.org"}, "must have required property 'userId'"),
        ("6.13.0", {"userId": "LEAD", "includeUserRooms": "true"}, "must NOT have additional properties"),
        ("9.0.0", {"userId": "LEAD", "fields": OLD_ROOMS_FIELD}, "must NOT have additional properties"),
    ],
)
def test_parameters_that_a_version_does_not_know_are_refused(version: str, params: dict[str, str], error: str) -> None:
    """The schema of the route takes exactly one way to name the user, and what belongs to the version."""
    status, body = call_api(populated(version), "users.info", **params)
    assert (status, body["errorType"]) == (400, "error-invalid-params")
    assert body["error"].startswith(error)


@pytest.mark.parametrize("by", [{"userId": "NOBODY"}, {"username": "no.body"}, {"email": "x@y"}, {"importId": "7"}])
def test_an_unknown_user_is_refused_without_an_error_type(by: dict[str, str]) -> None:
    """The refusal is a text without an errorType."""
    assert call_api(populated(), "users.info", **by) == (400, {"success": False, "error": "User not found."})


def test_fields_that_are_not_json_are_refused() -> None:
    """If the version obeys `fields`, it must be an object."""
    status, body = call_api(populated("6.13.0"), "users.info", userId="LEAD", fields="rooms")
    assert (status, body["errorType"]) == (400, "error-invalid-fields")


def test_without_permission_a_response_has_no_rooms_and_no_addresses() -> None:
    """The call succeeds for every account; the fields that it may not see are absent."""
    world = populated(roles=("user",))
    _, body = call_api(world, "users.info", userId="LEAD", includeUserRooms="true")
    assert not {"rooms", "emails", "roles"} & body["user"].keys()
    assert body["user"]["canViewAllInfo"] is False
    assert call_api(world, "users.info", email="lead@example.org")[0] == 400


@pytest.mark.parametrize(
    ("permission", "missing"),
    [("view-other-user-channels", {"rooms"}), ("view-full-other-user-info", {"emails", "roles"})],
)
def test_each_permission_shows_its_own_fields(permission: str, missing: set[str]) -> None:
    """An admin without one of the two permissions still sees the fields of the other one."""
    world = populated()
    world.remove_permission(permission)
    _, body = call_api(world, "users.info", userId="LEAD", includeUserRooms="true")
    assert {"rooms", "emails", "roles"} - body["user"].keys() == missing


def test_an_account_sees_everything_about_itself() -> None:
    """An account needs no permission for its own rooms and roles."""
    _, body = call_api(populated(roles=("user",)), "users.info", userId=ACCOUNT.user_id, includeUserRooms="true")
    assert ([room["rid"] for room in body["user"]["rooms"]], body["user"]["roles"]) == (["C1"], ["user"])


def test_all_users_are_listed_by_name_with_their_state() -> None:
    """Deactivated users are in the list with `active: false`; a user without a username comes first."""
    status, body = call_api(populated(), "users.list")
    assert (status, usernames(body)) == (200, [None, "bulk.bot", "finance.lead", "sales.lead"])
    assert [user["active"] for user in body["users"]] == [True, True, True, False]
    assert (body["count"], body["offset"], body["total"]) == (4, 0, 4)


@pytest.mark.parametrize("route", ["users.list", "users.listByStatus"])
def test_the_directory_needs_its_permission(route: str) -> None:
    """Without `view-d-room` both lists return 403."""
    world = populated()
    world.remove_permission("view-d-room")
    assert call_api(world, route) == (403, {"success": False, "error": FORBIDDEN})


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('{"active":false}', ["sales.lead"]),
        ('{"username":"finance.lead"}', ["finance.lead"]),
        ('{"emails.address":"gone@example.org"}', ["sales.lead"]),
        ('{"roles":"guest","active":false}', ["sales.lead"]),
        (
            '{"$or":[{"username":"bulk.bot"},{"name":{"$regex":"^finance","$options":"i"}}]}',
            ["bulk.bot", "finance.lead"],
        ),
        ('{"$and":[{"active":true},{"active":false}]}', []),
    ],
)
@pytest.mark.parametrize("world", [populated("6.13.0"), populated("8.1.0", unsafe_queries=True)], ids=["6.13", "8.1"])
def test_a_query_selects_users_if_the_version_obeys_it(world: World, query: str, names: list[str]) -> None:
    """Conditions have an effect before 7.0, and later if the workspace allows it."""
    _, body = call_api(world, "users.list", query=query)
    assert (usernames(body), body["total"]) == (names, len(names))


@pytest.mark.parametrize("version", ["7.0.0", "8.8.1"])
def test_newer_servers_ignore_queries_silently(version: str) -> None:
    """From 7.0 on a query has no effect and causes no error."""
    status, body = call_api(populated(version), "users.list", query='{"active":false}', fields='{"name":1}')
    assert (status, body["total"]) == (200, 4)


@pytest.mark.parametrize("unsafe_queries", [False, True])
@pytest.mark.parametrize("name", ["query", "fields"])
def test_servers_from_9_on_refuse_queries(name: str, unsafe_queries: bool) -> None:
    """From 9.0 on no setting allows queries."""
    status, body = call_api(populated("9.0.0", unsafe_queries=unsafe_queries), "users.list", **{name: "{}"})
    assert (status, body["errorType"]) == (400, "error-invalid-params")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("active", "Invalid query parameter provided"),
        ("[]", "Invalid query parameter provided"),
        ('{"services.password":"x"}', "Invalid attribute: services.password"),
        ('{"$or":[{"e2e":1}]}', "Invalid attribute: e2e"),
        ('{"$or":["x"]}', "Invalid query"),
        ('{"username":{"$where":"1"}}', "Invalid operation: $where"),
        ('{"username":{"$regex":"("}}', "Invalid operation: $regex"),
    ],
)
def test_an_invalid_query_is_refused(query: str, error: str) -> None:
    """Only known attributes and operators are allowed."""
    status, body = call_api(populated("6.13.0"), "users.list", query=query)
    assert (status, body["errorType"]) == (400, "error-invalid-query")
    assert body["error"].startswith(error)


def test_conditions_on_restricted_fields_are_ignored_silently() -> None:
    """An account that may not see addresses gets every user when it queries for an address."""
    _, body = call_api(
        populated("6.13.0", roles=("user",)), "users.list", query='{"emails.address":"gone@example.org"}'
    )
    assert body["total"] == 4
    assert not any({"emails", "roles"} & user.keys() for user in body["users"])


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"status": "deactivated"}, ["sales.lead"]),
        ({"status": "active"}, [None, "bulk.bot", "finance.lead"]),
        ({}, [None, "bulk.bot", "finance.lead", "sales.lead"]),
        ({"searchTerm": "LEAD"}, ["finance.lead", "sales.lead"]),
        ({"searchTerm": "gone@"}, ["sales.lead"]),
        ({"roles": ["guest", "admin"]}, ["bulk.bot", "sales.lead"]),
        ({"roles": "all", "status": "deactivated"}, ["sales.lead"]),
    ],
)
def test_users_are_listed_by_status(params: dict[str, Any], names: list[str]) -> None:
    """Status, search term and roles are combined."""
    assert usernames(call_api(populated(), "users.listByStatus", **params)[1]) == names


def test_addresses_are_searched_only_for_accounts_that_see_them() -> None:
    """For other accounts only names are searched, although every response has addresses."""
    world = populated(roles=("user",))
    assert usernames(call_api(world, "users.listByStatus", searchTerm="gone@")[1]) == []
    assert "emails" in call_api(world, "users.listByStatus", status="deactivated")[1]["users"][0]


@pytest.mark.parametrize("params", [{"status": "left"}, {"query": "{}"}])
def test_an_unknown_status_or_parameter_is_refused(params: dict[str, str]) -> None:
    """The route validates its parameters."""
    status, body = call_api(populated(), "users.listByStatus", **params)
    assert (status, body["errorType"]) == (400, "invalid-params")


@pytest.mark.parametrize(("version", "status"), [("6.7.2", 404), ("6.8.0", 200)])
def test_older_servers_have_no_list_by_status(version: str, status: int) -> None:
    """Before 6.8 the route does not exist."""
    assert call_api(populated(version), "users.listByStatus")[0] == status


def test_an_account_gets_its_own_data() -> None:
    """`me` returns id, name and roles."""
    status, body = call_api(workspace(roles=("user", "bot")), "me")
    assert (status, body["_id"], body["name"], body["roles"]) == (200, ACCOUNT.user_id, "bulk.bot", ["user", "bot"])


def test_permissions_are_listed_with_their_roles() -> None:
    """The list includes the changes of an administrator."""
    world = workspace()
    world.remove_permission("view-other-user-channels")
    status, body = call_api(world, "permissions.listAll")
    roles = {permission["_id"]: permission["roles"] for permission in body["update"]}
    assert (status, body["remove"]) == (200, [])
    assert roles["set-leader"] == ["admin", "owner"]
    assert roles["view-other-user-channels"] == []


def test_every_account_may_list_permissions_and_roles() -> None:
    """Permissions and roles are listed for every account with a token."""
    world = workspace(roles=("user",))
    assert call_api(world, "permissions.listAll")[0] == 200
    roles = {role["_id"]: (role["description"], role["scope"]) for role in call_api(world, "roles.list")[1]["roles"]}
    assert (roles["leader"], roles["user"]) == (("Leader", "Subscriptions"), ("", "Users"))
