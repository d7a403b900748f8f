"""Messages name only flags that exist, and layers below the command line name none in their errors."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import rolecall as package
from rolecall.cli.error_report import ADVICE, format_error
from rolecall.cli.main import VERBS, rolecall
from rolecall.models import Advice, RolecallError

PACKAGE = Path(package.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
SETTING = re.compile(r"--[a-z]|ROCKETCHAT_|ROLECALL_")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "sandbox" not in path.parts and "display" not in path.parts)
BELOW_CLI = [path for path in MODULES if "cli" not in path.parts]


def texts(tree: ast.AST) -> Iterator[str]:
    """Return every text in a syntax tree that is not a docstring."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def flags() -> set[str]:
    """Return every flag of every command."""
    commands = [rolecall, *(rolecall.get_command(click.Context(rolecall), verb) for verb in VERBS)]
    options = [option for command in commands if command for option in command.params]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)} | {"--help", "--version"}


def test_every_flag_in_a_message_exists() -> None:
    """A flag that a text names is one of a command: nobody is sent to an option that does not exist."""
    named = {
        flag for path in MODULES for text in texts(ast.parse(path.read_text("utf-8"))) for flag in FLAG.findall(text)
    }
    assert len(named) > 20
    assert named - flags() - {"--max"} == set()  # `string split --max` is fish's own


@pytest.mark.parametrize("path", BELOW_CLI, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_errors_below_the_command_line_name_no_flag(path: Path) -> None:
    """What is raised for programs too speaks of values, not of flags or variables; the command line adds those."""
    raised = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Raise)]
    assert [text for node in raised for text in texts(node) if SETTING.search(text)] == []


@pytest.mark.parametrize("advice", Advice)
def test_every_advice_is_one_sentence_more(advice: Advice) -> None:
    """An error with an advice is shown with the sentence of the command line, one without as it is."""
    assert format_error(RolecallError("It failed.", advice)) == f"It failed. {ADVICE[advice]}"
    assert format_error(RolecallError("It failed.")) == "It failed."
