"""Texts of the code in docs/reference.md and man/rolecall.1: `make docs-help` writes them, tests compare them."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from rolecall.app.reports import REASON_HINTS
from rolecall.cli.help import EXAMPLES, LAST, grouped_options
from rolecall.cli.main import VERBS, rolecall
from rolecall.engine.directory.find_query import GAP_HINTS
from rolecall.version import __version__

REFERENCE = Path(__file__).parents[1] / "docs/reference.md"
MAN_PAGE = Path(__file__).parents[1] / "man/rolecall.1"


def with_hints(page: str) -> str:
    """Return the page with the present hints in the last cells of the tables of reasons; adds and removes no row."""
    for heading, hints in (("## Reasons", REASON_HINTS), ("#### What could not be seen", GAP_HINTS)):
        depth = heading.index(" ")
        section = re.search(rf"^{heading}\n.*?(?=^#{{1,{depth}}} )", page, re.MULTILINE | re.DOTALL)
        assert section, f"docs/reference.md has no section {heading}"
        page = page[: section.start()] + _with_hints(section[0], hints) + page[section.end() :]
    return page


def _with_hints(section: str, hints: Mapping[str, str]) -> str:
    def with_hint(row: re.Match[str]) -> str:
        hint = hints.get(row["reason"])
        return row[0] if hint is None else row["start"] + hint.replace("|", "\\|") + " |"

    row = re.compile(r"^(?P<start>\| `(?P<reason>\w+)` \| (?:[^|\n]* \| )?)(?:[^|\n]|\\\|)+ \|$", re.MULTILINE)
    return row.sub(with_hint, section)


def man_page() -> str:
    """Return the man page, made of the help: each command with its options under headings, and examples."""
    whole = click.Context(rolecall, info_name="rolecall", help_option_names=["-h", "--help"])
    page = [
        f'.TH ROLECALL 1 "" "rolecall {__version__}" "User Commands"',
        ".SH NAME",
        "rolecall \\- change roles in bulk in Rocket.Chat rooms",
        ".SH SYNOPSIS",
        ".B rolecall",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]...",
        ".SH DESCRIPTION",
        _paragraphs(rolecall.help or ""),
        ".SH OPTIONS",
        *_options([record for option in rolecall.params if (record := option.get_help_record(whole))]),
        ".SH COMMANDS",
    ]
    for verb in VERBS:
        command = rolecall.get_command(whole, verb)
        assert command is not None, f"there is no command {verb}"
        context = click.Context(command, parent=whole, info_name=verb, help_option_names=["-h", "--help"])
        page += [f".SS rolecall {verb} {_roff(' '.join(command.collect_usage_pieces(context)))}"]
        page.append(_paragraphs(command.help or ""))
        for heading, records in grouped_options(command, context):
            if heading != LAST:
                page += [".PP", f".I {heading}", *_options(records)]
        page += [".PP", ".I Examples", ".PP", ".nf", ".RS", *map(_roff, EXAMPLES[verb]), ".RE", ".fi"]
    page += [".SH EXIT STATUS"]
    for code, meaning in re.findall(r"^\| (\d+) \| (.+) \|$", REFERENCE.read_text("utf-8"), re.MULTILINE):
        page += [".TP", f".B {code}", _roff(meaning.replace("`", ""))]
    page += [
        ".SH ENVIRONMENT",
        _roff(
            "ROCKETCHAT_URL, ROCKETCHAT_USER_ID, ROCKETCHAT_AUTH_TOKEN or ROCKETCHAT_AUTH_TOKEN_FILE: the workspace."
        ),
        _roff("Every option is also a variable: --max-failures is ROLECALL_MAX_FAILURES."),
    ]
    return "\n".join(page) + "\n"


def _options(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for written, text in records:
        yield from (".TP", f".B {_roff(written)}", _roff(" ".join(text.split())))


def _paragraphs(text: str) -> str:
    paragraphs = [part.strip() for part in inspect.cleandoc(text).split("\n\n")]
    return "\n.PP\n".join(_block(part) for part in paragraphs)


def _block(text: str) -> str:
    if text.startswith("\b"):
        return "\n".join([".nf", *map(_roff, text.splitlines()[1:]), ".fi"])
    return _roff(" ".join(text.split()))


def _roff(text: str) -> str:
    """Return text as roff shows it: hyphens that can be copied, no accidental request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    MAN_PAGE.parent.mkdir(exist_ok=True)
    MAN_PAGE.write_text(man_page(), "utf-8")
    REFERENCE.write_text(with_hints(REFERENCE.read_text("utf-8")), "utf-8")
