"""Messages: to whom they may go, what they say, and that no name in them formats, links or calls anybody."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.models import Json
from rolecall.rocketchat.messages import (
    NotifyTargetError,
    Room,
    RunSummary,
    Target,
    Webhook,
    code_span,
    compose,
    is_url,
    parse_target,
    room_payload,
    webhook_payload,
)

SECRET = "aB3xSecretToken99"


@pytest.mark.parametrize(
    ("given_text", "target"),
    [
        ("#ops", Room("#ops")),
        (" @ann.b ", Room("@ann.b")),
        ("GENERAL", Room("GENERAL")),
        ("64a1f373376181965ab77f54", Room("64a1f373376181965ab77f54")),
        (f"https://chat.example.org/hooks/id/{SECRET}", Webhook("https://chat.example.org", f"/hooks/id/{SECRET}")),
        (f"https://h:8443/chat/hooks/id/{SECRET}", Webhook("https://h:8443", f"/chat/hooks/id/{SECRET}")),
        (f"https://[::1]:3000/hooks/{SECRET}", Webhook("https://[::1]:3000", f"/hooks/{SECRET}")),
        (f"http://127.0.0.1:3000/hooks/id/{SECRET}", Webhook("http://127.0.0.1:3000", f"/hooks/id/{SECRET}")),
    ],
)
def test_a_target_is_read(given_text: str, target: Target) -> None:
    """A room in its three spellings, and webhooks, also below a path."""
    assert parse_target(given_text) == target


@pytest.mark.parametrize(
    "text",
    [
        "#", "@", "", "two words", "a\x1b[31m", "#" + "x" * 300,
        f"http://chat.example.org/hooks/id/{SECRET}", f"ftp://chat.example.org/hooks/{SECRET}",
        f"https://chat.example.org/api/{SECRET}", f"https://chat.example.org/hooks/id/{SECRET}?x=1",
        f"https://user:{SECRET}@chat.example.org/hooks/id/x", f"https:///hooks/id/{SECRET}",
        f"https://chat.example.org/hooks/id/{SECRET}/../x y", f"https://chat.example.org:port/hooks/id/{SECRET}",
        f"chat.example.org/hooks/id/{SECRET}", f"https://[::1/hooks/id/{SECRET}",
    ],
)  # fmt: skip
def test_a_bad_target_is_refused_without_its_secret(text: str) -> None:
    """What cannot be a target is refused in one line that shows nothing of an address."""
    with pytest.raises(NotifyTargetError) as refused:
        parse_target(text)
    assert SECRET not in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_webhook_hides_itself() -> None:
    """An address whose path is a secret shows in no representation, and http is taken only where it is said."""
    hook = parse_target(f"http://chat.example.org/hooks/id/{SECRET}", allow_http=True)
    assert SECRET not in repr(hook)
    assert SECRET not in repr((hook,))
    assert is_url(f"chat.example.org/hooks/id/{SECRET}")
    assert not is_url("#ops")


@pytest.mark.parametrize(
    ("room", "payload"),
    [
        ("#ops", {"channel": "#ops", "text": "t", "parseUrls": False}),
        ("@ann", {"channel": "@ann", "text": "t", "parseUrls": False}),
        ("@bob:remote.example", {"channel": "@@bob:remote.example", "text": "t", "parseUrls": False}),
        ("GENERAL", {"roomId": "GENERAL", "text": "t", "parseUrls": False}),
    ],
)
def test_a_room_is_named_as_the_api_takes_it(room: str, payload: Json) -> None:
    """Names go as `channel`, ids as `roomId`; a webhook has its own room."""
    assert room_payload(Room(room), "t") == payload
    assert webhook_payload("t") == {"text": "t"}


ENDING = RunSummary(
    "Rolecall has done its job, but some rows need a look.",
    {"removed": 1240, "not_leader": 36, "failed": 24},
    {"room_not_found": 20, "not_allowed": 4},
    "groups.removeLeader",
    "https://chat.example.org",
    "bulk.bot",
    72.4,
    "batch1",
    "/srv/runs/leavers/20260301T093000Z/report.csv",
)


def test_the_message_says_what_was_done() -> None:
    """Counts, reasons, operation, workspace, account, duration, and where the report lies."""
    assert compose(ENDING) == (
        "*Rolecall has done its job, but some rows need a look.*\n"
        "1,300 rows: 1,240 `removed`, 36 `not_leader`, 24 `failed`.\n"
        "Why not: 20 `room_not_found`, 4 `not_allowed`.\n"
        "`groups.removeLeader` at `https://chat.example.org` as `bulk.bot`, 1 min 12 s.\n"
        "Report on `batch1`: `/srv/runs/leavers/20260301T093000Z/report.csv`"
    )


def test_a_message_stays_short() -> None:
    """Of many reasons the most frequent are told, and that there are more; unknown counts are left out."""
    many = {f"reason_{number}": number for number in range(1, 9)}
    text = compose(ENDING._replace(reasons=many))
    assert "Why not: 8 `reason_8`, 7 `reason_7`, 6 `reason_6`, 5 `reason_5`, 4 `reason_4` and 3 more reasons." in text
    assert "rows" not in compose(ENDING._replace(headline="Stopped.", outcomes={}, reasons={}))


hostile = st.text(max_size=60) | st.sampled_from(
    ["`", "``` @all", "x` @all `y", "#general", "[a](http://evil)", "a\n@here", "*b*", "\u202e", "@", "", "\ud800"]
)


@given(hostile, hostile, hostile)
def test_no_name_gets_out_of_its_code_span(account: str, host: str, report: str) -> None:
    """Whatever the names are, there are as many lines and code spans as before, and outside of them only our words."""
    text = compose(ENDING._replace(account=account, host=host, report=report))
    assert len(text.split("\n")) == 5
    assert text.count("`") == compose(ENDING).count("`")
    outside = re.sub(r"`[^`]*`", "", text)
    assert outside == re.sub(r"`[^`]*`", "", compose(ENDING))
    assert not re.search(r"[@#]\w", text), "a server looks for mentions in code spans too"
    assert text.encode()


def test_an_empty_name_is_still_a_code_span() -> None:
    """Two backticks beside each other would open a span that never ends."""
    assert code_span("") == "` `"


@given(hostile, hostile)
def test_neither_the_reason_nor_an_error_gets_out_of_its_code_span(reason: str, error: str) -> None:
    """What the operator gave as the reason, and the text of an error, have one line and one code span each."""
    text = compose(ENDING._replace(reason=f"x{reason}", error=f"x{error}"))
    assert len(text.split("\n")) == 7
    assert text.count("`") == compose(ENDING._replace(reason="x", error="x")).count("`")
