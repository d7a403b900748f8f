"""Texts of the code in docs/reference.md, `--help` and hints: `make docs-help` writes them, tests compare them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from rolecall.app.reports import REASON_HINTS
from rolecall.cli.main import VERBS, rolecall
from rolecall.engine.directory.find_query import GAP_HINTS

REFERENCE = Path(__file__).parents[1] / "docs/reference.md"
WIDTH = 100


def help_texts() -> Iterator[tuple[str, str]]:
    """Return the help of `rolecall` itself, then each command's, by name."""
    whole = click.Context(rolecall, info_name="rolecall", terminal_width=WIDTH, help_option_names=["-h", "--help"])
    yield "rolecall", rolecall.get_help(whole)
    for verb in VERBS:
        command = rolecall.get_command(whole, verb)
        assert command is not None, f"there is no command {verb}"
        yield verb, command.get_help(click.Context(command, parent=whole, info_name=verb, terminal_width=WIDTH))


def with_help(page: str) -> str:
    """Return the page with the present help texts; a new one is put at the end of its section."""
    for name, text in help_texts():
        title = "rolecall --help" if name == "rolecall" else f"rolecall {name} --help"
        folded = f"<details>\n<summary>{title}</summary>\n\n```\n{text.strip()}\n```\n\n</details>"
        block = f"<!-- help: {name} -->\n{folded}\n<!-- /help -->"
        present = re.compile(rf"<!-- help: {name} -->\n.*?<!-- /help -->", re.DOTALL)
        if present.search(page):
            page = present.sub(block.replace("\\", r"\\"), page)
            continue
        heading = "## Commands" if name == "rolecall" else rf"### rolecall {name}\b[^\n]*"
        section = re.search(rf"^{heading}\n.*?(?=^##)", page, re.MULTILINE | re.DOTALL)
        assert section, f"docs/reference.md has no section on {name}"
        page = page[: section.end()].rstrip() + f"\n\n{block}\n\n" + page[section.end() :]
    return page


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


if __name__ == "__main__":
    REFERENCE.write_text(with_hints(with_help(REFERENCE.read_text("utf-8"))), "utf-8")
