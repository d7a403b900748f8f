"""What the workspace says about a room itself."""

from collections.abc import Mapping

from rolecall.models import NoReply, Reply
from rolecall.rocketchat.response_body import json_object

COUNTERS = "/api/v1/groups.counters"
"""Answers for every private group that exists, also for one that the account is not a member of."""


def is_joined(reply: Reply | NoReply) -> bool | None:
    """Read the answer to `GET groups.counters?roomId=`: True or False for a room that exists, None otherwise."""
    if isinstance(reply, NoReply) or reply.status != 200:
        return None
    body = json_object(reply.body)
    return parse_joined(body) if body is not None and body.get("success") is True else None


def parse_joined(body: Mapping[str, object]) -> bool | None:
    """Read what was told of a room that exists: True or False, None where it is not said."""
    joined = body.get("joined")
    return joined if isinstance(joined, bool) else None


def is_refused(reply: Reply | NoReply) -> bool:
    """Tell whether the account or the server has no such route, so that asking again is of no use."""
    return isinstance(reply, Reply) and reply.status in (401, 403, 404)
