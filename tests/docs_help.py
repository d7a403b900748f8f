"""Texts of the code in docs/reference.md, `--help` and reasons: `make docs-help` writes them, tests compare them."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from rolecall.app.reasons import LOOKUP_REASONS, REASONS, ReasonSource
from rolecall.cli.main import VERBS, rolecall
from rolecall.models import Outcome

REFERENCE = Path(__file__).parents[1] / "docs/reference.md"
WIDTH = 100
OUTCOME = re.compile(rf"\b(?:{'|'.join(Outcome)}|inferred)\b")


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


def with_reasons(page: str) -> str:
    """Return the page with the tables of reasons, made from those of the code; what stands around them stays."""
    for source in ReasonSource:
        heading = re.search(rf"^#+ {re.escape(source)}$", page, re.MULTILINE)
        assert heading, f"docs/reference.md has no section {source}"
        table = re.compile(r"^\| reason .*?(?=^(?!\|))", re.MULTILINE | re.DOTALL)
        found = table.search(page, heading.end())
        assert found, f"the section {source} has no table"
        page = page[: found.start()] + "\n".join(_table(source)) + "\n" + page[found.end() :]
    return page


def _table(source: ReasonSource) -> Iterator[str]:
    yield "| reason | outcome | hint |"
    yield "| --- | --- | --- |"
    for reason in (*REASONS.values(), *LOOKUP_REASONS.values()):
        if reason.source is source:
            outcome = re.sub(
                r"\b[a-z]+_[a-z_]+\b|\b(?:failed|unknown|removed|added|invalid|duplicate)\b", r"`\g<0>`", reason.outcome
            )
            hint = reason.hint.replace("|", "\\|")
            yield f"| `{reason.reason}` | {outcome} | {hint} |"


if __name__ == "__main__":
    REFERENCE.write_text(with_reasons(with_help(REFERENCE.read_text("utf-8"))), "utf-8")
