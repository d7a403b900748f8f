"""Routes that read users, the account, the server's version and the permissions.

The parameters `query` and `fields` are JSON that once allowed callers to query the server's database directly. Servers
before 7.0 obey both; 7.x and 8.x ignore them silently unless they were started with
`ALLOW_UNSAFE_QUERY_AND_FIELDS_API_PARAMS`; 9.0 rejects them where a route has a schema.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from rolecall.sandbox.entities import User
from rolecall.sandbox.responses import (
    TIMESTAMP,
    Response,
    invalid_params,
    paged,
    plain_refusal,
    refusal,
    schema_error,
    subscription_document,
    success,
    user_document,
)
from rolecall.sandbox.world import World

FULL_INFO = "view-full-other-user-info"
RESTRICTED_FIELDS = ("emails", "roles", "lastLogin")
"""The fields of other users that an account without `FULL_INFO` neither sees nor can query."""
QUERYABLE_FIELDS = ("username", "name", "emails.address", "type", "status", "active", "roles", "lastLogin")
OPERATORS = ("$or", "$and")

USER_ROOMS_SINCE = (7, 0)
"""From this release on `includeUserRooms` requests the rooms; before, it was `fields={"userRooms":1}`."""
EMAIL_SINCE = (8, 4)
QUERIES_UNTIL = (9, 0)
"""From this release on the schemas accept neither `query` nor `fields`."""

STATUS_KEYS = frozenset(
    {"offset", "count", "sort", "status", "hasLoggedIn", "type", "roles", "searchTerm", "inactiveReason"}
)


# The account and the server


def me(world: World, caller: str, _params: Mapping[str, object]) -> Response:
    """Handle `GET /api/v1/me`: the account that the token belongs to, even if it has no username."""
    user = world.users[caller]
    names = {"username": user.username, "name": user.name or user.username}
    present = {key: value for key, value in names.items() if value}
    return success(_id=user.id, active=user.active, roles=user.roles, status="online", utcOffset=0, **present)


def server_info(world: World, caller: str, _params: Mapping[str, object]) -> Response:
    """Handle `GET /api/info`: the version, without its patch number for accounts without `view-statistics`."""
    if caller and world.has_permission(caller, "view-statistics"):
        return success(version=world.version)
    return success(version=world.version.rpartition(".")[0])


def list_permissions(world: World, _caller: str, _params: Mapping[str, object]) -> Response:
    """Handle `GET permissions.listAll`: every permission with the roles that have it."""
    update = [
        {"_id": permission, "roles": sorted(roles), "_updatedAt": TIMESTAMP}
        for permission, roles in sorted(world.permissions.items())
    ]
    return success(update=update, remove=[])


# One user


def user_info(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `GET users.info`: one user, by id, name or (from 8.4 on) address, deactivated ones too.

    On request with all rooms of the user, joined by the caller or not, for callers with `view-other-user-channels`.
    An account always sees everything about itself.
    """
    key = next(key for key in _search_keys(world) if key in params)
    if not params[key]:
        return plain_refusal("Invalid search query.")
    with_rooms = _are_rooms_requested(world, params)
    if isinstance(with_rooms, Response):
        return with_rooms
    user = _find_user(world, caller, key, str(params[key]))
    if user is None:
        return plain_refusal("User not found.")
    full = user.id == caller or world.has_permission(caller, FULL_INFO)
    document: dict[str, Any] = {**_visible_document(user, full), "canViewAllInfo": full}
    if with_rooms and (user.id == caller or world.has_permission(caller, "view-other-user-channels")):
        document["rooms"] = _memberships(world, user.id)
    return success(user=document)


def check_info_schema(world: World, params: Mapping[str, object]) -> Response | None:
    """Return the 400 of the schema of `users.info` unless exactly one parameter names the user."""
    keys = _search_keys(world)
    given = [key for key in keys if key in params]
    if not given:
        missing = "\n ".join(f"must have required property '{key}'" for key in keys)
        return schema_error("error-invalid-params", f"{missing}\n must match a schema in anyOf")
    optional = {"includeUserRooms"} if world.release >= USER_ROOMS_SINCE else set()
    if world.release < QUERIES_UNTIL:
        optional.add("fields")
    if len(given) > 1 or not params.keys() <= {*given, *optional}:
        text = "must NOT have additional properties\n must match a schema in anyOf"
        return schema_error("error-invalid-params", text)
    return None


def _search_keys(world: World) -> tuple[str, ...]:
    """Return the parameters that can name the user in this version."""
    return ("userId", "username", "importId", *(("email",) if world.release >= EMAIL_SINCE else ()))


def _are_rooms_requested(world: World, params: Mapping[str, object]) -> bool | Response:
    """Return whether the rooms are requested with the parameter of this version."""
    if world.release >= USER_ROOMS_SINCE:
        return params.get("includeUserRooms") == "true"
    fields = _parse_json_parameter(params, "fields")
    return fields if isinstance(fields, Response) else fields.get("userRooms") == 1


def _find_user(world: World, caller: str, key: str, value: str) -> User | None:
    """Return the user; an id and a name are both searched as id and as name, as the server does."""
    if key in ("userId", "username"):
        return world.users.get(value) or world.find_user_by_name(value)
    address = value.strip().lower()
    if key == "email" and (world.has_permission(caller, FULL_INFO) or world.users[caller].email.lower() == address):
        return world.find_user_by_email(address)
    return None


def _memberships(world: World, user_id: str) -> list[dict[str, Any]]:
    """Return the user's memberships by type, then name."""
    rooms = (subscription_document(room, user_id) for room in world.rooms.values() if user_id in room.members)
    return sorted(rooms, key=lambda room: (room["t"], room["name"]))


# Lists of users


def list_users(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `GET users.list`: all users by name; `query` selects among them if the server supports it."""
    full = world.has_permission(caller, FULL_INFO)
    query = _parse_query(world, params, full)
    if isinstance(query, Response):
        return query
    documents = [_visible_document(user, full) for user in _users_by_name(world)]
    selected = [
        {**document, "nameInsensitive": document.get("name", "").lower()}
        for document in documents
        if _matches(query, document)
    ]
    return paged(world.paging, params, "users", selected)


def list_by_status(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `GET users.listByStatus`: `active` or `deactivated` users; every caller sees addresses and roles."""
    if not params.keys() <= STATUS_KEYS:
        return invalid_params("must NOT have additional properties")
    status = params.get("status")
    if status not in (None, "active", "deactivated"):
        return invalid_params("must be equal to one of the allowed values")
    term = str(params.get("searchTerm") or "").strip().lower()
    roles = params.get("roles") or ()
    wanted_roles = {roles} if isinstance(roles, str) else set(roles) if isinstance(roles, list) else set()
    full = world.has_permission(caller, FULL_INFO)
    selected = [
        user_document(user)
        for user in _users_by_name(world)
        if status in (None, "active" if user.active else "deactivated")
        and any(term in text.lower() for text in _searchable_texts(user, full))
        and (not wanted_roles or "all" in wanted_roles or not wanted_roles.isdisjoint(user.roles))
    ]
    return paged(world.paging, params, "users", selected)


def _searchable_texts(user: User, full: bool) -> Iterator[str]:
    """Yield the texts in which a search term is searched."""
    yield user.username or ""
    yield user.name
    if full:
        yield user.email


def _users_by_name(world: World) -> list[User]:
    """Return all users by username; those without one come first."""
    return sorted(world.users.values(), key=lambda user: user.username or "")


def _visible_document(user: User, full: bool) -> dict[str, Any]:
    """Return the fields of a user that a caller with (`full`) or without `FULL_INFO` sees."""
    document = user_document(user)
    return document if full else _without_fields(document, RESTRICTED_FIELDS)


# The parameters `query` and `fields`


def _parse_query(world: World, params: Mapping[str, object], full: bool) -> dict[str, Any] | Response:
    """Return the conditions that the server applies, or its 400."""
    if world.release >= QUERIES_UNTIL and ("query" in params or "fields" in params):
        return refusal("error-invalid-params", "must NOT have additional properties")
    if not world.supports_queries:
        return {}
    fields, query = (_parse_json_parameter(params, name) for name in ("fields", "query"))
    if isinstance(fields, Response):
        return fields
    if isinstance(query, Response):
        return query
    query = _without_fields(query, () if full else RESTRICTED_FIELDS)
    error = _query_error(query)
    return refusal("error-invalid-query", f"Invalid {error}") if error else query


def _parse_json_parameter(params: Mapping[str, object], name: str) -> dict[str, Any] | Response:
    """Return `query` or `fields` as an object, empty if absent, or the 400 if it is not a JSON object."""
    text = params.get(name)
    if not text:
        return {}
    try:
        value = orjson.loads(str(text))
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        return refusal(f"error-invalid-{name}", f'Invalid {name} parameter provided: "{text}"')
    return value


def _without_fields(mapping: Mapping[str, Any], hidden: tuple[str, ...]) -> dict[str, Any]:
    """Return a document or a query without these fields; the server removes their conditions silently."""
    return {key: value for key, value in mapping.items() if key.partition(".")[0] not in hidden}


def _query_error(query: Any) -> str | None:
    """Return the first attribute or operation that is not allowed, in the server's words, or None."""
    if not isinstance(query, dict):
        return "query"
    for key, value in query.items():
        if key in OPERATORS:
            parts = value if isinstance(value, list) else [value]
            if error := next(filter(None, map(_query_error, parts)), None):
                return error
        elif key not in QUERYABLE_FIELDS:
            return f"attribute: {key}"
        elif isinstance(value, dict) and not _is_valid_regex(value):
            return f"operation: {next(iter(value), '')}"
    return None


def _is_valid_regex(condition: dict[str, Any]) -> bool:
    """Return whether a condition is a valid `$regex` with nothing but its options."""
    if "$regex" not in condition or not condition.keys() <= {"$regex", "$options"}:
        return False
    try:
        re.compile(str(condition["$regex"]))
    except re.error:
        return False
    return True


def _matches(query: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Return whether a document satisfies every condition: equality, `$regex`, `$or` and `$and`."""
    return all(_matches_condition(key, wanted, document) for key, wanted in query.items())


def _matches_condition(key: str, wanted: Any, document: Mapping[str, Any]) -> bool:
    if key in OPERATORS:
        combine = any if key == "$or" else all
        parts = wanted if isinstance(wanted, list) else [wanted]
        return combine(_matches(part, document) for part in parts)
    values = _values_at(document, key.split("."))
    if isinstance(wanted, dict):
        flags = re.IGNORECASE if "i" in str(wanted.get("$options", "")) else 0
        return any(re.search(str(wanted["$regex"]), str(value), flags) for value in values)
    return wanted in values


def _values_at(document: Any, path: list[str]) -> list[Any]:
    """Return every value at a dotted path, inside lists too."""
    if isinstance(document, list | tuple):
        return [value for item in document for value in _values_at(item, path)]
    if not path:
        return [document]
    return _values_at(document[path[0]], path[1:]) if path[0] in document else []
