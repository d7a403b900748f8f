"""When an id is usable: ids are opaque, so only what can be no id at all is refused."""

import re

from rolecall.text import UNSAFE

LONGEST_ID = 256
"""In characters; Rocket.Chat's own ids have 17, imported ones may have more."""

is_usual = re.compile(r"[!-&(-~][!-~]{0,255}").fullmatch
"""Matches what nearly every id is, fast: printable ASCII without blanks or an apostrophe in front; nothing to clean."""


def reason_against(room_id: str, user_id: str) -> str:
    """Give the `BAD_ROW_REASONS` word that speaks against a trimmed pair; empty when it is usable."""
    for name, text in (("room_id", room_id), ("user_id", user_id)):
        if not text:
            return f"missing_{name}"
        if len(text) > LONGEST_ID:
            return f"{name}_too_long"
        if UNSAFE.search(text):
            return f"{name}_control_character"
    return ""
