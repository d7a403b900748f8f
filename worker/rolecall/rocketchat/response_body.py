"""Reading the body of an answer: the JSON object in it, the error that it names, its words."""

import re
from typing import NamedTuple

import orjson


class ServerError(NamedTuple):
    """The error type that a body names."""

    error_type: str
    """Empty where it names none."""
    in_field: bool
    """True where it stands in `errorType`, False where in square brackets at the end of the words."""


NO_ERROR = ServerError("", in_field=False)
_BRACKETED = re.compile(r"\[([A-Za-z0-9_-]{1,80})\]\s*$")


def json_object(body: bytes) -> dict[str, object] | None:
    """Parse a body as a JSON object; None where it is anything else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def parse_error(body: dict[str, object] | None) -> ServerError:
    """Read the error type: its field, or else the brackets in which Rocket.Chat's words end."""
    if body is None:
        return NO_ERROR
    given = body.get("errorType")
    if isinstance(given, str) and given:
        return ServerError(given[:100], in_field=True)
    bracketed = _BRACKETED.search(plain_text(body))
    return ServerError(bracketed[1], in_field=False) if bracketed else NO_ERROR


def plain_text(body: dict[str, object]) -> str:
    """Read the server's words; empty where there are none."""
    for name in ("error", "message"):
        value = body.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def page_text(body: bytes) -> str:
    """Show the beginning of what is not JSON, without its tags."""
    text = re.sub(r"<(style|script)\b.*?</\1\s*>|<[^>]*>", " ", body[:4096].decode(errors="replace"), flags=re.DOTALL)
    return " ".join(text.split())[:200]
