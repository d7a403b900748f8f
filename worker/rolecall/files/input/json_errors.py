"""Say what is wrong with JSON text: line, column and cause."""

import json
import re
from typing import NamedTuple

from rolecall.files.input.encoding import find_bad_character

_CONSTANTS = ("NaN", "Infinity", "-Infinity", "None", "True", "False", "undefined", "nan")
_is_half_character = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}").search
_CAUSES = {
    "'": "text in single quotes, as Python prints it; JSON needs double quotes: write the file with json.dumps or jq",
    **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019", "a typographic quote; JSON needs straight double quotes"),
    "/": "a comment; JSON has none: remove it",
    "#": "a comment; JSON has none: remove it",
    "`": "a backquote; JSON needs double quotes",
}
"""What a character is where JSON does not allow it."""


class JsonProblem(NamedTuple):
    """The first problem of a JSON text. Lines and columns count from 1."""

    line: int
    column: int
    cause: str


class _ConstantError(Exception):
    """The text has a constant such as NaN, which Python accepts and JSON does not."""


def find_json_problem(text: str) -> JsonProblem | None:
    """Return the first problem of one or more JSON documents one after another; None if Python finds none."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    position = 0
    try:
        while (position := _skip_separators(text, position)) < len(text):
            if text[position] == "," and position > 0:
                return _locate(
                    text, position, "a comma outside a list: put '[' before the first value, ']' after the last"
                )
            _, position = decoder.raw_decode(text, position)
    except json.JSONDecodeError as error:
        return _locate(text, *_find_cause(text, error.pos, error.msg))
    except _ConstantError as error:
        found = re.compile(rf"(?<=[:,\[\s]){error}").search(text, position)
        start = found.start() if found else position
        return _locate(text, start, f"{error} is not JSON: write null")
    except RecursionError:
        return _locate(text, position, "lists or objects nested too deep")
    except ValueError:  # a number of thousands of digits
        return _locate(text, position, "a number that is far too large")
    if half := _is_half_character(text):
        return _locate(text, half.start(), "an escape that is half a character")
    return None


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


def _skip_separators(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n\x1e":
        position += 1
    return position


def _find_cause(text: str, position: int, message: str) -> tuple[int, str]:
    """Return the position and the cause of a problem that Python's parser has found."""
    start = position
    while start < len(text) and text[start] in ", \t\r\n":
        start += 1
    before = text[:start].rstrip()
    if start < len(text) and text[start] in "]}" and before.endswith(","):
        return len(before) - 1, f"a comma before '{text[start]}' with nothing after it: remove the comma"
    if start >= len(text):
        return position, "the JSON text is cut off; make or copy the file again"
    for constant in _CONSTANTS:
        if text.startswith(constant, start):
            return start, f"{constant} is not JSON: write null, true or false"
    if cause := _CAUSES.get(text[start]):
        return start, cause
    if find_bad_character(text[start]):
        return start, "bytes that are not text"
    if message.startswith("Expecting property name") and (text[start].isalpha() or text[start] == "_"):
        return start, "a key without double quotes: put it in double quotes"
    return position, f"not JSON ({message})"


def _locate(text: str, position: int, cause: str) -> JsonProblem:
    lines = re.split("\r\n?|\n", text[:position])
    return JsonProblem(len(lines), len(lines[-1]) + 1, cause)
