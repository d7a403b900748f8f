"""The package: built from the sources, it installs and runs where the sources are not."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from trove_classifiers import classifiers

from rolecall.version import __version__

ROOT = Path(__file__).parents[2]
NAME = f"rolecall-{__version__}"
NOT_SHIPPED = {".gitignore"}
"""Files of the repository that the build puts into the archive by itself."""

CONSUMER = """
from rolecall import __version__
from rolecall.models import Outcome

version: {version} = __version__
outcomes: list[Outcome] = list(Outcome)
"""


def run(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with none of the tests' own Python paths."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "MAKE"))
    }
    return subprocess.run(words, cwd=cwd, env={**clean, **env}, capture_output=True, text=True, check=False)


def build(sources: Path, into: Path, *more: str) -> None:
    """Build from a folder of sources with the build backend of this environment: nothing is fetched."""
    ended = run(sys.executable, "-m", "hatchling", "build", "--directory", into, *more, cwd=sources)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the source archive."""
    into = tmp_path_factory.mktemp("dist")
    build(ROOT, into)
    return into


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """Give the wheel."""
    [found] = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty environment that sees our dependencies, but not our sources."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    found = folder / "bin/python"
    pip = run(
        *(sys.executable, "-m", "pip", "--python", found, "install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    assert pip.returncode == 0, pip.stderr
    [packages] = folder.glob("lib/python*/site-packages")
    # Of a folder that a .pth file names, the .pth files (and so the editable install) count no more.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return found


def tracked() -> set[str]:
    """Name the files of the repository as it stands, those that git ignores left out."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    if listed.returncode != 0:
        pytest.skip("this is no git repository")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_source_archive_is_the_repository(dist: Path) -> None:
    """The archive has every file of the repository, and nothing else but its metadata."""
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()}
    assert names - {"PKG-INFO"} - NOT_SHIPPED == tracked() - NOT_SHIPPED


def test_a_wheel_from_the_archive_is_the_same(dist: Path, wheel: Path, tmp_path: Path) -> None:
    """The archive is complete: a wheel that is built from it has the same files with the same bytes."""
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    build(tmp_path / NAME, tmp_path / "again", "--target", "wheel")
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(tmp_path / "again" / wheel.name) as theirs:
        assert {name: ours.read(name) for name in ours.namelist()} == {
            name: theirs.read(name) for name in theirs.namelist()
        }


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    """The wheel has the package, the mark that it is typed, its metadata, its license and the man page."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {"rolecall", f"{NAME}.dist-info", f"{NAME}.data"}
    man_page = f"{NAME}.data/data/share/man/man1/rolecall.1"
    assert {name for name in names if name.startswith(f"{NAME}.data")} == {man_page}
    assert names >= {"rolecall/py.typed", f"{NAME}.dist-info/licenses/LICENSE"}
    data = {name for name in names if name.startswith("rolecall/") and not name.endswith((".py", "py.typed"))}
    folders = {"rolecall/display/html_report": {"html", "css", "js"}, "rolecall/store/postgres/migrations": {"sql"}}
    assert {name.rpartition("/")[0] for name in data} == folders.keys()
    for folder, kinds in folders.items():
        assert {name.rpartition(".")[2] for name in data if name.startswith(folder)} == kinds


def test_the_metadata_is_complete(wheel: Path) -> None:
    """Name, summary, license, Python versions and keywords are told; each classifier is a known one."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())
        entry_points = archive.read(f"{NAME}.dist-info/entry_points.txt").decode()
    told = set(metadata.get_all("Classifier", ()))
    assert (metadata["Name"], metadata["Version"], metadata["License-Expression"]) == ("rolecall", __version__, "MIT")
    assert metadata["Summary"]
    assert metadata["Keywords"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert told <= set(classifiers)
    assert "Typing :: Typed" in told
    pythons = sorted(int(minor) for minor in re.findall(r"Python :: 3\.(\d+)", "\n".join(told)))
    assert metadata["Requires-Python"] == f">=3.{pythons[0]}"
    assert "rolecall = rolecall.cli.entry:main" in entry_points


def test_the_installed_command_runs_without_the_sources(python: Path, tmp_path: Path) -> None:
    """With the wheel alone, in an empty folder: the version, the help, and a whole demo with its report."""
    rolecall = python.with_name("rolecall")
    where = run(python, "-c", "import rolecall; print(rolecall.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(python.parents[1])
    assert run(rolecall, "--version", cwd=tmp_path).stdout == f"rolecall, version {__version__}\n"
    assert run(python, "-m", "rolecall", "run", "--help", cwd=tmp_path).returncode == 0
    demo = run(rolecall, "demo", "--rows", "60", "--out", "demo", cwd=tmp_path)
    assert demo.returncode == 0, demo.stderr
    assert len((tmp_path / "demo/run/report.csv").read_text("utf-8").splitlines()) == 61


def test_a_project_with_a_worker_of_its_own_disturbs_nothing(python: Path, tmp_path: Path) -> None:
    """A project's own `worker.py` and `cli.py`, first on the path, are not imported by the command and not hidden."""
    for name in ("worker", "cli", "app", "api", "engine", "store"):
        (tmp_path / f"{name}.py").write_text(
            f"raise SystemExit('the {name}.py of the project was imported')\n", "utf-8"
        )
    (tmp_path / "worker.py").write_text("TASKS = ['mine']\n", "utf-8")
    rolecall = python.with_name("rolecall")
    assert run(rolecall, "--version", cwd=tmp_path, PYTHONPATH=".").returncode == 0
    demo = run(rolecall, "demo", "--rows", "20", "--out", "demo", cwd=tmp_path, PYTHONPATH=".")
    assert demo.returncode == 0, demo.stderr
    program = "import worker, rolecall; from rolecall import change_roles; print(worker.TASKS, worker.__file__)"
    both = run(python, "-c", program, cwd=tmp_path, PYTHONPATH=".")
    assert both.stdout == f"['mine'] {tmp_path / 'worker.py'}\n", both.stderr


def test_no_package_of_a_common_name_is_installed(python: Path) -> None:
    """The wheel installs the top-level package `rolecall` alone: no `worker` that collides with a service's module."""
    [record] = python.parents[1].glob("lib/python*/site-packages/rolecall-*.dist-info/RECORD")
    installed = {line.split(",")[0].split("/")[0] for line in record.read_text("utf-8").splitlines()}
    assert {name for name in installed if not name.startswith((".", "rolecall-"))} == {"rolecall"}


@pytest.mark.parametrize(("version", "said"), [("str", "Success"), ("int", "[assignment]")])
def test_the_installed_package_is_typed(python: Path, tmp_path: Path, version: str, said: str) -> None:
    """A module that uses the installed package passes mypy --strict, and one with a wrong type does not."""
    consumer = tmp_path / "consumer.py"
    consumer.write_text(CONSUMER.format(version=version), "utf-8")
    ended = run(
        *(sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--python-executable", python, consumer),
        cwd=tmp_path,
    )
    assert said in ended.stdout
    assert ("Found 1 error" in ended.stdout) == (version == "int")


def test_the_release_notes_are_the_newest_section_of_the_changelog(tmp_path: Path) -> None:
    """`make notes` prints the section of the newest version: not what is unreleased, not an older one."""
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(
        "# Changelog\n\n## [Unreleased]\n\n- later\n\n"
        "## [0.2.0] - 2027-01-31\n\n### Fixed\n\n- this\n\n## 0.1.0\n\n- old\n",
        "utf-8",
    )
    notes = run("make", "-s", "notes", f"CHANGELOG={changelog}", cwd=ROOT)
    assert notes.stdout.strip() == "### Fixed\n\n- this"
    assert run("make", "-s", "notes", cwd=ROOT).stdout.startswith("### Added\n")


def test_the_changelog_has_the_version() -> None:
    """The version that the package bears has its section in the changelog."""
    assert re.search(rf"^## \[?{re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
