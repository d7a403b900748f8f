"""Where the workspace is: addresses that are brought into one form, addresses that are refused, and the proxy."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.models import Advice
from rolecall.rocketchat.connection_config import InvalidUrlError, is_loopback, proxy_for, workspace_url

GOOD = [
    ("https://chat.example.org", "https://chat.example.org"),
    ("https://chat.example.org/", "https://chat.example.org"),
    ("  https://chat.example.org\n", "https://chat.example.org"),
    ("HTTPS://Chat.Example.Org", "https://chat.example.org"),
    ("https://chat.example.org:8443", "https://chat.example.org:8443"),
    ("https://chat.example.org:", "https://chat.example.org"),
    ("https://chat.example.org:443/chat", "https://chat.example.org/chat"),
    ("https://chat.example.org.", "https://chat.example.org"),
    ("https://chat.example.org.:443", "https://chat.example.org"),
    ("https://chat.example.org:80", "https://chat.example.org:80"),
    ("http://127.0.0.1:80", "http://127.0.0.1"),
    ("https://example.org/chat", "https://example.org/chat"),
    ("https://example.org/Chat/", "https://example.org/Chat"),
    ("https://example.org/a/b//", "https://example.org/a/b"),
    ("https://example.org/api/v1", "https://example.org"),
    ("https://example.org/api/v1/", "https://example.org"),
    ("https://example.org/api", "https://example.org"),
    ("https://example.org/chat/api/v1/", "https://example.org/chat"),
    ("https://example.org/api/v1/chat", "https://example.org/api/v1/chat"),
    ("https://example.org/myapi", "https://example.org/myapi"),
    ("https://example.org//api/v1", "https://example.org"),
    ("https://example.org/chat//api/v1", "https://example.org/chat"),
    ("https://192.0.2.7:3000", "https://192.0.2.7:3000"),
    ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ("https://[2001:DB8::1]:3000/chat/", "https://[2001:db8::1]:3000/chat"),
    ("https://bücher.example", "https://bücher.example"),
    ("http://localhost:3000", "http://localhost:3000"),
    ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
    ("http://127.9.9.9", "http://127.9.9.9"),
    ("http://[::1]:3000", "http://[::1]:3000"),
    ("http://chat.localhost", "http://chat.localhost"),
]
BAD = [
    "",
    " ",
    "chat.example.org",
    "chat.example.org:443",
    "//chat.example.org",
    "https://",
    "https:///chat",
    "https:chat.example.org",
    "ftp://chat.example.org",
    "file:///etc/passwd",
    "wss://chat.example.org",
    "https://user@chat.example.org",
    "https://user:password@chat.example.org",
    "https://:password@chat.example.org",
    "https://@chat.example.org",
    "https://chat.example.org?x=1",
    "https://chat.example.org/#top",
    "https://chat.example.org/a?b#c",
    "https://chat.example.org:port",
    "https://.",
    "https://chat.example.org:99999",
    "https://chat.example.org:-1",
    "https://[2001:db8::1",
    "https://[nonsense]",
    "https://chat example.org",
    "https://chat.example.org/a b",
    "https://chat.example.org/\x07",
    "https://chat.exa\nmple.org",
    "https://chat.exa\tmple.org",
    "\x00https://chat.example.org",
    "https://chat.example.org/\u202egro",
    "https://chat.exa\u00a0mple.org",
    "https://chat.example.org\ud800",
    "https://evil.example\\chat.example.org",
    "https://chat.example.org@evil.example",
    "http://chat.example.org",
    "http://192.0.2.7",
    "http://localhost.example.org",
    "http://127.0.0.1.example.org",
    "http://0.0.0.0",
    "http://[2001:db8::1]",
]


@pytest.mark.parametrize(("given_url", "url"), GOOD)
def test_a_good_address_has_one_form(given_url: str, url: str) -> None:
    """Blanks, capitals, closing slashes and an API path go; path, port and IPv6 brackets stay; it is a fixed point."""
    assert workspace_url(given_url) == url
    assert workspace_url(url) == url


@pytest.mark.parametrize("given_url", BAD)
def test_a_bad_address_is_refused(given_url: str) -> None:
    """What is no address, carries credentials or a query, or goes over http to elsewhere, is refused in one line."""
    with pytest.raises(InvalidUrlError) as refusal:
        workspace_url(given_url)
    assert str(refusal.value).isprintable()
    assert str(refusal.value).startswith("The workspace URL ")


@pytest.mark.parametrize(
    "given_url",
    [
        "https://user:hunter2@chat.example.org",
        "https://hunter2@chat.example.org",
        "https://user:hunter2@[chat.example.org",
        "https://user:hunter2/more@chat.example.org",
        "user:hunter2@chat.example.org",
    ],
)
def test_a_password_in_an_address_is_not_shown(given_url: str) -> None:
    """A password that somebody put into the address does not stand in the refusal."""
    with pytest.raises(InvalidUrlError) as refusal:
        workspace_url(given_url)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://chat.example.org", "http://192.0.2.7:3000/chat", "http://[2001:db8::1]"])
def test_http_is_allowed_when_told(url: str) -> None:
    """`--allow-http` lets an unencrypted address pass; the refusal without it advises the flag."""
    assert workspace_url(url, allow_http=True) == url
    with pytest.raises(InvalidUrlError, match="unencrypted") as refusal:
        workspace_url(url)
    assert refusal.value.advice is Advice.ALLOW_HTTP


def test_allow_http_allows_nothing_else() -> None:
    """The flag is no way round the other checks."""
    for url in ("ftp://chat.example.org", "http://user:pw@chat.example.org", "http://chat.example.org?x"):
        with pytest.raises(InvalidUrlError):
            workspace_url(url, allow_http=True)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("htps:/@[]#?.a1\\% \n\u202e", max_size=30).map(lambda rest: f"https://{rest}"))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """No text makes the check fail in another way, and what passes is a fixed point without a slash at the end."""
    try:
        url = workspace_url(text)
    except InvalidUrlError:
        return
    assert url.startswith(("https://", "http://"))
    assert not url.endswith("/")
    assert workspace_url(url) == url


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("chat.localhost", True),
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("::1", True),
        ("notlocalhost", False),
        ("localhost.example.org", False),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("::2", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Only names and addresses that cannot be another machine are loopback."""
    assert is_loopback(host) is loopback


P, Q = "http://proxy.example:3128", "http://other.example:8080"


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://chat.example.org", {}, None),
        ("https://chat.example.org", {"https_proxy": P}, P),
        ("https://chat.example.org", {"HTTPS_PROXY": P}, P),
        ("https://chat.example.org", {"https_proxy": P, "HTTPS_PROXY": Q}, P),
        ("https://chat.example.org", {"http_proxy": P}, None),
        ("http://chat.example.org", {"http_proxy": P, "https_proxy": Q}, P),
        ("https://chat.example.org", {"all_proxy": P}, P),
        ("https://chat.example.org", {"ALL_PROXY": P, "https_proxy": Q}, Q),
        ("https://chat.example.org", {"https_proxy": ""}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": ""}, P),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "*"}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "chat.example.org"}, None),
        ("https://chat.example.org", {"https_proxy": P, "NO_PROXY": "other, Chat.Example.Org"}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "example.org"}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": ".example.org"}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "*.example.org"}, None),
        ("https://example.org", {"https_proxy": P, "no_proxy": ".example.org"}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "ample.org"}, P),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "chat.example.org.evil"}, P),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": ",,"}, P),
        ("https://192.0.2.7", {"https_proxy": P, "no_proxy": "192.0.2.7"}, None),
        ("https://[2001:db8::1]/x", {"https_proxy": P, "no_proxy": "2001:db8::1"}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "other.example chat.example.org"}, None),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "other.example,*"}, None),
        ("https://chat.example.org:8443", {"https_proxy": P, "no_proxy": "chat.example.org:8443"}, None),
        ("https://chat.example.org:8443", {"https_proxy": P, "no_proxy": ".example.org:8443"}, None),
        ("https://chat.example.org:8443", {"https_proxy": P, "no_proxy": "chat.example.org:443"}, P),
        ("https://chat.example.org", {"https_proxy": P, "no_proxy": "chat.example.org:443"}, None),
        ("http://chat.example.org", {"http_proxy": P, "no_proxy": "chat.example.org:443"}, P),
        ("https://192.0.2.7:3000", {"https_proxy": P, "no_proxy": "192.0.2.7:3000"}, None),
        ("https://192.0.2.7", {"https_proxy": P, "no_proxy": "192.0.2.0/24"}, None),
        ("https://192.0.2.7", {"https_proxy": P, "no_proxy": "192.0.2.9/24"}, None),
        ("https://192.0.3.7", {"https_proxy": P, "no_proxy": "192.0.2.0/24"}, P),
        ("https://[2001:db8::1]", {"https_proxy": P, "no_proxy": "2001:db8::/32"}, None),
        ("https://[2001:db8::1]:3000", {"https_proxy": P, "no_proxy": "[2001:db8::1]:3000"}, None),
        ("https://[2001:db8::1]:3000", {"https_proxy": P, "no_proxy": "[2001:db8::1]:3001"}, P),
        ("https://[2001:db8::1]:3000", {"https_proxy": P, "no_proxy": "[2001:db8::1]"}, None),
        ("https://10.example.org", {"https_proxy": P, "no_proxy": "10.0.0.0/8"}, P),
        ("https://chat.example.org", {"https_proxy": "https://proxy.example"}, "https://proxy.example"),
        ("https://chat.example.org", {"https_proxy": Q, "all_proxy": "socks5h://proxy.example:1080"}, Q),
        ("https://chat.example.org", {"all_proxy": "socks5h://proxy.example", "no_proxy": "example.org"}, None),
        ("http://localhost:3000", {"http_proxy": P, "all_proxy": P}, None),
        ("https://127.0.0.1", {"https_proxy": P}, None),
        ("http://[::1]:3000", {"http_proxy": P, "no_proxy": ""}, None),
        ("http://chat.localhost", {"http_proxy": P}, None),
    ],
)
def test_the_environment_names_the_proxy(url: str, environ: dict[str, str], proxy: str | None) -> None:
    """The proxy is that of the scheme, else of all; `no_proxy` takes names and suffixes; loopback never takes one."""
    assert proxy_for(url, environ) == proxy


@pytest.mark.parametrize("variable", ["all_proxy", "ALL_PROXY", "https_proxy"])
@pytest.mark.parametrize("scheme", ["socks5h", "socks5", "SOCKS4a", "ftp", "odd\x1b["])
def test_a_proxy_that_does_not_speak_http_is_refused(variable: str, scheme: str) -> None:
    """The refusal is one line that names the variable and the type of the proxy, not its user and password."""
    with pytest.raises(InvalidUrlError) as refusal:
        proxy_for("https://chat.example.org", {variable: f"{scheme}://user:hunter2@proxy.example:1080"})
    text = str(refusal.value)
    assert variable.lower() in text
    assert "no_proxy" in text
    assert "hunter2" not in text
    assert text.isprintable()
    if scheme.isalnum():
        assert scheme.lower() in text
