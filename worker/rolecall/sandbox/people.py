"""The routes about users: one with their rooms, all of them, those of one status."""

from collections.abc import Iterator, Mapping
from typing import Any

from rolecall.sandbox.answers import Answer, invalid_params, plain_refusal, refusal, success
from rolecall.sandbox.documents import subscription_document, user_document
from rolecall.sandbox.paging import paged
from rolecall.sandbox.queries import json_parameter, matches, refuse_query, without
from rolecall.sandbox.world import User, World

FULL_INFO = "view-full-other-user-info"
HIDDEN = ("emails", "roles", "lastLogin")
"""What an account without `FULL_INFO` is not told of others, and cannot query."""
QUERYABLE = ("username", "name", "emails.address", "type", "status", "active", "roles", "lastLogin")

USER_ROOMS = (7, 0)
"""From here on `includeUserRooms` asks for the rooms; before, it was `fields={"userRooms":1}`."""
BY_EMAIL = (8, 4)
NO_QUERIES = (9, 0)
"""From here on schemas know neither `query` nor `fields`."""

STATUS_KEYS = frozenset(
    {"offset", "count", "sort", "status", "hasLoggedIn", "type", "roles", "searchTerm", "inactiveReason"}
)


def user_info(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `GET users.info`: one user, by id, name or (from 8.4 on) address, deactivated ones too.

    On request with all their rooms, joined by the caller or not, for those with `view-other-user-channels`. An
    account is told everything about itself.
    """
    key = _search_key(world, params)
    if isinstance(key, Answer):
        return key
    wanted = _rooms_wanted(world, params)
    if isinstance(wanted, Answer):
        return wanted
    user = _find(world, caller, key, str(params[key]))
    if user is None:
        return plain_refusal("User not found.")
    full = user.id == caller or world.may(caller, FULL_INFO)
    document: dict[str, Any] = {**_visible(user, full), "canViewAllInfo": full}
    if wanted and (user.id == caller or world.may(caller, "view-other-user-channels")):
        document["rooms"] = _rooms(world, user.id)
    return success(user=document)


def _search_key(world: World, params: Mapping[str, object]) -> str | Answer:
    """Return the one parameter that names the user, or the refusal of the route's schema."""
    keys = ("userId", "username", "importId", *(("email",) if world.release >= BY_EMAIL else ()))
    named = [key for key in keys if key in params]
    missing = "\n ".join(f"must have required property '{key}'" for key in keys)
    if not named:
        return invalid_params(f"{missing}\n must match a schema in anyOf")
    further = {"includeUserRooms"} if world.release >= USER_ROOMS else set()
    if world.release < NO_QUERIES:
        further.add("fields")
    if len(named) > 1 or not params.keys() <= {*named, *further}:
        return invalid_params("must NOT have additional properties\n must match a schema in anyOf")
    return named[0] if params[named[0]] else plain_refusal("Invalid search query.")


def _rooms_wanted(world: World, params: Mapping[str, object]) -> bool | Answer:
    """Return whether the rooms are asked for, in the way that this version understands."""
    if world.release >= USER_ROOMS:
        return params.get("includeUserRooms") == "true"
    fields = json_parameter(params, "fields")
    return fields if isinstance(fields, Answer) else fields.get("userRooms") == 1


def _find(world: World, caller: str, key: str, value: str) -> User | None:
    """Return the user; id and name are looked for in both places, as the server does."""
    if key in ("userId", "username"):
        return world.users.get(value) or world.named(value)
    address = value.strip().lower()
    if key == "email" and (world.may(caller, FULL_INFO) or world.users[caller].email.lower() == address):
        return next((user for user in world.users.values() if user.email and user.email.lower() == address), None)
    return None


def _rooms(world: World, user_id: str) -> list[dict[str, Any]]:
    """Return the user's memberships by type, then name."""
    rooms = (subscription_document(room, user_id) for room in world.rooms.values() if user_id in room.members)
    return sorted(rooms, key=lambda room: (room["t"], room["name"]))


def list_users(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `GET users.list`: all users by name; `query` chooses among them where the server still obeys it."""
    full = world.may(caller, FULL_INFO)
    query = _query(world, params, full)
    if isinstance(query, Answer):
        return query
    documents = [_visible(user, full) for user in _by_name(world)]
    chosen = [
        {**document, "nameInsensitive": document.get("name", "").lower()}
        for document in documents
        if matches(query, document)
    ]
    return paged(world.paging, params, "users", chosen)


def _query(world: World, params: Mapping[str, object], full: bool) -> dict[str, Any] | Answer:
    """Return the conditions that the server obeys, or its refusal of them."""
    if world.release >= NO_QUERIES and ("query" in params or "fields" in params):
        return refusal("error-invalid-params", "must NOT have additional properties")
    if not world.takes_queries:
        return {}
    fields, query = (json_parameter(params, name) for name in ("fields", "query"))
    if isinstance(fields, Answer):
        return fields
    if isinstance(query, Answer):
        return query
    query = without(query, () if full else HIDDEN)
    return refuse_query(query, QUERYABLE) or query


def list_by_status(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `GET users.listByStatus`: users who are `active` or `deactivated`, with addresses and roles for all."""
    if not params.keys() <= STATUS_KEYS:
        return invalid_params("must NOT have additional properties")
    status = params.get("status")
    if status not in (None, "active", "deactivated"):
        return invalid_params("must be equal to one of the allowed values")
    term = str(params.get("searchTerm") or "").strip().lower()
    roles = params.get("roles") or ()
    wanted_roles = {roles} if isinstance(roles, str) else set(roles) if isinstance(roles, list) else set()
    full = world.may(caller, FULL_INFO)
    chosen = [
        user_document(user)
        for user in _by_name(world)
        if status in (None, "active" if user.active else "deactivated")
        and any(term in text.lower() for text in _searched(user, full))
        and (not wanted_roles or "all" in wanted_roles or not wanted_roles.isdisjoint(user.roles))
    ]
    return paged(world.paging, params, "users", chosen)


def _searched(user: User, full: bool) -> Iterator[str]:
    """Tell the texts in which a search term is looked for."""
    yield user.username or ""
    yield user.name
    if full:
        yield user.email


def _by_name(world: World) -> list[User]:
    """Return all users by name; those without one come first."""
    return sorted(world.users.values(), key=lambda user: user.username or "")


def _visible(user: User, full: bool) -> dict[str, Any]:
    """Return what an account with or without `FULL_INFO` is told of a user."""
    document = user_document(user)
    return document if full else without(document, HIDDEN)
