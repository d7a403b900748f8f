"""The layers: imports point one way, and each heavy library is imported by one module."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rolecall

PACKAGE = Path(rolecall.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
VALUES = {"file_access", "models", "text", "version"}
MAY_IMPORT = {
    "": {"api", "version"},
    "__main__": {"cli"},
    "cli": {"cli", "api", "app", "cluster", "engine", "rocketchat", "store", "files", "display", "sandbox", *VALUES},
    "api": {"api", "app", "engine", "rocketchat", "store", "files", *VALUES},
    "cluster": {"cluster", "app", "engine", "rocketchat", "store", "files", "display", *VALUES},
    "app": {"app", "engine", "rocketchat", "store", "files", "display", *VALUES},
    "engine": {"engine", "rocketchat", "store", *VALUES},
    **{layer: {layer, *VALUES} for layer in ("rocketchat", "store", "files", "display")},
    "sandbox": {"sandbox"},
    "models": {"models"},
    **{module: set[str]() for module in ("file_access", "text", "version")},
}
"""For each layer the layers that its modules may import."""


def imported(path: Path, module: str) -> Iterator[str]:
    """Return the full name of everything that a module imports, wherever in it the import stands."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def layer(name: str) -> str:
    """Return the layer of a name below `rolecall`; empty for the package itself."""
    return [*name.split("."), ""][1]


IMPORTS = {module: list(imported(path, module)) for module, path in MODULES.items()}


def test_every_module_is_looked_at() -> None:
    """The table knows every layer that there is, and the modules were found."""
    assert {layer(module) for module in MODULES} <= set(MAY_IMPORT)
    assert len(MODULES) > 60


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_only(module: str) -> None:
    """A module imports from its own layer and from those below, nothing else of ours."""
    ours = [name for name in IMPORTS[module] if name == "rolecall" or name.startswith("rolecall.")]
    wrong = [name for name in ours if layer(name) not in MAY_IMPORT[layer(module)]]
    assert wrong == []


CLUSTER = ("workspaces_file", "database", "runs", "schedules", "worker")
"""The parts of the layer for several machines; each imports only itself and those before it."""


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("rolecall.cluster.")])
def test_imports_within_the_cluster_point_down_only(module: str) -> None:
    """A part of the cluster layer imports no part above it."""
    allowed = CLUSTER[: CLUSTER.index(module.split(".")[2]) + 1]
    ours = [name.split(".")[2] for name in IMPORTS[module] if name.startswith("rolecall.cluster.")]
    assert set(ours) <= set(allowed)


@pytest.mark.parametrize(
    ("library", "door"),
    [
        ("aiohttp", "rolecall.rocketchat.client"),
        ("sqlite3", "rolecall.store.sqlite.connection"),
        ("tenacity", "rolecall.engine.throttle.retry"),
        ("python_calamine", "rolecall.files.input.workbook"),
        ("pygal", "rolecall.display.html_report.charts"),
        ("jinja2", "rolecall.display.html_report.render"),
    ],
)
def test_each_of_these_libraries_has_one_door(library: str, door: str) -> None:
    """One module alone imports the library; the sandbox, a server of its own, is left aside."""
    users = {
        module
        for module, names in IMPORTS.items()
        if layer(module) != "sandbox" and any(name.split(".")[0] == library for name in names)
    }
    assert users == {door}


@pytest.mark.parametrize(
    ("library", "homes"),
    [("psycopg", ("rolecall.store.postgres.", "rolecall.cluster.")), ("procrastinate", ("rolecall.cluster.",))],
)
def test_the_libraries_of_several_machines_stay_in_their_place(library: str, homes: tuple[str, ...]) -> None:
    """Only the store in PostgreSQL and the cluster import these libraries, which most users have not installed."""
    users = [module for module, names in IMPORTS.items() if any(name.split(".")[0] == library for name in names)]
    assert users
    assert [module for module in users if not module.startswith(homes)] == []


HEAVY = (
    "aiohttp",
    "asyncio",
    "structlog",
    "tenacity",
    "rich",
    "orjson",
    "ijson",
    "python_calamine",
    "sqlite3",
    "uvloop",
    "jinja2",
    "pygal",
    "psycopg",
    "procrastinate",
)


def test_usage_needs_none_of_the_heavy_libraries() -> None:
    """Loading the command and its `run` verb, as `--help` and usage errors do, imports no heavy library."""
    program = (
        "import json, sys, click, rolecall.cli.main as cli\n"
        "command = cli.rolecall.get_command(click.Context(cli.rolecall), 'run')\n"
        "assert command.name == 'run'\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_version_needs_only_the_parser_of_options() -> None:
    """What `--version` imports of ours is the entry point, the command group and the texts; no command, no layer."""
    program = (
        "import json, sys, rolecall.cli.main as cli\n"
        "assert cli.main(['--version']) == 0\n"
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith('rolecall.'))))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    terminal = ("terminal", "terminal.console", "terminal.early_interrupt")
    own = ["cli", *(f"cli.{name}" for name in ("main", *terminal)), "text", "version"]
    assert json.loads(done.stdout.splitlines()[-1]) == [f"rolecall.{name}" for name in own]


def test_the_preflight_waits_for_nothing_that_only_rows_need() -> None:
    """What a run imports before its first request is neither for rows and reports nor for other kinds of job files."""
    libraries = ("structlog", "rich", "tenacity", "jinja2", "pygal", "zipfile", "decimal", "difflib")
    engine = ("engine.dispatcher", "engine.settlement", "engine.throttle.admission", "rocketchat.responses")
    others = ("app.reports", "app.notifications", "files.input.json_rows", "files.input.workbook")
    late = (*libraries, *(f"rolecall.{name}" for name in (*engine, *others)))
    program = (
        "import json, sys\n"
        "import rolecall.app.run_job, rolecall.cli.commands.run, rolecall.cli.context\n"
        "import rolecall.cli.terminal.event_loop\n"
        f"print(json.dumps([name for name in {late!r} if name in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
