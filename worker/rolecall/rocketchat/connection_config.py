"""Where the workspace is and who calls it, checked before the token is sent anywhere; imports no HTTP library."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from rolecall.models import Advice, RolecallError

MAX_TOKEN_LENGTH = 4096
"""Characters of a user id or a token, at most."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = " such as https://chat.example.org"


class InvalidUrlError(RolecallError):
    """The workspace's URL cannot be used."""


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


def workspace_url(given: str, *, allow_http: bool = False) -> str:
    """Validate and normalise the URL of a workspace; the result has no slash at the end.

    A workspace may be installed under a path (`https://example.org/chat`). A default port and a dot at the end of the
    host are left out: runs are known by the URL, so that one workspace must not have two. Credentials, a query or a
    fragment are refused, and so is `http://` to anything but loopback unless `allow_http` is set, because the token
    would be sent unencrypted. Raises InvalidUrlError.
    """
    text = given.strip()
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        raise InvalidUrlError(f"The workspace URL is not an address{_EXAMPLE}.", Advice.CHECK_URL) from None
    if "@" in text:  # the URL is not shown: it may contain a password
        raise InvalidUrlError(
            "The workspace URL must not carry a user or password; use a token instead.", Advice.CHECK_URL
        )
    if parts.scheme not in ("http", "https") or not host or _has_odd_characters(text):
        raise InvalidUrlError(f"The workspace URL is not an address{_EXAMPLE}: {text[:200]!r}.", Advice.CHECK_URL)
    if parts.query or parts.fragment:
        raise InvalidUrlError("The workspace URL must be an address alone, without '?' or '#'.", Advice.CHECK_URL)
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise InvalidUrlError(
            f"The workspace URL is http://{host}: the token would travel unencrypted.", Advice.ALLOW_HTTP
        )
    path = parts.path.rstrip("/").removesuffix("/api/v1").removesuffix("/api").rstrip("/")
    port = None if port == _DEFAULT_PORTS[parts.scheme] else port
    return urlunsplit((parts.scheme, format_netloc(host, port), path, "", ""))


def format_netloc(host: str, port: int | None) -> str:
    """Format a host name or IP address and a port as in a URL."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy that the environment sets for this URL; None for loopback.

    Reads `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in lower or upper case. Raises InvalidUrlError for a
    proxy that does not speak HTTP, because the token would be sent to its port in the wrong protocol.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    if is_loopback(host) or _bypasses_proxy(host, port, _variable(environ, "no_proxy")):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        if proxy := _variable(environ, name):
            return _http_proxy(proxy, name)
    return None


def _http_proxy(proxy: str, variable: str) -> str:
    if "://" not in proxy:
        return f"http://{proxy}"
    scheme = proxy.partition("://")[0].lower()
    if scheme in _DEFAULT_PORTS:
        return proxy
    shown = scheme if scheme.isalnum() else "another"  # the rest is not shown: it may contain a password
    raise InvalidUrlError(
        f"{variable} names a proxy of the type {shown[:20]}, which is not supported: name an http:// proxy, "
        "or add the workspace to no_proxy."
    )


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _bypasses_proxy(host: str, port: int | None, no_proxy: str) -> bool:
    """Return whether an entry matches: a name with its subdomains, an address or network; perhaps with a port."""
    entries = no_proxy.replace(",", " ").lower().split()
    return "*" in entries or any(_matches_entry(host, port, entry) for entry in entries)


def _matches_entry(host: str, port: int | None, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:  # one of them is a name, or the entry has a port
        pass
    name, colon, entry_port = entry.rpartition(":")
    if not colon:
        name = entry
    elif entry_port != str(port):
        return False
    suffix = name.strip("[]").removeprefix("*").removeprefix(".")
    return bool(suffix) and (host == suffix or host.endswith("." + suffix))


def _has_odd_characters(text: str) -> bool:
    return any(character.isspace() or not character.isprintable() or character == "\\" for character in text)
