"""Notification messages in Rocket.Chat at the end of a run: target, text and payload. Pure functions."""

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from rolecall.models import Json, RolecallError
from rolecall.rocketchat.connection_config import format_netloc, is_loopback
from rolecall.text import format_duration, plural, sanitise

POST_MESSAGE = "/api/v1/chat.postMessage"

MAX_TARGET_LENGTH = 256
"""Characters of a room's name or id."""
MAX_VALUE_LENGTH = 300
"""Characters of a value in a message."""
MAX_REASONS = 5
"""Reasons that a message lists."""
HOOKS = "/hooks/"
"""Part of the path of every incoming webhook, before its id and its token."""
_HOOK_PATH = re.compile(r"(/[\w.~-]+)*/hooks/[\w.~-]+(/[\w.~-]+)*/?", re.ASCII)


class NotifyTargetError(RolecallError):
    """The notification target cannot be used. The text does not contain the URL."""


class Room(NamedTuple):
    """A room of the run's own workspace; the message is sent with the run's account."""

    name: str
    """`#channel`, `@user` or a room id."""


class Webhook(NamedTuple):
    """An incoming webhook. Its path is a secret: everyone who knows it can post."""

    origin: str
    """Scheme, host and port."""
    path: str

    def __repr__(self) -> str:
        return "Webhook(<hidden>)"


Target: TypeAlias = Room | Webhook


class RunSummary(NamedTuple):
    """The result of a run, for a message."""

    headline: str
    """One sentence, written by Rolecall."""
    outcomes: Mapping[str, int]
    """Rows by outcome; empty if they are not known."""
    reasons: Mapping[str, int]
    """Unsuccessful rows by reason."""
    operation: str
    workspace: str
    account: str
    seconds: float
    host: str
    """The machine on which the report was written."""
    report: str
    """The path of the report."""
    reason: str = ""
    """Why the run was made, in the words of the operator."""
    error: str = ""
    """Why it did not begin."""


def is_url(text: str) -> bool:
    """Return whether a target is meant as a URL and not as a room."""
    return "://" in text or HOOKS in text


def parse_target(given: str, *, allow_http: bool = False) -> Target:
    """Parse `#channel`, `@user`, a room id or the URL of an incoming webhook. Raises NotifyTargetError."""
    text = given.strip()
    if is_url(text):
        return _webhook(text, allow_http=allow_http)
    if not text.strip("#@") or len(text) > MAX_TARGET_LENGTH or not text.isprintable() or " " in text:
        raise NotifyTargetError("The target must be #channel, @user, a room id or the URL of a webhook.")
    return Room(text)


def _webhook(text: str, *, allow_http: bool) -> Webhook:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise NotifyTargetError("The webhook is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host or not text.isprintable() or "@" in parts.netloc:
        raise NotifyTargetError("The webhook is not a URL such as https://chat.example.org/hooks/...")
    if parts.query or parts.fragment or not _HOOK_PATH.fullmatch(parts.path):
        raise NotifyTargetError("The webhook is not an incoming webhook: its path must contain /hooks/ID/TOKEN.")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise NotifyTargetError("The webhook is http://: its secret would be sent unencrypted; use https://.")
    return Webhook(f"{parts.scheme}://{format_netloc(host, port)}", parts.path)


def room_payload(room: Room, text: str) -> Json:
    """Return the JSON for `chat.postMessage`."""
    where = "channel" if room.name.startswith(("#", "@")) else "roomId"
    is_federated = room.name.startswith("@") and not room.name.startswith("@@") and ":" in room.name
    name = f"@{room.name}" if is_federated else room.name  # the server takes one mark away
    return {where: name, "text": text, "parseUrls": False}


def webhook_payload(text: str) -> Json:
    """Return the JSON for an incoming webhook, which has a room of its own."""
    return {"text": text}


def compose(summary: RunSummary) -> str:
    """Format the message; foreign text is put into code spans, so that it can neither format nor mention."""
    lines = [f"*{summary.headline}*"]
    if summary.outcomes:
        lines.append(f"{plural(sum(summary.outcomes.values()), 'row')}: {_format_counts(summary.outcomes)}.")
    if summary.reasons:
        by_count = sorted(summary.reasons.items(), key=lambda item: -item[1])
        more = f" and {len(by_count) - MAX_REASONS} more reasons" if len(by_count) > MAX_REASONS else ""
        lines.append(f"Why not: {_format_counts(dict(by_count[:MAX_REASONS]))}{more}.")
    if summary.error:
        lines.append(code_span(summary.error))
    if summary.reason:
        lines.append(f"Reason given: {code_span(summary.reason)}.")
    workspace, account = code_span(summary.workspace), code_span(summary.account)
    elapsed = format_duration(summary.seconds, whole_seconds=True)
    lines.append(f"{code_span(summary.operation)} at {workspace} as {account}, {elapsed}.")
    where = "none: it did not begin" if summary.error else code_span(summary.report)
    lines.append(f"Report on {code_span(summary.host)}: {where}")
    return "\n".join(lines)


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{rows:,} {code_span(name)}" for name, rows in counts.items())


def code_span(text: str) -> str:
    """Format a text that may be hostile as a code span: no markup, no link, no @mention, no #channel."""
    clean = sanitise(text, limit=MAX_VALUE_LENGTH).replace("`", "'")
    # Servers look for mentions in code spans too: an invisible word joiner separates the sign from the name.
    separated = re.sub("[@#]", "\\g<0>\u2060", clean)
    return f"`{separated or ' '}`"
