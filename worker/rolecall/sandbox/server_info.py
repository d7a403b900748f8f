"""The routes about the account and the server: who am I, which version is this, who may do what."""

from collections.abc import Mapping

from rolecall.sandbox.answers import Answer, success
from rolecall.sandbox.documents import STAMP
from rolecall.sandbox.world import World


def me(world: World, caller: str, _params: Mapping[str, object]) -> Answer:
    """Answer `GET /api/v1/me`: the account that the token belongs to."""
    user = world.users[caller]
    return success(
        _id=user.id,
        username=user.username,
        name=user.name or user.username,
        active=user.active,
        roles=user.roles,
        status="online",
        utcOffset=0,
    )


def info(world: World, caller: str, _params: Mapping[str, object]) -> Answer:
    """Answer `GET /api/info`: the version, without its patch number for accounts lacking `view-statistics`."""
    if caller and world.may(caller, "view-statistics"):
        return success(version=world.version)
    return success(version=world.version.rpartition(".")[0])


def list_permissions(world: World, _caller: str, _params: Mapping[str, object]) -> Answer:
    """Answer `GET permissions.listAll`: every permission with the roles that have it."""
    update = [
        {"_id": permission, "roles": sorted(roles), "_updatedAt": STAMP}
        for permission, roles in sorted(world.permissions.items())
    ]
    return success(update=update, remove=[])
