"""Searches a user by an e-mail address."""

import orjson

from rolecall.engine.directory.find_query import ADDRESS_NOT_FOUND, to_gap
from rolecall.engine.throttle.read_client import PAGE_SIZE, ReadClient
from rolecall.models import LookupGap
from rolecall.rocketchat.error_table import FORBIDDEN, NO_SUCH_ROUTE
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import USERS, USERS_BY_STATUS, ListedUser, parse_listed_user


async def search_address(reader: ReadClient, address: str) -> ListedUser | LookupGap:
    """Return the user with an address, deactivated or not. Servers before 6.8 need another request.

    Raises ShutdownRequested.
    """
    async for entry in reader.entries(USERS_BY_STATUS, "users", searchTerm=address):
        if isinstance(entry, CallResult):
            if entry.rule.reason == NO_SUCH_ROUTE.reason:
                return await _search_before_6_8(reader, address)
            return LookupGap(ADDRESS_NOT_FOUND, address) if entry.rule is FORBIDDEN else to_gap(entry, address)
        user = parse_listed_user(entry)
        if user is not None and _is_among(address, user.addresses):
            return user
    return LookupGap(ADDRESS_NOT_FOUND, address)


async def _search_before_6_8(reader: ReadClient, address: str) -> ListedUser | LookupGap:
    """Search by a query; one page, because a server that ignores the query lists all users."""
    query = orjson.dumps({"emails.address": address.lower()}).decode()
    read = await reader.read(USERS, query=query, count=str(PAGE_SIZE))
    if read.body is None and read.verdict.rule is not FORBIDDEN:
        return to_gap(read.verdict, address)
    users = read.body.get("users") if read.body is not None else None
    for entry in users if isinstance(users, list) else []:
        user = parse_listed_user(entry) if isinstance(entry, dict) else None
        if user is not None and _is_among(address, user.addresses):
            return user
    return LookupGap(ADDRESS_NOT_FOUND, address)


def _is_among(address: str, addresses: frozenset[str]) -> bool:
    return address.lower() in {known.lower() for known in addresses}
