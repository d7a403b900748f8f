"""The documentation: what a person can type or read in a report is written down, and nothing points nowhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import rolecall as package
from rolecall.app.reasons import REASON_HINTS
from rolecall.cli.config.setting_names import OTHER_VARIABLES, variable_of
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.help import EXAMPLES, HEADINGS, DocumentedCommand
from rolecall.cli.main import VERBS, rolecall
from rolecall.cli.options import SHARED_OPTIONS
from rolecall.engine.directory.find_query import GAP_HINTS
from rolecall.engine.directory.name_lookup import NAME_HINTS
from rolecall.files.input.ids import BAD_ROW_REASONS
from rolecall.files.output.csv_files import FIND_COLUMNS
from rolecall.files.output.report import REPORT_COLUMNS
from rolecall.models import Outcome
from tests.docs_help import MAN_PAGE, man_page, with_options, with_reasons

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/reference.md").read_text("utf-8")
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "jobs").rglob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
TEST_LINE = re.compile(r"^- `(tests/[\w/]+\.py)`: (.+)$", re.MULTILINE)
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")


def section(title: str, text: str = REFERENCE) -> str:
    """Give what stands under a heading, the headings below it included."""
    found = re.search(rf"^(#+) {re.escape(title)}$\n(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {title!r}"
    depth = len(found[1])
    rest = text[found.start(2) :]
    end = re.search(rf"^#{{1,{depth}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def table_rows(text: str) -> Iterator[list[str]]:
    """Give the cells of each table row; a `|` behind a backslash parts no cells."""
    for line in text.splitlines():
        if line.startswith("|") and not re.match(r"\|\s*-", line):
            yield [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def first_cells(title: str, text: str = REFERENCE) -> set[str]:
    """Give what stands in backticks in the first cells of a section's tables."""
    return {name for row in table_rows(section(title, text)) for name in re.findall(r"`([^`]+)`", row[0])}


def command(verb: str) -> click.Command:
    """Give a verb's command."""
    found = rolecall.get_command(click.Context(rolecall), verb)
    assert found is not None
    return found


def section_of(verb: str) -> str:
    """Give the section of a command, whose heading also names its argument."""
    heading = re.search(rf"^### (rolecall {verb}\b.*)$", REFERENCE, re.MULTILINE)
    assert heading, f"there is no section on rolecall {verb}"
    return section(heading[1])


def slug(heading: str) -> str:
    """Give the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def events_told() -> Iterator[str]:
    """Give the name of each event that the code logs."""
    for path in sorted(Path(package.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                owner = ast.unparse(node.func.value)
                if node.func.attr in ("info", "warning", "error") and owner.endswith("log"):
                    yield from names_in(node.args[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "_as_event":
                yield from names_in(node.args[0])


def names_in(node: ast.expr) -> Iterator[str]:
    """Give every event name that an expression can come to."""
    match node:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp(body=body, orelse=orelse):
            yield from names_in(body)
            yield from names_in(orelse)
        case ast.JoinedStr(values=[ast.Constant(value=str(before)), ast.FormattedValue()]):
            yield from (before + outcome.value for outcome in (Outcome.FAILED, Outcome.UNKNOWN))
        case _:
            raise AssertionError(f"the name of an event cannot be told: {ast.unparse(node)}")


def test_the_tables_of_options_are_those_of_the_commands() -> None:
    """The reference has each option of each command with its default and its help; `make docs-help` writes them."""
    assert with_options(REFERENCE) == REFERENCE, "docs/reference.md has old options: make docs-help"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_and_option_is_documented(verb: str) -> None:
    """Each command has a section, and each of its options a row, there or among those of several commands."""
    rows = [*table_rows(section_of(verb)), *table_rows(section("Options of several commands"))]
    documented = {name for row in rows for name in re.findall(r"`(--?[\w-]+)", row[0])}
    options = [option for option in command(verb).params if isinstance(option, click.Option)]
    assert {name for option in options for name in (*option.opts, *option.secondary_opts)} <= documented


def test_variables_and_keys_follow_from_the_name_of_the_option() -> None:
    """What the reference says of every option is true: --max-failures is ROLECALL_MAX_FAILURES and max-failures."""
    parameters = [option for verb in VERBS for option in command(verb).params]
    parameters += [option for option in rolecall.params if option.expose_value]
    for option in parameters:
        if not isinstance(option, click.Option):
            continue
        flag = option.opts[0].removeprefix("--")
        assert variable_of(option) == f"ROLECALL_{flag.upper().replace('-', '_')}"


def test_every_variable_that_is_no_option_is_documented() -> None:
    """What is only a variable is in the reference, too."""
    settings = section("Where settings come from")
    assert all(variable in settings for variable in OTHER_VARIABLES)


def test_the_man_page_is_that_of_the_command() -> None:
    """The man page has the present help; `make man` writes it again."""
    assert man_page() == MAN_PAGE.read_text("utf-8"), "docs/rolecall.1 is old: make man"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_headings_and_examples(verb: str) -> None:
    """The help of each command groups its options and ends with command lines that the command itself accepts."""
    found, root = command(verb), click.Context(rolecall, info_name="rolecall")
    assert isinstance(found, DocumentedCommand)
    text = found.get_help(click.Context(found, parent=root, info_name=verb))
    assert EXAMPLES[verb]
    assert all(f"  {example}\n" in f"{text}\n" for example in EXAMPLES[verb])
    assert all(f"rolecall {verb}" in re.sub(r"--profile \w+ ", "", example) for example in EXAMPLES[verb])


def test_every_option_under_a_heading_exists() -> None:
    """The table of headings names options of the commands, each once."""
    names = [name for names in HEADINGS.values() for name in names]
    known = {option.name for verb in VERBS for option in command(verb).params}
    assert len(names) == len(set(names))
    assert set(names) <= known
    assert set(SHARED_OPTIONS) <= set(names)


def test_the_tables_of_reasons_are_those_of_the_code() -> None:
    """The reference has what `explain` says of each reason; `make docs-help` writes it again."""
    assert with_reasons(REFERENCE) == REFERENCE, "docs/reference.md has old reasons: make docs-help"


def test_every_outcome_is_documented() -> None:
    """The reference and the README have each outcome and no other."""
    told = first_cells("What the outcomes mean", PAGES[0].read_text("utf-8"))
    assert first_cells("Outcomes") == {outcome.value for outcome in Outcome} == told


def test_every_reason_is_documented_with_its_hint() -> None:
    """The reference has each reason, no other, and the hint that the summary gives."""
    told = {row[0].strip("`"): row[-1] for row in table_rows(section("Reasons")) if row[0].startswith("`")}
    assert told == {reason: hint for reason, hint in REASON_HINTS.items() if reason}


def test_everything_that_cannot_be_seen_is_documented_with_its_hint() -> None:
    """The reference has each reason why rows may be missing, no other, and the hint that `find` gives."""
    rows = table_rows(section("What could not be seen"))
    assert {row[0].strip("`"): row[-1] for row in rows if row[0].startswith("`")} == GAP_HINTS


def test_the_columns_of_a_found_job_are_documented() -> None:
    """The reference names each column that `find` writes."""
    told = re.search(r"has the columns (.*?)\. The last", section_of("find"), re.DOTALL)
    assert told
    assert [name for name in re.findall(r"`(\w+)`", told[1]) if name not in ("yes", "no")] == list(FIND_COLUMNS)


def test_every_reason_of_an_invalid_row_is_documented() -> None:
    """The reference has each reason against a row and no other."""
    assert first_cells("Rows that cannot be used (`invalid`)") == {*BAD_ROW_REASONS, *NAME_HINTS}


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes has each code and no other."""
    rows = table_rows(section("Exit codes"))
    assert [row[0] for row in rows if row[0].isdecimal()] == [str(code.value) for code in ExitCode]


def test_every_report_column_is_documented() -> None:
    """The reference has each column of the report, in its order, and no other."""
    told = [name for row in table_rows(section("Report columns")) for name in re.findall(r"`(\w+)`", row[0])]
    assert told == list(REPORT_COLUMNS)


def test_every_log_event_is_documented() -> None:
    """The reference has each event that the code logs and no other."""
    told = first_cells("Log events")
    assert told == set(events_told())
    assert len(told) > 5


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_readme_names_the_first_commands(target: str) -> None:
    """A newcomer finds `make demo` and `make test` in the README, and they exist."""
    assert f"make {target}" in PAGES[0].read_text("utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """Each link to a file of the project finds it, and each anchor its heading."""
    for link in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{link} names no heading"


def test_every_test_named_as_a_proof_exists() -> None:
    """Each test that the page on reliability names is there, in the file that it names."""
    named = TEST_LINE.findall((ROOT / "docs/reliability.md").read_text("utf-8"))
    assert len(named) > 10
    for path, names in named:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        wanted = set(re.findall(r"`(test_\w+)`", names))
        assert wanted, f"no test is named for {path}"
        assert wanted <= there, f"{path} has no {wanted - there}"


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs").glob("*.svg")))
def test_the_picture_loads_nothing_from_the_network(name: str) -> None:
    """The README's pictures name no font, style or image elsewhere."""
    picture = (ROOT / "docs" / name).read_text("utf-8")
    for loader in ("@font-face", "@import", "url(http", "href="):
        assert loader not in picture
