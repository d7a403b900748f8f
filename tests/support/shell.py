"""Command lines in documents, crontabs, units and manifests: which words would the shell hand to `rolecall`?"""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rolecall.cli.main import VERBS

IMAGE = re.compile(r"rolecall:\d[\w.]*").fullmatch
FENCED = re.compile(r"^ *```(?:sh)?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(rolecall\s[^`]+)`(?!`)")
CRON_LINE = re.compile(r"^(?:[\d*/,-]+ +){5}(.+)$", re.MULTILINE)


BEFORE_THE_VERB = ("--profile", "--config")
"""Options of the command itself; each has a value."""


class Called(NamedTuple):
    """One call of the command."""

    file: str
    verb: str
    words: tuple[str, ...]
    """What stands behind the verb."""


def simple_commands(script: str) -> Iterator[list[str]]:
    """Give the words of each simple command in the lines of a script that name rolecall, `sh -c` looked into."""
    for line in script.replace("\\\n", " ").splitlines():
        if "rolecall" not in line:
            continue  # another command's line, or what a command has said: quotes may be open there
        for words in _parted(line):
            yield words
            for option, argument in pairwise(words):
                if option in ("-c", "-ec"):
                    yield from simple_commands(argument)


def _parted(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in lexer:
        if set(token) <= set("<>&|;()") and set(token) & set("<>"):
            if words and words[-1].isdecimal():
                words.pop()  # of 2>&1
            next(lexer, None)
        elif set(token) <= set("&|;()"):
            yield words
            words = []
        else:
            words.append(token)
    yield words


def calls(file: str, script: str) -> Iterator[Called]:
    """Give the calls of the command in a script."""
    for words in map(_command_proper, simple_commands(script)):
        if len(words) > 1 and (words[0].rpartition("/")[2] == "rolecall" or IMAGE(words[0])):
            verb = 3 if words[1] in BEFORE_THE_VERB else 1
            two = " ".join(words[verb : verb + 2])
            if two in VERBS:
                yield Called(file, two, tuple(words[verb + 2 :]))
            else:
                yield Called(file, words[verb], tuple(words[verb + 1 :]))


def _command_proper(words: list[str]) -> list[str]:
    """Leave out what stands before a command that another one starts."""
    if words[:1] == ["exec"]:
        return words[1:]
    if words and words[0].rpartition("/")[2] in ("timeout", "env") and "rolecall" in words:
        return words[words.index("rolecall") :]
    if words[:2] == ["docker", "compose"] and "run" in words and "rolecall" in words:
        return words[words.index("rolecall") :]
    if words[:2] == ["docker", "run"] and "--entrypoint" not in words:
        return words[next((place for place, word in enumerate(words) if IMAGE(word)), len(words)) :]
    return words


def scripts_in_markdown(text: str, *, inline: bool) -> Iterator[str]:
    """Give what stands in fenced blocks without another language and, if asked for, in `rolecall ...` spans."""
    yield from FENCED.findall(text)
    if inline:
        yield from (span.replace("\n", " ") for span in INLINE.findall(FENCED.sub("", text)))


def scripts_in_crontab(text: str) -> list[str]:
    """Give the command of each line."""
    return CRON_LINE.findall(text)


def unit(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Read a systemd unit: the settings of each section, in order; a setting may stand there twice."""
    sections: dict[str, list[tuple[str, str]]] = {}
    settings: list[tuple[str, str]] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("["):
            settings = sections.setdefault(line.strip("[]"), [])
        elif line and line[0] not in "#;":
            name, equals, value = line.partition("=")
            assert equals, f"{path.name}: {line!r} sets nothing"
            settings.append((name, value))
    return sections


def manifests(path: Path) -> dict[str, dict[str, Any]]:
    """Read a file of Kubernetes objects: each one by its kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(path.read_text("utf-8"))}


def script_of_container(container: dict[str, Any]) -> str:
    """Give what a container runs, as a line of shell."""
    return shlex.join([*container.get("command", ()), *container.get("args", ())])
