"""Answers as they come off the wire, made by hand."""

from collections.abc import Mapping

import orjson
from multidict import CIMultiDict

from rolecall.models import Json, Reply


def reply(
    status: int = 200, body: bytes | Json = b"", headers: Mapping[str, str] | None = None, *, sent_at: float = 0.0
) -> Reply:
    """Make an answer; a body that is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Reply(status, CIMultiDict(headers or {}), content, sent_at, sent_at + 0.01)
