"""A workspace as a program names it: where it is, who calls, how it is reached."""

from dataclasses import dataclass, field

from rolecall.rocketchat.preflight import AuthenticationError
from rolecall.rocketchat.url import workspace_url

LONGEST = 4096
"""Characters of an id or a token, at most."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where to call and as whom; the token is in no representation of it.

    Raises BadAddress for an address that cannot be used, and AuthenticationError for an id or a token that can be none;
    whether the workspace accepts them shows when it is called.
    """

    url: str
    """Such as `https://chat.example.org`, also with a path; brought into one form."""
    user_id: str
    """The id (not the name) of the account that calls."""
    token: str = field(repr=False)
    """Its personal access token."""
    allow_http: bool = False
    """Send the token over `http://` to a host that is not this machine."""
    connect_timeout: float = 10.0
    """Seconds until a connection must stand."""
    timeout: float = 30.0
    """Seconds until an answer must have come."""
    ca_file: str | None = None
    """A PEM file with the certificate authorities to trust instead of the system's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", workspace_url(self.url, allow_http=self.allow_http))
        for name in ("user_id", "token"):
            if not _can_be_sent(getattr(self, name)):
                raise AuthenticationError(
                    f"The {name} is empty or has characters that no id or token has; copy it again."
                )


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= LONGEST
