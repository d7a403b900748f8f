"""Remove our own token from what a server sent, in each spelling in which a response can contain it."""

import re
from collections.abc import Mapping
from functools import cached_property

from multidict import CIMultiDict

HIDDEN = "<hidden>"
"""Replaces our own token in a response."""


class SecretFilter:
    """Hides one token: as it is, in other letter case, and escaped for JSON, a URL or HTML, in part or completely."""

    def __init__(self, secret: str) -> None:
        """Create a filter; without a secret it changes nothing."""
        self._secret = secret

    @cached_property
    def _search(self) -> re.Pattern[bytes] | None:
        """The pattern, compiled for the first response: that takes as long as some imports, and no request needs it."""
        return re.compile("".join(map(_spellings, self._secret)).encode()) if self._secret else None

    def hide(self, content: bytes) -> bytes:
        """Return the content without the token."""
        return content if self._search is None else self._search.sub(HIDDEN.encode(), content)

    def hide_text(self, text: str) -> str:
        """Return the text without the token."""
        return self.hide(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def hide_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers without the token; usually the same object, because they do not contain it."""
        text = "\n".join([*headers, *headers.values()])
        if self._search is None or not self._search.search(text.encode("utf-8", "surrogatepass")):
            return headers
        return CIMultiDict((self.hide_text(name), self.hide_text(value)) for name, value in headers.items())


def _spellings(character: str) -> str:
    """Return a pattern for one ASCII character in all spellings.

    Each alternative begins with a fixed character, so that `re` skips all else quickly. Repetitions are bounded, and
    those of a character that cannot follow are not tried again with fewer (`+`): no content takes long.
    """
    code = ord(character)
    plain = "|".join(re.escape(each) for each in sorted({character.lower(), character.upper()}))
    hexadecimal = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{code:02x}")
    in_json = rf"\\\\{{0,7}}+(?:u00{hexadecimal}|x{hexadecimal}|{plain})"
    in_url = f"%(?:25){{0,4}}{hexadecimal}"
    in_html = f"&#(?:0{{0,7}}{code}|[xX]0{{0,7}}{hexadecimal});?"
    return f"(?:{in_json}|{plain}|{in_url}|{in_html})"
