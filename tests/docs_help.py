"""The `--help` texts in docs/reference.md: `make docs-help` writes them, a test says when that was forgotten."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from rolecall.cli.main import VERBS, rolecall

REFERENCE = Path(__file__).parents[1] / "docs/reference.md"
WIDTH = 100


def help_texts() -> Iterator[tuple[str, str]]:
    """Give what `rolecall --help` says, then each verb's help, by name."""
    whole = click.Context(rolecall, info_name="rolecall", terminal_width=WIDTH, help_option_names=["-h", "--help"])
    yield "rolecall", rolecall.get_help(whole)
    for verb in VERBS:
        command = rolecall.get_command(whole, verb)
        assert command is not None, f"there is no command {verb}"
        yield verb, command.get_help(click.Context(command, parent=whole, info_name=verb, terminal_width=WIDTH))


def with_help(page: str) -> str:
    """Give the page with every help text as it is now; one that is not there yet goes to the end of its section."""
    for name, text in help_texts():
        asked = "rolecall --help" if name == "rolecall" else f"rolecall {name} --help"
        folded = f"<details>\n<summary>{asked}</summary>\n\n```\n{text.strip()}\n```\n\n</details>"
        block = f"<!-- help: {name} -->\n{folded}\n<!-- /help -->"
        there = re.compile(rf"<!-- help: {name} -->\n.*?<!-- /help -->", re.DOTALL)
        if there.search(page):
            page = there.sub(block.replace("\\", r"\\"), page)
            continue
        heading = "## Commands" if name == "rolecall" else rf"### rolecall {name}\b[^\n]*"
        section = re.search(rf"^{heading}\n.*?(?=^##)", page, re.MULTILINE | re.DOTALL)
        assert section, f"docs/reference.md has no section on {name}"
        page = page[: section.end()].rstrip() + f"\n\n{block}\n\n" + page[section.end() :]
    return page


if __name__ == "__main__":
    REFERENCE.write_text(with_help(REFERENCE.read_text("utf-8")), "utf-8")
