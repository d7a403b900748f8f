"""Messages into Rocket.Chat at the end of a run: to whom, what they say, what is sent. Pure functions."""

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from rolecall.models import Json
from rolecall.rocketchat.url import is_loopback
from rolecall.text import format_duration, sanitise

POST_MESSAGE = "/api/v1/chat.postMessage"

LONGEST_NAME = 256
"""Characters of a room's name or id."""
LONGEST_VALUE = 300
"""Characters of a value that a message shows."""
MOST_REASONS = 5
"""Reasons that a message counts."""
HOOKS = "/hooks/"
"""Stands in the path of every incoming webhook, before its id and its token."""
_HOOK_PATH = re.compile(r"(/[\w.~-]+)*/hooks/[\w.~-]+(/[\w.~-]+)*/?", re.ASCII)


class NotifyTargetError(Exception):
    """There is nothing that a message could be sent to; the text is one line for a person, without the address."""


class Room(NamedTuple):
    """A room of the run's own workspace, reached with the run's own account."""

    name: str
    """`#channel`, `@user` or a room id."""


class Webhook(NamedTuple):
    """An incoming webhook; its path is a secret: who knows it can post."""

    origin: str
    """Scheme, host and port."""
    path: str

    def __repr__(self) -> str:
        return "Webhook(<hidden>)"


Target: TypeAlias = Room | Webhook


class RunSummary(NamedTuple):
    """What a message tells of a run."""

    headline: str
    """One sentence of ours."""
    outcomes: Mapping[str, int]
    """Rows by outcome; empty where they are not known."""
    reasons: Mapping[str, int]
    """The rows that did not go well, by reason."""
    operation: str
    workspace: str
    account: str
    seconds: float
    host: str
    """The machine that the report lies on."""
    report: str


def is_url(text: str) -> bool:
    """Tell whether a target is meant as an address and not as a room."""
    return "://" in text or HOOKS in text


def parse_target(given: str, *, allow_http: bool = False) -> Target:
    """Read `#channel`, `@user`, a room id or the address of an incoming webhook. Raises NotifyTargetError."""
    text = given.strip()
    if is_url(text):
        return _webhook(text, allow_http=allow_http)
    if not text.strip("#@") or len(text) > LONGEST_NAME or not text.isprintable() or " " in text:
        raise NotifyTargetError(
            "The target of --notify must be #channel, @user, a room id or the address of a webhook."
        )
    return Room(text)


def _webhook(text: str, *, allow_http: bool) -> Webhook:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise NotifyTargetError("The webhook that --notify names is no address.") from None
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or "@" in parts.netloc:
        raise NotifyTargetError(
            "The webhook that --notify names is no address such as https://chat.example.org/hooks/..."
        )
    if parts.query or parts.fragment or not _HOOK_PATH.fullmatch(parts.path):
        raise NotifyTargetError(
            "The webhook that --notify names is no incoming webhook: its path must have /hooks/ID/TOKEN."
        )
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise NotifyTargetError(
            "The webhook that --notify names is http://: its secret would travel unencrypted; use https://."
        )
    name = f"[{host}]" if ":" in host else host
    return Webhook(f"{parts.scheme}://{name if port is None else f'{name}:{port}'}", parts.path)


def room_payload(room: Room, text: str) -> Json:
    """Give what `chat.postMessage` takes."""
    where = "channel" if room.name.startswith(("#", "@")) else "roomId"
    return {where: room.name, "text": text, "parseUrls": False}


def webhook_payload(text: str) -> Json:
    """Give what an incoming webhook takes; its room is its own."""
    return {"text": text}


def compose(ending: RunSummary) -> str:
    """Write the message; what is not ours stands in it as code, so that it can neither format nor call anybody."""
    lines = [f"*{ending.headline}*"]
    if ending.outcomes:
        total = sum(ending.outcomes.values())
        lines.append(f"{total:,} row{'' if total == 1 else 's'}: {_counted(ending.outcomes)}.")
    if ending.reasons:
        most = sorted(ending.reasons.items(), key=lambda item: -item[1])
        more = f" and {len(most) - MOST_REASONS} more reasons" if len(most) > MOST_REASONS else ""
        lines.append(f"Why not: {_counted(dict(most[:MOST_REASONS]))}{more}.")
    where, who = quoted(ending.workspace), quoted(ending.account)
    lines.append(
        f"{quoted(ending.operation)} at {where} as {who}, {format_duration(ending.seconds, whole_seconds=True)}."
    )
    lines.append(f"Report on {quoted(ending.host)}: {quoted(ending.report)}")
    return "\n".join(lines)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{rows:,} {quoted(name)}" for name, rows in counts.items())


def quoted(text: str) -> str:
    """Put a text that may be hostile into a code span: no markup, no link, no @mention, no #channel."""
    harmless = sanitise(text, limit=LONGEST_VALUE).replace("`", "'")
    # Servers look for mentions in code spans too: a word joiner, which nobody sees, parts the sign from the name.
    parted = re.sub("[@#]", "\\g<0>\u2060", harmless)
    return f"`{parted or ' '}`"
