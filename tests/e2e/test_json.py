"""`--json`: one JSON document on standard output and nothing else, for every command that prints a result."""

import json
from pathlib import Path
from typing import Any

import pytest

from rolecall.sandbox import Sandbox
from tests.support.command import Ended, environment, rolecall, write_job
from tests.support.organisation import FAST, LEADERS, NO_LEADER, RUN, organisation


def document(ended: Ended, code: int = 0) -> dict[str, Any]:
    """Return the one document on standard output."""
    assert ended.code == code, ended.stderr
    found = json.loads(ended.stdout)
    assert isinstance(found, dict)
    return found


async def test_a_job_from_find_to_undo(tmp_path: Path) -> None:
    """Each command of a whole job prints its result, with the exit code that it ends with."""
    async with Sandbox(organisation()) as sandbox:
        env = environment(sandbox.url)

        async def run(*words: str, code: int = 0) -> dict[str, Any]:
            return document(await rolecall(*words, "--json", cwd=tmp_path, env=env), code)

        job = str(write_job(tmp_path / "job.csv", [*LEADERS, NO_LEADER]))
        found = await run("find", "--user", "@legal.lead", "--out", "found.csv", *FAST)
        checked = await run("check", job, "--save-plan", "plan.jsonl", *FAST)
        dry = await run("run", job, "--dry-run", "--out", "dry", *RUN)
        ran = await run("run", job, "--out", "out", *RUN)
        again = await run("run", job, "--out", "out", "--quiet", *RUN)
        reported = await run("report", "out")
        state = await run("status", "out")
        verified = await run("verify", "out", *FAST)
        undone = await run("undo", "out", *RUN)
        drifted = await run("verify", "out", *FAST, code=6)
    assert (found["rows"], found["output"], found["gaps"]) == (4, "found.csv", [])
    assert (checked["changes"], checked["changedRooms"], checked["plan"]) == (2, 2, "plan.jsonl")
    assert checked["outcomes"]["would_remove"] == dry["outcomes"]["would_remove"] == ran["outcomes"]["removed"] == 2
    assert "removed" not in checked["outcomes"]
    assert "would_remove" not in ran["outcomes"]
    assert (ran["sent"], again["sent"], ran["folder"], ran["stop"], ran["error"]) == (True, False, "out", "", "")
    assert {**reported, "sent": True, "error": ""} == ran
    assert (state["state"], state["outcomes"]["removed"]) == ("finished", 2)
    assert verified["rows"] == {"agrees": 3, "differs": 0, "settled": 0, "open": 0, "unread": 0}
    assert (undone["outcomes"]["added"], undone["folder"]) == (2, "out/undo")
    assert (drifted["rows"]["differs"], drifted["exitCode"], drifted["undo"]) == (2, 6, "out/undo")
    assert {row["outcome"] for row in drifted["first"]} == {"removed"}


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("demo", "--rows", "20", "--out", "demo"), "rows", 20),
        (("config", "run"), "profile", None),
    ],
)
async def test_commands_that_call_no_workspace(tmp_path: Path, words: tuple[str, ...], key: str, value: object) -> None:
    """A demo and the configuration are one document as well."""
    ended = await rolecall(*words, "--json", cwd=tmp_path, env=environment("http://127.0.0.1:9"))
    assert document(ended)[key] == value


async def test_find_needs_a_file_for_its_job(tmp_path: Path) -> None:
    """The job and the summary cannot both be on standard output."""
    ended = await rolecall("find", "--all-rooms", "--json", cwd=tmp_path, env=environment("http://127.0.0.1:9"))
    assert (ended.code, ended.stdout) == (2, "")
    assert "--out must name a file" in ended.stderr


async def test_a_refusal_prints_nothing_there(tmp_path: Path) -> None:
    """What ends before its work has no document: the exit code and standard error say why."""
    job = write_job(tmp_path / "job.csv", LEADERS)
    ended = await rolecall("run", job, "--json", cwd=tmp_path, env=environment("http://127.0.0.1:9"))
    assert (ended.code, ended.stdout) == (2, "")
    assert "Nothing usable answers" in ended.stderr


def events(ended: Ended) -> list[dict[str, Any]]:
    """Return the events on standard error, where nothing else may stand."""
    found = [json.loads(line) for line in ended.stderr.splitlines()]
    assert all({"event", "level", "timestamp"} <= event.keys() for event in found), ended.stderr
    return found


@pytest.mark.parametrize(
    ("words", "settings", "code", "detail"),
    [
        (("run", "job.csv", "--log-format", "json", "--rate", "fast"), {}, 2, "Invalid value for '--rate'"),
        (("run", "--log-format=json", "--rtae", "1"), {}, 2, "No such option '--rtae'"),
        (("check", "missing.csv", "--log-format", "json"), {}, 2, "missing.csv: there is no such file"),
        (("run", "job.csv"), {"ROLECALL_LOG_FORMAT": "json", "ROLECALL_RATE": "x"}, 2, "ROLECALL_RATE"),
        (("run", "job.csv", "--log-format", "json"), {"ROCKETCHAT_AUTH_TOKEN": ""}, 2, "ROCKETCHAT_AUTH_TOKEN"),
        (("verify", "nowhere", "--log-format", "json"), {}, 2, "nowhere"),
        (("undo", ".", "--log-format", "json"), {}, 2, "contains no run"),
    ],
)
async def test_with_json_lines_an_error_is_an_event(
    tmp_path: Path, words: tuple[str, ...], settings: dict[str, str], code: int, detail: str
) -> None:
    """With `--log-format json`, also from the environment, a refusal is one event with the exit code."""
    write_job(tmp_path / "job.csv", LEADERS)
    ended = await rolecall(*words, cwd=tmp_path, env=environment("http://localhost:1", **settings))
    assert (ended.code, ended.stdout) == (code, "")
    (event,) = events(ended)
    assert (event["event"], event["level"], event["exit_code"]) == ("error", "error", code)
    assert detail in event["detail"]


async def test_with_json_lines_nothing_else_is_on_stderr(tmp_path: Path) -> None:
    """Warnings, notices, gaps and the end of a run are events; the end carries exit code, folder and counts."""
    job = str(write_job(tmp_path / "job.csv", [*LEADERS, NO_LEADER, ("nowhere", "nobody")]))
    (tmp_path / "rolecall.toml").write_text('[find]\nlog-format = "json"\n')
    async with Sandbox(organisation()) as sandbox:
        env = environment(sandbox.url, ROLECALL_UNKNOWN="1")
        found = await rolecall("find", "--user", "@legal.lead", "--user", "@no.one", *FAST, cwd=tmp_path, env=env)
        env["ROLECALL_LOG_FORMAT"] = "json"
        checked = await rolecall("check", job, *FAST, cwd=tmp_path, env=env)
        ran = await rolecall("run", job, "--out", "out", "--json", *RUN, cwd=tmp_path, env=env)
        verified = await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env)
        undone = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
        again = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
    assert (found.code, checked.code, ran.code, verified.code, undone.code, again.code) == (1, 1, 1, 0, 0, 2)
    assert found.stdout.startswith("roomId,userId")
    assert {"notice"} == {event["event"] for event in (*events(found), *events(checked), *events(verified))}
    assert [event["event"] for event in events(again)] == ["notice", "error"]  # of the unknown variable
    summary = document(ran, 1)
    end = events(ran)[-1]
    assert (end["event"], end["exit_code"], end["folder"]) == ("run ended", 1, "out")
    assert {word: end[word] for word in ("removed", "not_leader", "failed")} == {
        word: summary["outcomes"][word] for word in ("removed", "not_leader", "failed")
    }
    assert (tmp_path / "out/run.log.jsonl").read_text().splitlines()[-1] == ran.stderr.splitlines()[-1]
