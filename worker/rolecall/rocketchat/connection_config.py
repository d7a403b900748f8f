"""Where the workspace is and who calls it, and what can be wrong with either; imports no HTTP library."""

import os
from dataclasses import dataclass, field

from rolecall.models import RolecallError
from rolecall.rocketchat.url import proxy_for, workspace_url

MAX_TOKEN_LENGTH = 4096
"""Characters of a user id or a token, at most."""


class AuthenticationError(RolecallError):
    """The user id or the token cannot be used, or the workspace does not accept them."""


class WorkspaceUnavailableError(RolecallError):
    """The workspace exists but cannot answer now."""


class CaFileError(RolecallError):
    """The file of certificate authorities cannot be used."""


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """Where the workspace is and how to connect to it. Raises InvalidUrlError for a URL that cannot be used."""

    url: str
    """Such as `https://chat.example.org`, also with a path; normalised, without a slash at the end."""
    allow_http: bool = False
    """Send the token over `http://` to a host that is not this machine."""
    connect_timeout: float = 10.0
    """Seconds to wait for a connection."""
    timeout: float = 30.0
    """Seconds to wait for the whole response, after the connection is made."""
    ca_file: str | None = None
    """A PEM file with the certificate authorities to trust instead of the system's."""
    trust_env: bool = True
    """Use the proxy that the environment names (`https_proxy`, `no_proxy` ...)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", workspace_url(self.url, allow_http=self.allow_http))

    @property
    def proxy(self) -> str | None:
        """The proxy for this workspace; None without one. Loopback never has one."""
        return proxy_for(self.url, os.environ) if self.trust_env else None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The account that calls; the token is in no representation. Raises AuthenticationError for an impossible value.

    Whether the workspace accepts them shows when it is called.
    """

    user_id: str
    """The id (not the name) of the account."""
    token: str = field(repr=False)
    """Its personal access token."""

    def __post_init__(self) -> None:
        for name, value in (("user id", self.user_id), ("token", self.token)):
            if not is_header_safe(value):
                raise AuthenticationError(
                    f"The {name} is empty or has characters that no id or token has; copy it again."
                )


def is_header_safe(text: str) -> bool:
    """Return whether a user id or a token can be sent: printable ASCII without spaces, not empty, not too long."""
    return text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= MAX_TOKEN_LENGTH
