"""A stored HTTP response: raw, as `curl -i` prints it, or only its body."""

import re
import sys
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from multidict import CIMultiDict

from rolecall.files.input.encoding import detect_encoding
from rolecall.models import MAX_RESPONSE_SIZE, RolecallError
from rolecall.text import sanitise

MAX_FILE_SIZE = 262_144
"""Bytes of a file that are read: a body of MAX_RESPONSE_SIZE, and room for the headers before it."""

_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? ([1-9]\d\d)(?: [^\r\n]*)?\r?(?:\n|$)")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)")
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n|\r?\n?\Z")


class ResponseFileError(RolecallError):
    """The stored response is unusable; str() is one line for the operator."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sanitise(sentence, limit=500))


class StoredResponse(NamedTuple):
    """A stored response."""

    status: int | None
    """None if only the body was stored."""
    headers: CIMultiDict[str]
    """Case-insensitive; empty if only the body was stored."""
    body: bytes
    """At most MAX_RESPONSE_SIZE bytes."""


def read_response_file(name: str) -> StoredResponse:
    """Read a response from a file; `-` is standard input. Raises ResponseFileError."""
    if name == "-":
        return parse_response(_read(sys.stdin.buffer), "standard input")
    try:
        with Path(name).open("rb") as file:
            return parse_response(_read(file), name)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ResponseFileError(f"{name} cannot be read: {why}.") from None


def parse_response(content: bytes, name: str) -> StoredResponse:
    """Parse the last response in `content`, whole or only a body. Raises ResponseFileError, with `name` in it.

    The last response counts if others precede it: redirects, a proxy's 'Connection established', '100 Continue'.
    """
    content = _to_utf8(content)
    start = content.lstrip(b"\r\n\t ")
    if not start:
        raise ResponseFileError(f"{name} is empty: there is no response in it.")
    if not start.startswith(b"HTTP/"):
        return StoredResponse(None, CIMultiDict(), content[:MAX_RESPONSE_SIZE])
    try:
        response = _parse_last_response(start)
    except ValueError as error:
        raise ResponseFileError(f"{name}: {error}.") from None
    if response.status is not None and response.status < 200:
        raise ResponseFileError(f"{name} has an interim response ({response.status}) and no final response after it.")
    return response


def _read(file: BinaryIO) -> bytes:
    content = bytearray()
    while len(content) < MAX_FILE_SIZE and (chunk := file.read(MAX_FILE_SIZE - len(content))):
        content += chunk
    return bytes(content)


def _to_utf8(content: bytes) -> bytes:
    """Return the content without its byte order mark; some shells store what they print as UTF-16."""
    mark, encoding = detect_encoding(content)
    content = content.removeprefix(mark)
    return content if encoding == "utf-8" else content.decode(encoding, "replace").encode("utf-8", "replace")


def _parse_last_response(content: bytes) -> StoredResponse:
    """Parse responses that follow one another and return the last. Raises ValueError."""
    while True:
        status, headers, rest = _split_response(content)
        content = _find_next_response(headers, rest)
        if not content:
            return StoredResponse(status, headers, _decompress(headers, rest[:MAX_RESPONSE_SIZE]))


def _split_response(content: bytes) -> tuple[int, CIMultiDict[str], bytes]:
    """Return the first response's status and headers, and everything after them. Raises ValueError."""
    status_line = _STATUS_LINE.match(content)
    if status_line is None:
        line = content.split(b"\n", 1)[0][:60].decode(errors="replace").strip()
        raise ValueError(f"{line!r} is not a status line such as HTTP/1.1 200 OK")
    status, begin = int(status_line[1]), status_line.end()
    if content[begin:].startswith((b"\r\n", b"\n")):
        return status, CIMultiDict(), content[begin:].split(b"\n", 1)[1]
    end = _END_OF_HEADERS.search(content, begin)
    if end is None:
        return status, _parse_headers(content[begin:]), b""
    return status, _parse_headers(content[begin : end.start()]), content[end.end() :]


def _parse_headers(text: bytes) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for number, line in enumerate(text.splitlines(), start=1):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ValueError(
                f"line {number} after the status line is neither a header nor the empty line that ends the headers"
            )
        headers.add(match[1].decode(), match[2].decode(errors="replace").rstrip())
    return headers


def _find_next_response(headers: CIMultiDict[str], rest: bytes) -> bytes:
    """Return the content from the next response on: directly, or after a body of known length. Empty if none."""
    if rest.startswith(b"HTTP/"):
        return rest
    length = headers.get("Content-Length", "")
    if not (length.isascii() and length.isdecimal() and len(length) < 10):
        return b""
    following = rest[int(length) :].lstrip(b"\r\n")
    return following if following.startswith(b"HTTP/") else b""


def _decompress(headers: CIMultiDict[str], body: bytes) -> bytes:
    """Return the body, decompressed if it was stored compressed; curl usually has decompressed it."""
    if "Content-Encoding" not in headers:
        return body
    try:
        return zlib.decompressobj(wbits=47).decompress(body, MAX_RESPONSE_SIZE)
    except zlib.error:
        return body
