"""Searches a user by an e-mail address."""

from collections.abc import Mapping

import orjson

from rolecall.engine.directory.find_query import ADDRESS_AMBIGUOUS, ADDRESS_NOT_FOUND, to_gap
from rolecall.engine.throttle.read_client import PAGE_SIZE, ReadClient
from rolecall.models import LookupGap
from rolecall.rocketchat.error_table import FORBIDDEN, NO_SUCH_ROUTE
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import USERS, USERS_BY_STATUS, ListedUser, parse_listed_user


async def search_address(reader: ReadClient, address: str) -> ListedUser | LookupGap:
    """Return the user with an address, deactivated or not. Servers before 6.8 need another request.

    Upper and lower case are the same, so several users may have it: then the reason is ADDRESS_AMBIGUOUS. Raises
    ShutdownRequested.
    """
    found: dict[str, ListedUser] = {}
    async for entry in reader.entries(USERS_BY_STATUS, "users", searchTerm=address):
        if isinstance(entry, CallResult):
            if entry.rule.reason == NO_SUCH_ROUTE.reason:
                return await _search_before_6_8(reader, address)
            return LookupGap(ADDRESS_NOT_FOUND, address) if entry.rule is FORBIDDEN else to_gap(entry, address)
        _collect(entry, address, found)
    return _only_one(found, address)


async def _search_before_6_8(reader: ReadClient, address: str) -> ListedUser | LookupGap:
    """Search by a query; one page, because a server that ignores the query lists all users."""
    query = orjson.dumps({"emails.address": address.lower()}).decode()
    read = await reader.read(USERS, query=query, count=str(PAGE_SIZE))
    if read.body is None and read.verdict.rule is not FORBIDDEN:
        return to_gap(read.verdict, address)
    users = read.body.get("users") if read.body is not None else None
    found: dict[str, ListedUser] = {}
    for entry in users if isinstance(users, list) else []:
        if isinstance(entry, dict):
            _collect(entry, address, found)
    return _only_one(found, address)


def _collect(entry: Mapping[str, object], address: str, found: dict[str, ListedUser]) -> None:
    """Add the user of an entry, by id, if it has the address."""
    user = parse_listed_user(entry)
    if user is not None and address.lower() in {known.lower() for known in user.addresses}:
        found[user.user_id] = user


def _only_one(found: Mapping[str, ListedUser], address: str) -> ListedUser | LookupGap:
    """Return the only user that was found, or why there is none."""
    if len(found) == 1:
        return next(iter(found.values()))
    return LookupGap(ADDRESS_AMBIGUOUS if found else ADDRESS_NOT_FOUND, address)
