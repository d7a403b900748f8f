"""Stored responses: raw ones in every form, bodies alone, and files that are neither."""

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.input.http_response import MAX_FILE_SIZE, ResponseFileError, parse_response, read_response_file
from rolecall.models import MAX_RESPONSE_SIZE

BODY = b'{"success":true}'


@pytest.mark.parametrize(
    ("content", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nDate: x\r\n\r\n" + BODY, 200, BODY),
        (b"HTTP/1.1 200 OK\nDate: x\n\n" + BODY, 200, BODY),
        (b"HTTP/2 400 \r\ndate: x\r\n\r\n" + BODY, 400, BODY),
        (b"HTTP/1.0 500\r\n\r\n", 500, b""),
        (b"HTTP/1.1 204 No Content\r\nDate: x", 204, b""),
        (b"HTTP/1.1 204 No Content\r\nDate: x\r\n", 204, b""),
        (b"HTTP/1.1 404 Not Found", 404, b""),
        (b"\n\nHTTP/1.1 200 OK\n\n" + BODY, 200, BODY),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nDate: x\r\n\r\n" + BODY, 200, BODY),
        (b"HTTP/1.1 301 Moved\r\nLocation: y\r\nContent-Length: 0\r\n\r\nHTTP/2 401\r\n\r\nno", 401, b"no"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 4\r\n\r\nmove\r\nHTTP/1.1 200 OK\r\n\r\n" + BODY, 200, BODY),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + BODY, 200, BODY),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xc2\xb2\r\n\r\n" + BODY, 200, BODY),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(BODY), 200, BODY),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + BODY, 200, BODY),
        ("HTTP/1.1 200 OK\r\n\r\n{}".encode("utf-16"), 200, b"{}"),
        (b"\xef\xbb\xbf" + BODY, None, BODY),
        (BODY, None, BODY),
        (b"<html>HTTP/1.1 200 OK</html>", None, b"<html>HTTP/1.1 200 OK</html>"),
    ],
)
def test_the_last_response_is_found(content: bytes, status: int | None, body: bytes) -> None:
    """Whole responses and bodies are distinguished by their content; of several responses the last one counts."""
    stored = parse_response(content, "stored.txt")
    assert (stored.status, stored.body) == (status, body)


def test_headers_are_case_insensitive() -> None:
    """HTTP/2 has lower-case names; the headers of an earlier response are ignored."""
    stored = parse_response(b"HTTP/1.1 302 Found\nX-Old: 1\n\nHTTP/2 200\nx-ratelimit-limit:  10 \n\n", "stored.txt")
    assert stored.headers["X-RateLimit-Limit"] == "10"
    assert "X-Old" not in stored.headers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "stored.txt is empty"),
        (b" \r\n", "stored.txt is empty"),
        (b"HTTP/1.1 OK\r\n\r\n", "'HTTP/1.1 OK' is not a status line"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "is not a status line"),
        (b"HTTP/9\x1b[31m", "is not a status line"),
        (b"HTTP/1.1 200 OK\r\nDate: x\r\n{}\r\n\r\n", "line 2 after the status line"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "an interim response (100)"),
    ],
)
def test_an_unusable_file_is_refused_in_one_line(content: bytes, message: str) -> None:
    """A file without a response is refused with its name and the place, in one line without control characters."""
    with pytest.raises(ResponseFileError) as refused:
        parse_response(content, "stored.txt")
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


def test_only_a_bounded_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is read up to the limit of a run, and a file or standard input not further than needed."""
    (tmp_path / "huge").write_bytes(b"HTTP/1.1 200 OK\n\n" + b"x" * (2 * MAX_FILE_SIZE))
    assert len(read_response_file(str(tmp_path / "huge")).body) == MAX_RESPONSE_SIZE
    stdin = io.BytesIO(b"y" * (2 * MAX_FILE_SIZE))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stdin))
    assert read_response_file("-").body == b"y" * MAX_RESPONSE_SIZE
    assert stdin.tell() < 2 * MAX_FILE_SIZE


def test_a_compressed_body_is_decompressed_up_to_the_limit() -> None:
    """A small body that would decompress to a hundred times the limit is cut at the limit."""
    packed = gzip.compress(bytes(100 * MAX_RESPONSE_SIZE))
    assert len(parse_response(b"HTTP/1.1 200 OK\nContent-Encoding: gzip\n\n" + packed, "x").body) == MAX_RESPONSE_SIZE


@pytest.mark.parametrize("name", ["missing", ".", "nul\0byte"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file, a folder and an impossible name are refused."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResponseFileError, match="cannot be read"):
        read_response_file(name)


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"Content-Length: 3",
        b"a: b",
        b"{}",
        b"\xff\xfe",
        b"\0",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Any bytes result in a response or in ResponseFileError."""
    try:
        stored = parse_response(content, "stored.txt")
    except ResponseFileError:
        return
    assert stored.status is None or 200 <= stored.status <= 999
    assert len(stored.body) <= MAX_RESPONSE_SIZE
