"""A response that somebody has kept: raw, as `curl -i` prints it, or its body alone."""

import codecs
import re
import sys
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from multidict import CIMultiDict

from rolecall.models import RolecallError
from rolecall.text import sanitise

MAX_FILE_SIZE = 262_144
"""Bytes that are read of a file: the body's share, and room for the heads before it."""
BODY_LIMIT = 65_536
"""Bytes of a body that count; a run reads no more of an answer either."""

_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? ([1-9]\d\d)(?: [^\r\n]*)?\r?(?:\n|$)")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n|\r?\n?\Z")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class ResponseFileError(RolecallError):
    """What was kept cannot be used; str() is one line for a person."""


class StoredResponse(NamedTuple):
    """A response that was kept."""

    status: int | None
    """None where only the body was."""
    headers: CIMultiDict[str]
    """Looked up without regard to case; empty where only the body was kept."""
    body: bytes
    """At most `BODY_LIMIT` bytes."""


def read_stored(name: str) -> StoredResponse:
    """Read a response from a file, or from standard input where the name is `-`. Raises ResponseFileError."""
    if name == "-":
        return parse_stored(_read(sys.stdin.buffer), "standard input")
    try:
        with Path(name).open("rb") as file:
            return parse_stored(_read(file), name)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ResponseFileError(sanitise(f"{name} cannot be read: {why}.", limit=500)) from None


def parse_stored(content: bytes, name: str) -> StoredResponse:
    """Find the last response in what was kept, be it whole or a body alone. Raises ResponseFileError, naming `name`.

    Where a redirect, a proxy's 'Connection established' or a '100 Continue' came before, the last response counts.
    """
    content = _as_utf_8(content)
    start = content.lstrip(b"\r\n\t ")
    if not start:
        raise ResponseFileError(sanitise(f"{name} is empty: there is no response in it.", limit=500))
    if not start.startswith(b"HTTP/"):
        return StoredResponse(None, CIMultiDict(), content[:BODY_LIMIT])
    try:
        stored = _last(start)
    except ValueError as error:
        raise ResponseFileError(sanitise(f"{name}: {error}.", limit=500)) from None
    if stored.status is not None and stored.status < 200:
        raise ResponseFileError(
            sanitise(f"{name} has an interim answer ({stored.status}) and none after it.", limit=500)
        )
    return stored


def _read(file: BinaryIO) -> bytes:
    content = bytearray()
    while len(content) < MAX_FILE_SIZE and (piece := file.read(MAX_FILE_SIZE - len(content))):
        content += piece
    return bytes(content)


def _as_utf_8(content: bytes) -> bytes:
    """Take the byte-order mark away; some shells store what they print as UTF-16."""
    if content.startswith(_UTF_16):
        return content.decode("utf-16", "replace").encode("utf-8", "replace")
    return content.removeprefix(codecs.BOM_UTF8)


def _last(content: bytes) -> StoredResponse:
    """Give the last of the responses that follow one another. Raises ValueError."""
    while True:
        status, headers, rest = _first(content)
        content = _next(headers, rest)
        if not content:
            return StoredResponse(status, headers, _unpacked(headers, rest[:BODY_LIMIT]))


def _first(content: bytes) -> tuple[int, CIMultiDict[str], bytes]:
    """Take the first response apart: its status, its headers, all that follows. Raises ValueError."""
    begin = _STATUS_LINE.match(content)
    if begin is None:
        line = content.split(b"\n", 1)[0][:60].decode(errors="replace").strip()
        raise ValueError(f"{line!r} is no status line such as HTTP/1.1 200 OK")
    if content[begin.end() :].startswith((b"\r\n", b"\n")):
        return int(begin[1]), CIMultiDict(), content[begin.end() :].split(b"\n", 1)[1]
    end = _END_OF_HEAD.search(content, begin.end())
    head = content[begin.end() : end.start()] if end else content[begin.end() :]
    return int(begin[1]), _headers(head), content[end.end() :] if end else b""


def _headers(head: bytes) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for number, line in enumerate(head.splitlines(), start=1):
        found = _HEADER.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number} behind the status line is no header, nor the empty line that ends them")
        headers.add(found[1].decode(), found[2].decode(errors="replace").rstrip())
    return headers


def _next(headers: CIMultiDict[str], rest: bytes) -> bytes:
    """Give what begins with another response: at once, or behind a body whose length is known; else nothing."""
    if rest.startswith(b"HTTP/"):
        return rest
    length = headers.get("Content-Length", "")
    if not (length.isascii() and length.isdecimal() and len(length) < 10):
        return b""
    behind = rest[int(length) :].lstrip(b"\r\n")
    return behind if behind.startswith(b"HTTP/") else b""


def _unpacked(headers: CIMultiDict[str], body: bytes) -> bytes:
    """Unpack a body that was kept as it came over the wire; curl mostly has done so before."""
    if "Content-Encoding" not in headers:
        return body
    try:
        return zlib.decompressobj(wbits=47).decompress(body, BODY_LIMIT)
    except zlib.error:
        return body
