"""Validation of the workspace's URL, before the token is sent anywhere."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from rolecall.models import Advice, RolecallError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = " such as https://chat.example.org"


class InvalidUrlError(RolecallError):
    """The workspace's URL cannot be used."""


def workspace_url(given: str, *, allow_http: bool = False) -> str:
    """Validate and normalise the URL of a workspace; the result has no slash at the end.

    A workspace may be installed under a path (`https://example.org/chat`). Credentials, a query or a fragment are
    refused, and so is `http://` to anything but loopback unless `allow_http` is set, because the token would be sent
    unencrypted. Raises InvalidUrlError.
    """
    text = given.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
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
