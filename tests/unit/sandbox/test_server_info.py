"""The account and the permissions of the workspace."""

from rolecall.sandbox import ACCOUNT
from tests.unit.sandbox.asking import FORBIDDEN, ask, workspace


def test_an_account_is_told_who_it_is() -> None:
    """`me` tells id, name and roles."""
    status, body = ask(workspace(roles=("user", "bot")), "me")
    assert (status, body["_id"], body["name"], body["roles"]) == (200, ACCOUNT.user_id, "bulk.bot", ["user", "bot"])


def test_permissions_are_listed_with_their_roles() -> None:
    """The list shows what an administrator has changed."""
    world = workspace()
    world.withdraw("view-other-user-channels")
    status, body = ask(world, "permissions.listAll")
    roles = {permission["_id"]: permission["roles"] for permission in body["update"]}
    assert (status, body["remove"]) == (200, [])
    assert roles["set-leader"] == ["admin", "owner"]
    assert roles["view-other-user-channels"] == []


def test_permissions_are_for_those_who_may_look() -> None:
    """Without `access-permissions` the list is refused."""
    assert ask(workspace(roles=("user",)), "permissions.listAll") == (403, {"success": False, "error": FORBIDDEN})
