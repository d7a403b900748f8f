"""Audit the pinned versions for known vulnerabilities: `python .ci/audit.py COMMAND...`, where COMMAND is pip-audit.

Exits with 0 only if every package was looked up and none has a known vulnerability. pip-audit alone exits with 0 where
it skipped packages, and with a traceback where it could not look anything up.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
OPTIONS = ("--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip", "--format", "json")


def audit(command: Sequence[str]) -> str:
    """Run the command; return what is wrong, empty if nothing is."""
    done = subprocess.run([*command, *OPTIONS], capture_output=True, text=True, check=False)  # noqa: S603 - of the Makefile
    expected = sum(bool(line.strip()) and line[0] not in "# \t" for line in CONSTRAINTS.read_text().splitlines())
    try:
        packages = json.loads(done.stdout)["dependencies"]
        audited = [package for package in packages if "vulns" in package]
        skipped = [f"{package['name']} ({package['skip_reason']})" for package in packages if "vulns" not in package]
    except (ValueError, KeyError, TypeError):
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return f"could not audit: {lines[-1] if lines else 'no output'}"
    found = [
        f"{package['name']} {package['version']}: {each['id']}" for package in audited for each in package["vulns"]
    ]
    if found:
        return f"known vulnerabilities: {', '.join(found)}"
    if skipped or len(audited) != expected:
        return f"could not audit {expected - len(audited)} of {expected} packages: {', '.join(skipped) or 'not listed'}"
    return ""


if __name__ == "__main__":
    if wrong := audit(sys.argv[1:]):
        sys.exit(f"audit: {wrong}")
    print(f"audit: no known vulnerability in {CONSTRAINTS}")  # noqa: T201 - a command of its own
