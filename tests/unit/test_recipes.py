"""The recipes in `jobs/`: every command, variable, exit code and file in them is one that there is."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dotenv import dotenv_values

from rolecall.cli.config.config_file import IN_CONFIG_FILE, read_config_file
from rolecall.cli.config.setting_names import OTHER_VARIABLES
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.help import EXAMPLES
from rolecall.cli.main import VERBS, rolecall
from rolecall.cluster.workspaces_file import read_workspaces
from rolecall.files.input.job import open_job
from rolecall.models import Row
from rolecall.rocketchat.connection_config import Credentials
from rolecall.sandbox import ACCOUNT
from rolecall.version import __version__
from tests.support.shell import (
    IMAGE,
    Called,
    calls,
    manifests,
    script_of_container,
    scripts_in_crontab,
    scripts_in_markdown,
    unit,
)

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "jobs"
OFFBOARDING = JOBS / "offboarding"
FILES = sorted(path for path in JOBS.rglob("*") if path.is_file())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(JOBS.rglob("*.md"))]

SERVICE = unit(OFFBOARDING / "rolecall-offboarding.service")["Service"]
CRONJOB = manifests(OFFBOARDING / "cronjob.yaml")["CronJob"]["spec"]
JOB = CRONJOB["jobTemplate"]["spec"]
POD = JOB["template"]["spec"]
CONTAINER = POD["containers"][0]
CLUSTER = JOBS / "cluster"
WORKER_SERVICE = unit(CLUSTER / "rolecall-worker.service")["Service"]
WORKER_POD = manifests(CLUSTER / "worker.yaml")["Deployment"]["spec"]["template"]["spec"]
WORKER_CONTAINER = WORKER_POD["containers"][0]
COMPOSE = yaml.safe_load((CLUSTER / "compose.yaml").read_text("utf-8"))
OUR_SERVICES = {name: found for name, found in COMPOSE["services"].items() if name != "db"}
DOCKERFILE = (JOBS / "container/Dockerfile").read_text("utf-8").replace("\\\n", " ")


def scripts() -> Iterator[tuple[str, str]]:
    """Give every script of the documentation and the recipes, with the file that it stands in."""
    for page in PAGES:
        for script in scripts_in_markdown(page.read_text("utf-8"), inline=page.is_relative_to(JOBS)):
            yield str(page.relative_to(ROOT)), script
    for script in scripts_in_crontab((OFFBOARDING / "crontab").read_text("utf-8")):
        yield "crontab", script
    for name, value in SERVICE:
        if name.startswith("Exec"):
            yield "rolecall-offboarding.service", value
    yield "cronjob.yaml", script_of_container(CONTAINER)
    for name, value in WORKER_SERVICE:
        if name.startswith("Exec"):
            yield "rolecall-worker.service", value
    yield "worker.yaml", script_of_container(WORKER_CONTAINER)
    yield "worker.yaml", shlex.join(WORKER_CONTAINER["livenessProbe"]["exec"]["command"])
    for found in OUR_SERVICES.values():
        yield "compose.yaml", shlex.join(["rolecall", *found["command"]])
        yield "compose.yaml", shlex.join(found.get("healthcheck", {}).get("test", ["CMD"])[1:])
    yield from ((f"help of {verb}", line) for verb, lines in EXAMPLES.items() for line in lines)


OF_A_NIGHT = list(ExitCode)
"""The exit codes of `offboard`."""
CALLS = sorted({called for file, script in scripts() for called in calls(file, script)})


def command(verb: str) -> click.Command:
    """Give a verb's command."""
    assert verb in VERBS, f"there is no rolecall {verb}"
    found = rolecall.get_command(click.Context(rolecall), verb)
    assert found is not None
    return found


def options(verb: str) -> dict[str, click.Parameter]:
    """Give the parameters of a verb by their names."""
    return {parameter.name: parameter for parameter in command(verb).params if parameter.name}


def settings_of(name: str) -> list[str]:
    """Give the values of a setting of the service."""
    return [value for key, value in SERVICE if key == name]


def grace() -> float:
    """Give the seconds that a run awaits its calls for, unless it is told otherwise."""
    found = options("run")["shutdown_timeout"].default
    assert isinstance(found, int | float)
    return found


@pytest.mark.parametrize("called", CALLS, ids=lambda called: f"{called.file}: {called.verb} {' '.join(called.words)}")
def test_every_command_line_is_one_that_the_command_takes(called: Called) -> None:
    """The verb and its options exist, their values can be read, and what the verb needs is given."""
    found = command(called.verb)
    if {"--help", "-h"} & set(called.words):
        return
    context = click.Context(found, info_name=called.verb, help_option_names=["-h", "--help"])
    given, left, _ = found.make_parser(context).parse_args(list(called.words))
    assert not left, f"{left} is too much"
    for name, parameter in options(called.verb).items():
        if isinstance(given.get(name), str | tuple | list) and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, given[name])
        assert given.get(name) is not None or not parameter.required, f"{name} is missing"


def test_scheduled_runs_pass_yes() -> None:
    """Without a terminal a run is refused unless it has `--yes`: every scheduled one has it."""
    files = ("crontab", "rolecall-offboarding.service", "cronjob.yaml")
    scheduled = [called for called in CALLS if called.file in files and called.verb == "offboard"]
    assert {called.file for called in scheduled} == set(files)
    assert all("--yes" in called.words for called in scheduled)


def test_command_lines_are_found_wherever_they_stand() -> None:
    """The search for command lines finds those of each form: no test here is empty."""
    found = {(called.file, called.verb) for called in CALLS}
    assert found >= {(file, "offboard") for file in ("crontab", "rolecall-offboarding.service", "cronjob.yaml")}
    assert ("README.md", "run") in found
    assert ("jobs/container/README.md", "run") in found
    assert {called.verb for called in CALLS if called.file == "jobs/reorganisation/README.md"} >= {
        "find",
        "check",
        "run",
        "verify",
        "undo",
    }
    assert list(calls("", "cd x && sh -ec 'a; exec rolecall run b > c' 2>&1 | d")) == [Called("", "run", ("b",))]


def test_the_three_schedulers_do_the_same() -> None:
    """systemd, cron and Kubernetes run the command of the README; only where the list lies differs."""
    readme = (OFFBOARDING / "README.md").read_text("utf-8")
    [told] = calls("", next(scripts_in_markdown(readme, inline=False)))
    files = ("crontab", "rolecall-offboarding.service", "cronjob.yaml")
    scheduled = {called.file: called for called in CALLS if called.file in files}
    assert set(scheduled) == set(files)
    for called in scheduled.values():
        words = list(called.words)
        words[words.index("--users") + 1] = "people.txt"
        assert (called.verb, tuple(words)) == (told.verb, told.words)


def test_each_scheduler_ends_a_night_that_hangs() -> None:
    """Six hours are the limit under each of them."""
    [line] = scripts_in_crontab((OFFBOARDING / "crontab").read_text("utf-8"))
    assert settings_of("TimeoutStartSec") == ["6h"]
    assert re.search(r"timeout --preserve-status --kill-after=\d+ 6h rolecall", line)
    assert JOB["activeDeadlineSeconds"] == 6 * 3600


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(JOBS)))
def test_every_variable_is_one_that_is_read(path: Path) -> None:
    """Each ROCKETCHAT_ and ROLECALL_ variable that a recipe names stands for something."""
    known = {f"ROLECALL_{name.upper()}" for verb in VERBS for name in options(verb)}
    known |= {*IN_CONFIG_FILE, *OTHER_VARIABLES}
    assert set(re.findall(r"\b(?:ROCKETCHAT|ROLECALL)_[A-Z_]+", path.read_text("utf-8"))) <= known


def test_the_variables_of_the_offboarding_have_values_that_can_be_read() -> None:
    """What `offboarding.env` sets is read by the command as it stands, and the token is not among it."""
    values = dotenv_values(OFFBOARDING / "offboarding.env", interpolate=False)
    assert "ROCKETCHAT_AUTH_TOKEN" not in values
    for name, value in values.items():
        if name.startswith("ROLECALL_"):
            option = options("offboard")[name.removeprefix("ROLECALL_").lower()]
            option.type_cast_value(click.Context(command("offboard")), value)


def test_the_settings_of_the_migration_are_ones_that_are_read() -> None:
    """The migration's `rolecall.toml` has only tables, keys and values that the command takes."""
    settings = read_config_file(JOBS / "migration/rolecall.toml", None, VERBS)
    for verb in settings.flags:
        settings.require_known_flags(verb, list(options(verb)))
        for name, value in settings.flags_of(verb).items():
            options(verb)[name].type_cast_value(click.Context(command(verb)), value)


def test_every_exit_code_is_one_that_there_is() -> None:
    """The table of the schedulers has each exit code of a night, and no recipe speaks of one that there is not."""
    readme = (OFFBOARDING / "README.md").read_text("utf-8")
    assert re.findall(r"^\| (\d+) \|", readme, re.MULTILINE) == [str(code.value) for code in OF_A_NIGHT]
    named = {code for path in FILES for code in re.findall(r"(?:exit|code)s? (?:with )?(\d+)", path.read_text("utf-8"))}
    assert named <= {str(code.value) for code in ExitCode}


def test_each_scheduler_takes_the_exit_codes_for_what_they_mean() -> None:
    """A locked folder is no failure to systemd and cron; Kubernetes starts no second pod after an end of our own."""
    assert settings_of("SuccessExitStatus") == [f"{ExitCode.LOCKED} {ExitCode.INTERRUPTED}"]
    [line] = scripts_in_crontab((OFFBOARDING / "crontab").read_text("utf-8"))
    assert f"case $? in {ExitCode.LOCKED})" in line
    assert JOB["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"] == [
        code.value for code in OF_A_NIGHT if code not in (ExitCode.OK, ExitCode.INTERRUPTED)
    ]


def test_every_scheduler_awaits_the_calls_under_way() -> None:
    """Between the signal to end and the kill there is more time than a run takes to end in order."""
    [timeout] = settings_of("TimeoutStopSec")
    stop = re.search(r"--stop-timeout (\d+)", (JOBS / "container/README.md").read_text("utf-8"))
    assert stop
    assert min(int(timeout), POD["terminationGracePeriodSeconds"], int(stop[1])) > grace() + 10


def test_the_token_reaches_the_service_and_the_pod_as_a_file() -> None:
    """No unit or manifest holds a token: the file that is named is the one that is mounted."""
    assert "ROCKETCHAT_AUTH_TOKEN_FILE=%d/token" in settings_of("Environment")
    assert {value.partition(":")[0] for value in settings_of("LoadCredential")} == {"token", "people"}
    [variable] = CONTAINER["env"]
    [mount] = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == "secret"]
    assert variable == {"name": "ROCKETCHAT_AUTH_TOKEN_FILE", "value": f"{mount['mountPath']}/token"}


def test_the_workers_are_given_their_files_and_no_token() -> None:
    """Systemd and Kubernetes give the worker the files of the README; the pods of one node share a name."""
    files = {"workspaces.toml", "main.token", "database-url"}
    given = [value for name, value in WORKER_SERVICE if name == "LoadCredential"]
    assert {value.partition(":")[0] for value in given} == files
    readme = (CLUSTER / "README.md").read_text("utf-8")
    assert all(f"--from-file={name}" in readme for name in files)
    environment = dict(value.split("=", 1) for name, value in WORKER_SERVICE if name == "Environment")
    assert environment["ROLECALL_WORKSPACES"] == "%d/workspaces.toml"
    assert environment["ROLECALL_DATABASE_URL_FILE"] == "%d/database-url"
    variables = {each["name"]: each for each in WORKER_CONTAINER["env"]}
    [mount] = [mount for mount in WORKER_CONTAINER["volumeMounts"] if mount["name"] == "secret"]
    assert variables["ROLECALL_DATABASE_URL_FILE"]["value"] == f"{mount['mountPath']}/database-url"
    assert f"{mount['mountPath']}/workspaces.toml" in WORKER_CONTAINER["args"]
    assert variables["ROLECALL_EGRESS"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert WORKER_POD["volumes"][0]["secret"]["secretName"] in readme


def test_the_workers_await_their_calls_and_come_back() -> None:
    """Each way to run a worker leaves time for calls in flight, and starts it again after a crash."""
    stop = {name: value for name, value in WORKER_SERVICE if name in ("TimeoutStopSec", "Restart")}
    assert int(stop["TimeoutStopSec"]) > grace() + 10
    assert stop["Restart"] == "always"
    assert WORKER_POD["terminationGracePeriodSeconds"] > grace() + 10
    for name in ("worker-1", "worker-2"):
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > grace() + 10
        assert COMPOSE["services"][name]["restart"] == "unless-stopped"


def test_the_pod_and_the_containers_of_workers_are_restricted() -> None:
    """The worker's pod has what the standard 'restricted' asks for; the containers of compose have no rights."""
    assert WORKER_POD["securityContext"]["runAsNonRoot"] is True
    assert WORKER_CONTAINER["securityContext"] == CONTAINER["securityContext"]
    for found in OUR_SERVICES.values():
        assert (found["read_only"], found["cap_drop"]) == (True, ["ALL"])
        assert "ports" not in found
    assert "ports" not in COMPOSE["services"]["db"]


def test_the_workspaces_of_the_recipes_can_be_read(tmp_path: Path) -> None:
    """The example and that of compose are read as they stand; the sandbox takes the account and its token."""
    for name, text in (
        ("example.toml", (CLUSTER / "workspaces.toml").read_text("utf-8")),
        ("compose.toml", COMPOSE["configs"]["workspaces"]["content"]),
    ):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
        [entry] = read_workspaces(tmp_path / name, pytest.fail).values()
    assert entry.load_credentials(COMPOSE["x-rolecall"]["environment"], pytest.fail) == Credentials(
        ACCOUNT.user_id, ACCOUNT.token
    )


def test_the_pod_is_restricted() -> None:
    """The pod has what the standard 'restricted' asks for, and its root is read-only."""
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert CRONJOB["concurrencyPolicy"] == "Forbid"
    assert POD["restartPolicy"] == "Never"


def test_the_image_is_that_of_this_version_and_runs_as_the_pods_user() -> None:
    """Wherever a recipe names the image, it has this version's tag; user and folder are those of the Dockerfile."""
    text = "".join(path.read_text("utf-8") for path in FILES)
    assert set(filter(IMAGE, re.findall(r"rolecall:[\w.]+", text))) == {f"rolecall:{__version__}"}
    stage = DOCKERFILE.rpartition("FROM ")[2]
    ids = POD["securityContext"]
    assert f"\nUSER {ids['runAsUser']}:{ids['runAsGroup']}\n" in stage
    assert f"\nWORKDIR {CONTAINER['workingDir']}\nVOLUME {CONTAINER['workingDir']}\n" in stage


def test_the_image_is_built_from_pinned_things_that_are_let_through() -> None:
    """The base has an exact version, all that is installed is pinned, what runs by hash; each file is let through."""
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:${PYTHON}"}
    installs = re.findall(r"pip .*?install ([^&\n]+)", DOCKERFILE)
    assert installs
    build, *runtime = installs
    assert "--constraint .ci/constraints.txt" in build
    assert all("--no-deps" in install for install in runtime)
    assert "--require-hashes --requirement .ci/runtime.txt" in re.sub(r"\s*\\\n\s*", " ", DOCKERFILE)
    let_through = re.findall(r"^!(\S+)$", (JOBS / "container/Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE)
    copied = [name for line in re.findall(r"^COPY ([^-\n]+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]]
    assert sorted(copied) == sorted(let_through)
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", ["reorganisation/reorganisation.csv", "migration/migration.jsonl"])
def test_the_job_files_of_the_recipes_can_be_used(name: str) -> None:
    """Each row of a recipe's job file is one that would be sent."""
    with open_job(str(JOBS / name)) as job:
        rows = list(job.rows())
    assert len(rows) > 2
    assert all(isinstance(row, Row) for row in rows)


@pytest.mark.parametrize("name", ["reorganisation/rooms.txt", "offboarding/people.txt"])
def test_the_lists_of_the_recipes_have_one_thing_on_each_line(name: str) -> None:
    """A list has some lines, and each is one id, name or address."""
    lines = (JOBS / name).read_text("utf-8").splitlines()
    assert len(lines) > 2
    assert all(re.fullmatch(r"[\w.@-]+", line) for line in lines)


def test_every_file_of_the_recipes_is_in_the_index() -> None:
    """`jobs/README.md` links each file of the folder; the test of the links sees to it that they lead there."""
    index = (JOBS / "README.md").read_text("utf-8")
    linked = {(JOBS / link).resolve() for link in re.findall(r"\]\(([^)#]+)\)", index) if "://" not in link}
    assert set(FILES) - {JOBS / "README.md"} <= linked


def test_every_container_setting_has_its_object() -> None:
    """What the pod takes from a secret, a map or a claim is made by the README or the manifest, under that name."""
    readme = (OFFBOARDING / "README.md").read_text("utf-8")
    [source], volumes = CONTAINER["envFrom"], {volume["name"]: volume for volume in POD["volumes"]}
    assert f"create configmap {source['configMapRef']['name']} --from-env-file=offboarding.env" in readme
    assert f"create secret generic {volumes['secret']['secret']['secretName']} --from-file=token" in readme
    claim: dict[str, Any] = manifests(OFFBOARDING / "cronjob.yaml")["PersistentVolumeClaim"]
    assert volumes["runs"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == set(volumes)
