"""Texts of the code in docs/reference.md and docs/rolecall.1: `make docs-help` writes them, tests compare them."""

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from rolecall.app.reasons import LOOKUP_REASONS, REASONS, ReasonSource
from rolecall.cli.help import EXAMPLES, HEADINGS, LAST, grouped_options
from rolecall.cli.main import CLUSTER_VERBS, VERBS, rolecall
from rolecall.version import __version__

REFERENCE = Path(__file__).parents[1] / "docs/reference.md"
MAN_PAGE = Path(__file__).parents[1] / "docs/rolecall.1"
TABLE_HEAD = ("| option | meaning |", "| --- | --- |")
REPEATED = re.compile(r", (?:after the last attempt|also for the room's other rows)$")
"""What the text below the table says once for all these reasons."""


def with_options(page: str) -> str:
    """Return the page with the present tables of options: each command's own, and those that several commands have."""
    tables = _option_tables()

    def table(marked: re.Match[str]) -> str:
        return f"<!-- options: {marked[1]} -->\n{tables[marked[1]]}\n<!-- end -->"

    return re.sub(r"<!-- options: (\w[\w ]*) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def _option_tables() -> dict[str, str]:
    """Return the tables by their names: commands, `rolecall`, `several`, `several machines`.

    Commands for several machines share options among themselves, and have options of the other commands besides.
    """
    own: dict[str, list[click.Option]] = {verb: [] for verb in VERBS}
    shared: dict[tuple[str, ...], list[click.Option]] = {}
    repeated: dict[tuple[str, ...], list[click.Option]] = {}
    for option, verbs in _commands_by_option():
        here = tuple(verb for verb in verbs if verb not in CLUSTER_VERBS)
        there = tuple(verb for verb in verbs if verb in CLUSTER_VERBS)
        main = here or there
        if len(main) == 1:
            own[main[0]].append(option)
        else:
            shared.setdefault(main, []).append(option)
        if here and there:
            repeated.setdefault(there, []).append(option)
    rows = {several: _shared_rows(shared, several) for several in (False, True)}
    rows[True] += [f"| {', '.join(map(_names, same))} | **{_verb_list(to)}** |" for to, same in repeated.items()]
    return {
        "rolecall": _option_table([option for option in rolecall.params if isinstance(option, click.Option)]),
        "several": "\n".join([*TABLE_HEAD, *rows[False]]),
        "several machines": "\n".join([*TABLE_HEAD, *rows[True]]),
        **{verb: _option_table(options) for verb, options in own.items() if options},
    }


def _commands_by_option() -> Iterator[tuple[click.Option, list[str]]]:
    """Yield each option with the commands that have it with the same text."""
    context = click.Context(rolecall)
    uses: dict[tuple[str, str], list[str]] = {}
    options: dict[tuple[str, str], click.Option] = {}
    for verb in VERBS:
        command = rolecall.get_command(context, verb)
        assert command is not None, f"there is no command {verb}"
        for option in command.params:
            if isinstance(option, click.Option):
                key = (option.opts[0], option.help or "")
                uses.setdefault(key, []).append(verb)
                options[key] = option
    return ((options[key], verbs) for key, verbs in uses.items())


def _option_table(options: Iterable[click.Option]) -> str:
    return "\n".join([*TABLE_HEAD, *map(_option_row, options)])


def _shared_rows(shared: dict[tuple[str, ...], list[click.Option]], several_machines: bool) -> list[str]:
    """Return the rows of the options of several commands, by topic as in the help; a row names the commands."""
    topics = [name for names in HEADINGS.values() for name in names]

    def place(options: list[click.Option]) -> int:
        return min(topics.index(option.name) if option.name in topics else -1 for option in options)

    rows: list[str] = []
    for verbs, options in sorted(shared.items(), key=lambda group: place(group[1])):
        if (verbs[0] in CLUSTER_VERBS) is several_machines:
            rows += [f"| | **{_verb_list(verbs)}** |", *map(_option_row, options)]
    return rows


def _verb_list(verbs: tuple[str, ...]) -> str:
    """Return the names of the commands, or of the others of their kind if these are fewer."""
    kind = [verb for verb in VERBS if (verb in CLUSTER_VERBS) is (verbs[0] in CLUSTER_VERBS)]
    others = [verb for verb in kind if verb not in verbs]
    return ", ".join(verbs) if len(verbs) <= len(others) else f"all but {', '.join(others)}"


def _names(option: click.Option) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _option_row(option: click.Option) -> str:
    metavar = "" if option.is_flag else f" {option.make_metavar(click.Context(rolecall)).strip('[]')}"
    names = [f"`{name}{metavar if name.startswith('--') else ''}`" for name in (*option.opts, *option.secondary_opts)]
    text = (option.help or "").rstrip(".")
    notes = [f"default: {default}"] if (default := _default_of(option)) else []
    if isinstance(option.type, click.IntRange | click.FloatRange) and option.type.max is not None:
        notes.append(f"{option.type.min:g} to {option.type.max:g}")
    if notes:
        text += f" ({'; '.join(notes)})"
    cells = [", ".join(names), text.replace("<", "&lt;")]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default_of(option: click.Option) -> str:
    """Return the default in words; empty where there is none, and for a flag that is off."""
    default = option.to_info_dict()["default"]
    if option.is_flag:
        return "yes" if default is True else ""
    return str(default) if isinstance(default, str | int | float) and default != "" else ""


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
    """Yield the lines of a table; without the column of outcomes where all its reasons have the same."""
    reasons = [each for each in (*REASONS.values(), *LOOKUP_REASONS.values()) if each.source is source]
    with_outcome = len({reason.outcome for reason in reasons}) > 1
    yield "| reason | outcome | hint |" if with_outcome else "| reason | hint |"
    yield "| --- | --- | --- |" if with_outcome else "| --- | --- |"
    for reason in reasons:
        outcome = re.sub(
            r"\b[a-z]+_[a-z_]+\b|\b(?:failed|unknown|removed|added|invalid|duplicate)\b",
            r"`\g<0>`",
            REPEATED.sub("", reason.outcome),
        )
        cells = (f"`{reason.reason}`", *([outcome] if with_outcome else ()), reason.hint.replace("|", "\\|"))
        yield f"| {' | '.join(cells)} |"


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
    REFERENCE.write_text(with_reasons(with_options(REFERENCE.read_text("utf-8"))), "utf-8")
