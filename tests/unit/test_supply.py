"""The supply chain: the audit of the pinned versions, and the bill of materials of a release."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
PINNED = dict(line.split("==") for line in (CI / "constraints.txt").read_text().splitlines())
SOUND = [{"name": name, "version": version, "vulns": []} for name, version in PINNED.items()]
VULNERABLE = {**SOUND[0], "vulns": [{"id": "PYSEC-2026-1"}]}
SKIPPED = {"name": SOUND[0]["name"], "skip_reason": "not found"}


def audited(tmp_path: Path, output: str, error: str = "", code: int = 0) -> tuple[int, str]:
    """Run the audit with a stand-in for pip-audit; return the exit code and all that it printed."""
    stand_in = tmp_path / "pip_audit.py"
    stand_in.write_text(f"import sys\nprint({output!r})\nprint({error!r}, file=sys.stderr)\nsys.exit({code})\n")
    command = [sys.executable, str(CI / "audit.py"), sys.executable, str(stand_in)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        (SOUND, 0, "no known vulnerability"),
        ([VULNERABLE, *SOUND[1:]], 1, "PYSEC-2026-1"),
        ([SKIPPED, *SOUND[1:]], 1, "could not audit 1 of"),
        (SOUND[1:], 1, "could not audit 1 of"),
        ([], 1, "could not audit"),
    ],
    ids=["sound", "vulnerable", "skipped", "missing", "empty"],
)
def test_the_audit_is_sound_only_if_every_package_was_looked_up(
    tmp_path: Path, packages: list[object], code: int, words: str
) -> None:
    """A package that was not looked up fails the audit as a vulnerable one does, and is named."""
    ended, printed = audited(tmp_path, json.dumps({"dependencies": packages}))
    assert ended == code
    assert words in printed


def test_an_audit_without_a_network_says_so(tmp_path: Path) -> None:
    """Where nothing could be looked up, one line says that, with the reason, and the exit code is 1."""
    ended, printed = audited(tmp_path, "", "Traceback (most recent call last):\nConnectionError: no route", 1)
    assert (ended, printed) == (1, "audit: could not audit: ConnectionError: no route\n")


def test_the_bill_of_materials_has_the_pinned_versions(tmp_path: Path) -> None:
    """It lists what users install, directly or not, in the versions of the constraints, and no tool of the tests."""
    subprocess.run([sys.executable, str(CI / "sbom.py"), str(tmp_path)], check=True)
    (file,) = tmp_path.iterdir()
    content = json.loads(file.read_text())
    assert file.name == f"rolecall-{content['metadata']['component']['version']}.cdx.json"
    listed = {each["name"].lower().replace("_", "-"): each["version"] for each in content["components"]}
    pinned = {name.lower().replace("_", "-"): version for name, version in PINNED.items()}
    assert {"aiohttp", "yarl", "python-calamine", "orjson"} <= set(listed)
    assert not {"pytest", "mypy", "pip-audit"} & set(listed)
    assert listed.items() <= pinned.items()


def test_the_targets_use_them() -> None:
    """`make audit` and `make dist` run these programs."""
    for target, program in (("audit", ".ci/audit.py"), ("dist", ".ci/sbom.py")):
        words = ["make", "--dry-run", "--always-make", target]
        shown = subprocess.run(words, cwd=CI.parent, capture_output=True, text=True, check=True)
        assert program in shown.stdout


def test_what_users_install_has_hashes(tmp_path: Path) -> None:
    """Every package of the bill of materials is in the file of hashes, in the version of the constraints."""
    subprocess.run([sys.executable, str(CI / "sbom.py"), str(tmp_path)], check=True)
    (file,) = tmp_path.iterdir()
    listed = {each["name"].lower().replace("_", "-") for each in json.loads(file.read_text())["components"]}
    text = (CI / "runtime.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    hashed = {line.split("==")[0]: line.split("==")[1].split()[0] for line in lines}
    pinned = {name.lower().replace("_", "-"): version for name, version in PINNED.items()}
    assert listed <= set(hashed)
    assert hashed.items() <= pinned.items()
    assert all("--hash=sha256:" in line for line in lines)
    assert "://" not in text
