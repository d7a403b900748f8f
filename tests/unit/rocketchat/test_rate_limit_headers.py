"""What headers say about limits: milliseconds, seconds, nonsense of every kind, and the server's sentence."""

import math
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.rocketchat.rate_limit_headers import (
    MAX_WINDOW,
    Limits,
    parse_limits,
    retry_after,
    retry_delay,
    server_date,
)
from tests.unit.rocketchat.replies import reply

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
NOW = 1_700_000_000
LATER = "Tue, 14 Nov 2023 22:14:00 GMT"
SENTENCE = b'{"success":false,"error":"Error, too many requests. Please slow down. You must wait %s seconds before'


def headers(limit: str = "10", remaining: str = "3", reset: str = f"{NOW + 42}000", date: str = DATE) -> dict[str, str]:
    """Give the headers of a limited answer."""
    return {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset, "Date": date}


def without_date(given_headers: dict[str, str]) -> dict[str, str]:
    """Return these headers without their `Date`."""
    return {name: value for name, value in given_headers.items() if name != "Date"}


@pytest.mark.parametrize(
    ("given_reset", "reset_at"),
    [
        (f"{NOW + 42}000", NOW + 42),
        (f"{NOW + 42}123", NOW + 42.123),
        (f"{NOW + 42}", NOW + 42),
        (f"{NOW}000", NOW),
        (f"{NOW - 1}", NOW - 1),
        (f"000{NOW + 42}000", NOW + 42),
        (f"{NOW + int(MAX_WINDOW)}", NOW + MAX_WINDOW),
        (f" {NOW + 42} ", NOW + 42),
    ],
)
def test_the_reset_is_milliseconds_or_seconds(given_reset: str, reset_at: float) -> None:
    """Epoch milliseconds and epoch seconds are told from each other by their size."""
    assert parse_limits(headers(reset=given_reset)) == Limits(10, 3, reset_at)


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_header_names_have_no_case(case: Callable[[str], str]) -> None:
    """HTTP/2 proxies send names in small letters."""
    answer = reply(200, b"", {case(name): value for name, value in headers().items()})
    assert parse_limits(answer.headers) == Limits(10, 3, NOW + 42)


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": ""},
        {"limit": "ten"},
        {"limit": "10.0"},
        {"limit": "10, 10"},
        {"remaining": "-1"},
        {"remaining": "NaN"},
        {"remaining": "inf"},
        {"remaining": "1e3"},
        {"reset": "0"},
        {"reset": "-5"},
        {"reset": "soon"},
        {"reset": "42"},
        {"reset": f"{NOW - 60}"},
        {"reset": f"{NOW - 2}500"},
        {"reset": f"0000{NOW + 42}000"},
        {"reset": f"{NOW - 60}000"},
        {"reset": f"{NOW + 365 * 86_400}"},
        {"reset": f"{NOW + 365 * 86_400}000"},
        {"reset": f"{NOW + 42}.5"},
        {"reset": f"{NOW + 42}000000"},
        {"reset": "9" * 30},
        {"reset": "9" * 400},
        {"reset": "9" * 5000},
        {"reset": "0x10"},
        {"reset": ""},
    ],
    ids=lambda changes: " ".join(f"{name}={value[:24]}" for name, value in changes.items()),
)
def test_nonsense_is_no_limit(changes: dict[str, str]) -> None:
    """Headers that make no sense are as good as none, and reading them never fails."""
    assert parse_limits(headers(**changes)) is None


@pytest.mark.parametrize("reset", ["0", "253370764800000", "9" * 16, "9" * 30, "9" * 310, "9" * 400, "9" * 4000])
def test_a_senseless_reset_without_a_date_is_no_limit(reset: str) -> None:
    """Where no `Date` bounds the reset, zero and more digits than a time can have are nonsense too."""
    assert parse_limits(without_date(headers(reset=reset))) is None


@pytest.mark.parametrize("name", ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"])
def test_a_missing_header_is_no_limit(name: str) -> None:
    """All three headers are needed."""
    given_headers = headers()
    del given_headers[name]
    assert parse_limits(given_headers) is None
    assert parse_limits({}) is None


def test_a_limit_of_one_call() -> None:
    """The smallest limit is one."""
    assert parse_limits(headers(limit="1", remaining="1")) == Limits(1, 1, NOW + 42)


def test_more_remaining_than_the_limit_is_cut() -> None:
    """A remainder above the limit cannot be: the limit is the most that is sent."""
    assert parse_limits(headers(limit="10", remaining="1000")) == Limits(10, 10, NOW + 42)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Tue, 99 Nov 2023 22:13:20 GMT",
        "\ud800",
        "9" * 5000,
        "Fri, 31 Dec 9999 23:59:59 -2359",  # in UTC the year 10000, which no report can contain
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 01 Jan 9999 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 +0100",
    ],
)
def test_a_bad_date_is_none(date: str) -> None:
    """A `Date` that cannot be read is none; the limits are read all the same."""
    assert server_date({"Date": date}) is None
    assert parse_limits(headers(date=date)) == Limits(10, 3, NOW + 42)


@pytest.mark.parametrize(
    ("date", "epoch"),
    [
        (DATE, NOW),
        ("Tue, 14 Nov 2023 22:13:20 -0000", NOW),
        ("Tue, 14 Nov 2023 23:13:20 +0100", NOW),
        ("14 Nov 2023 22:13:20 GMT", NOW),
    ],
)
def test_dates_are_read_as_utc(date: str, epoch: float) -> None:
    """The usual forms of an HTTP date come to the same second, whatever the local zone."""
    assert server_date({"Date": date}) == epoch


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the local zone cannot be set")
def test_a_date_without_a_zone_is_not_of_the_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-0000` means that the zone is not known, and HTTP dates are in UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        seen = server_date({"Date": "Tue, 14 Nov 2023 22:13:21 -0000"})
    time.tzset()
    assert seen == NOW + 1


def test_the_size_of_a_reset_decides_what_it_is() -> None:
    """Up to the year 5138 it is seconds, above that milliseconds, where no `Date` contradicts."""
    seen = [parse_limits(without_date(headers(reset=reset))) for reset in ("100000000000", "100000000001")]
    assert seen == [Limits(10, 3, 1e11), Limits(10, 3, 100_000_000.001)]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        ("0", 0.0),
        ("1234567891", 123_456_789.0),
        (LATER, 40.0),
        (DATE, 0.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣٠", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Seconds as they are, a date against the answer's own `Date`, the past as zero, all else as nothing."""
    assert retry_after(reply(429, b"", {"Retry-After": value, "Date": DATE})) == seconds


def test_a_retry_after_in_a_far_year_is_cut() -> None:
    """A date in a far year is as long as nine digits can say: the moment can still be formatted."""
    headers = {"Retry-After": "Thu, 31 Dec 9998 23:59:59 GMT", "Date": "Thu, 01 Jan 1970 00:00:00 GMT"}
    assert retry_after(reply(429, b"", headers)) == 999_999_999.0


def test_retry_after_needs_a_date_for_a_date() -> None:
    """Without the server's clock a date says nothing: ours may be wrong."""
    assert retry_after(reply(429, b"", {"Retry-After": LATER})) is None
    assert retry_after(reply(429, b"", {"Retry-After": "7"})) == 7.0
    assert retry_after(reply(429)) is None


@pytest.mark.parametrize(
    ("more", "body", "seconds"),
    [
        ({**headers(remaining="0"), "Retry-After": "7"}, SENTENCE % b"9", 9.0),
        ({**headers(remaining="0"), "Retry-After": "7"}, b"", 7.0),
        ({**headers(remaining="0")}, b"", 42.0),
        ({**headers(remaining="1")}, b"", None),
        ({**headers(remaining="1"), "Retry-After": "7"}, SENTENCE % b"9", 9.0),
        ({**headers(remaining="1")}, SENTENCE % b"9", 9.0),
        ({"Retry-After": "7"}, SENTENCE % b"9", 9.0),
        ({"Retry-After": "7"}, SENTENCE % b"x", 7.0),
        ({"Retry-After": LATER, "Date": DATE}, b"", 40.0),
        ({"Retry-After": LATER}, SENTENCE % b"9", 9.0),
        ({}, SENTENCE % b"42", 42.0),
        ({}, SENTENCE % b"0", 0.0),
        ({}, SENTENCE % b"x", None),
        ({}, SENTENCE % b"-3", None),
        ({}, SENTENCE % (b"9" * 500), None),
        ({}, b"<html>429 Too Many Requests</html>", None),
        ({}, b"", None),
        (without_date(headers(remaining="0")), SENTENCE % b"9", 9.0),
        (without_date(headers(remaining="0")), b"", None),
        ({**headers(remaining="0", reset=f"{NOW}000")}, b"", 0.0),
        ({**headers(remaining="0", reset=f"{NOW - 1}000")}, b"", 0.0),
    ],
)
def test_the_asked_wait_has_its_order(more: dict[str, str], body: bytes, seconds: float | None) -> None:
    """The sentence, which is of the limiter's clock, goes before `Retry-After`, and that before the window's end."""
    assert retry_delay(reply(429, body, more)) == seconds


NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Date", "Retry-After")
numbers = st.integers(-1, 10**14).map(str) | st.integers(1, 4400).map(lambda digits: "9" * digits)
texts = st.text(max_size=40) | numbers | st.sampled_from([DATE, LATER])
any_headers = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, texts)) | st.fixed_dictionaries(
    dict.fromkeys(NAMES[:3], numbers), optional=dict.fromkeys(NAMES[3:], texts)
)


@settings(deadline=None)
@given(given_headers=any_headers, body=st.binary(max_size=60))
def test_no_header_makes_it_fail(given_headers: dict[str, str], body: bytes) -> None:
    """Any header text is read or ignored; what comes out are finite times that can be waited for."""
    answer = reply(429, body, given_headers)
    limits = parse_limits(answer.headers)
    if limits is not None:
        assert 0 <= limits.remaining <= limits.limit
        assert math.isfinite(limits.reset_at)
    for seconds in (retry_after(answer), retry_delay(answer)):
        assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
