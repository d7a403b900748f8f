"""Where the workspace is: the address that a person gives, checked before any token leaves."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from rolecall.models import RolecallError

_EXAMPLE = " such as https://chat.example.org"


class InvalidUrlError(RolecallError):
    """The workspace's address cannot be used; the text is one line for a person."""


def workspace_url(given: str, *, allow_http: bool = False) -> str:
    """Check the address of a workspace and bring it into one form, without a slash at the end.

    A workspace may live under a path (`https://example.org/chat`). Credentials, a query or a fragment in the
    address are refused, and so is `http://` to anything but loopback, unless `allow_http`: the token would
    travel in the clear. Raises InvalidUrlError.
    """
    text = given.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidUrlError(f"ROCKETCHAT_URL is not an address{_EXAMPLE}.") from None
    if "@" in text:  # nothing of it is shown: it may be a password
        raise InvalidUrlError("ROCKETCHAT_URL must not carry a user or password; give a token instead.")
    if parts.scheme not in ("http", "https") or not host or _has_odd_characters(text):
        raise InvalidUrlError(f"ROCKETCHAT_URL is not an address{_EXAMPLE}: {text[:200]!r}.")
    if parts.query or parts.fragment:
        raise InvalidUrlError("ROCKETCHAT_URL must be the workspace's address alone, without '?' or '#'.")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise InvalidUrlError(
            f"ROCKETCHAT_URL is http://{host}: the token would travel unencrypted; use https://, "
            "or say --allow-http if you mean it."
        )
    name = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/api/v1").removesuffix("/api").rstrip("/")
    return urlunsplit((parts.scheme, name if port is None else f"{name}:{port}", path, "", ""))


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Name the proxy that the environment wants for this address; loopback never takes one.

    Reads `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in small or capital letters.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or _bypassed(host, _variable(environ, "no_proxy")):
        return None
    proxy = _variable(environ, f"{parts.scheme}_proxy") or _variable(environ, "all_proxy")
    return proxy if "://" in proxy else f"http://{proxy}" if proxy else None


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _bypassed(host: str, no_proxy: str) -> bool:
    suffixes = [entry.strip().lstrip("*").lstrip(".").lower() for entry in no_proxy.split(",")]
    if no_proxy.strip() == "*":
        return True
    return any(host == suffix or host.endswith("." + suffix) for suffix in suffixes if suffix)


def _has_odd_characters(text: str) -> bool:
    return any(character.isspace() or not character.isprintable() or character == "\\" for character in text)
