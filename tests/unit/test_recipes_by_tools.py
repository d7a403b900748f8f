"""The recipes in `jobs/`, judged by the tools that are made for their files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.support.shell import scripts_in_crontab, unit

JOBS = Path(__file__).parents[2] / "jobs"
SERVICE = JOBS / "offboarding/rolecall-offboarding.service"
TIMER = JOBS / "offboarding/rolecall-offboarding.timer"
WORKER = JOBS / "cluster/rolecall-worker.service"
OBJECTS = [
    found
    for path in ("cluster/worker.yaml", "offboarding/cronjob.yaml")
    for found in yaml.safe_load_all((JOBS / path).read_text("utf-8"))
]
FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Smallest and largest number of each field of a cron schedule."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
needs_hadolint = pytest.mark.skipif(sys.platform != "linux", reason="hadolint is installed on Linux only")


def run(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end."""
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, **env}, check=False)


@needs_systemd
@pytest.mark.parametrize("path", [SERVICE, TIMER, WORKER], ids=lambda path: path.name)
def test_systemd_takes_the_unit(path: Path) -> None:
    """`systemd-analyze verify` finds nothing to say about the unit."""
    ended = run("systemd-analyze", "verify", path)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


@needs_systemd
def test_systemd_would_say_so_of_a_mistake(tmp_path: Path) -> None:
    """A misspelt setting is found: the test before this one can fail."""
    broken = tmp_path / SERVICE.name
    broken.write_text(SERVICE.read_text("utf-8").replace("ProtectHome=", "ProtectHouse="), "utf-8")
    assert "ProtectHouse" in run("systemd-analyze", "verify", broken).stderr


@needs_systemd
@pytest.mark.parametrize("path", [SERVICE, WORKER], ids=lambda path: path.name)
def test_the_service_is_hardened(path: Path) -> None:
    """What the service could do to the machine is little, by systemd's own judgement: 10 would be everything."""
    ended = run("systemd-analyze", "security", "--offline=true", "--no-pager", path, SYSTEMD_COLORS="0")
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", ended.stdout)
    assert level, ended.stderr
    assert float(level[1]) <= 1.5


@needs_systemd
def test_the_timer_comes_every_night() -> None:
    """The timer's expression is one that comes again, once a day."""
    [when] = [value for name, value in unit(TIMER)["Timer"] if name == "OnCalendar"]
    ended = run("systemd-analyze", "calendar", "--iterations=3", when, TZ="UTC", SYSTEMD_COLORS="0")
    assert ended.returncode == 0
    assert len(set(re.findall(r"\d{4}-\d\d-\d\d 02:15:00", ended.stdout))) == 3


@pytest.mark.parametrize("found", OBJECTS, ids=lambda found: found["kind"])
def test_kubernetes_knows_every_field(found: dict[str, object]) -> None:
    """Each object fits the schema of the newest known release, and the oldest one that the README names."""
    for version in ("1.31", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(found, version, strict=True)


def test_kubernetes_would_say_so_of_a_mistake() -> None:
    """A misspelt field is found: the test before this one can fail."""
    cronjob = OBJECTS[-1]
    spec = {"concurencyPolicy": "Forbid", **cronjob["spec"]}
    with pytest.raises(kubernetes_validate.ValidationError, match="concurencyPolicy"):
        kubernetes_validate.validate({**cronjob, "spec": spec}, "1.31", strict=True)


@needs_hadolint
def test_hadolint_has_nothing_to_say() -> None:
    """The Dockerfile follows the rules for Dockerfiles, and its commands those for shell."""
    ended = run(Path(sys.executable).with_name("hadolint"), "--no-color", JOBS / "container/Dockerfile")
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize("schedule", ["crontab", "cronjob.yaml"])
def test_the_schedule_is_one(schedule: str) -> None:
    """The five fields of the schedule are numbers in their ranges, or any."""
    text = (JOBS / "offboarding" / schedule).read_text("utf-8")
    [fields] = re.findall(r'^(?:  schedule: ")?((?:[\d*]+ ){4}[\d*]+)[ "]', text, re.MULTILINE) or [""]
    assert len(fields.split()) == 5
    for field, (least, most) in zip(fields.split(), FIELDS, strict=True):
        assert field == "*" or least <= int(field) <= most


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 130])
def test_cron_mails_what_a_person_must_know(tmp_path: Path, code: int) -> None:
    """The line prints one line for each end but 0 and 5, and the output of the command goes into the log.

    The shell is what is tested here: in place of rolecall a script ends with a code.
    """
    stand_in = tmp_path / "rolecall"
    stand_in.write_text(f"#!/bin/sh\nprintf '%s ' \"$@\"\nexit {code}\n", "utf-8")
    stand_in.chmod(0o700)
    [line] = scripts_in_crontab((JOBS / "offboarding/crontab").read_text("utf-8"))
    path = f"{tmp_path}:{os.environ['PATH']}"
    ended = run("sh", "-c", line.replace("cd /srv/rolecall", f"cd {tmp_path}"), PATH=path)
    said = "" if code in (0, 5) else f"rolecall ended with {code}; see /srv/rolecall/nightly.log\n"
    assert ended.stdout == said
    assert (tmp_path / "nightly.log").read_text("utf-8").startswith("offboard --users people.txt --keep-days 90 --yes ")
