"""Completion in the shell: the scripts, driven by the shells where they are installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rolecall.cli.main import VERBS
from tests.support.command import ROLECALL, rolecall
from tests.unit.test_layers import HEAVY

PATH = f"{ROLECALL.parent}:{os.environ['PATH']}"
ASK_BASH = """
source <(rolecall completion bash) || exit
complete -p rolecall >/dev/null || exit
compopt() { echo "<${@: -1}>"; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_rolecall_completion rolecall
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Prints what bash would offer for the words given, the last of which is being typed; <default> stands for files."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a working directory in which nothing can be read without a complaint."""
    (tmp_path / "rolecall.toml").write_text("this is no TOML [")
    (tmp_path / ".env").write_bytes(b"ROCKETCHAT_AUTH_TOKEN=\xff")
    (tmp_path / ".env").chmod(0o644)
    return tmp_path


FIRST_WORDS = list(dict.fromkeys(verb.partition(" ")[0] for verb in VERBS))


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ([""], FIRST_WORDS),
        (["runs", "re"], ["<dirnames>", "resume", "report"]),
        (["runs", "--li"], ["--limit"]),
        (["runs", "resume", "17", "--retry"], ["--retry-failed"]),
        (["rep"], ["report"]),
        (["--p"], ["--profile"]),
        (["--config", ""], ["<default>"]),
        (["--profile", "test", "run", "--rat"], ["--rate"]),
        (["run", "--no-room"], ["--no-room-cache"]),
        (["run", "--report-format", ""], ["jsonl", "json"]),
        (["run", "--report-format", "jsonl", "--report-format=json"], ["jsonl", "json"]),
        (["run", "--yes", "jo"], ["<default>"]),
        (["run", "--out", ""], ["<dirnames>"]),
        (["run", "--ca-file", ""], ["<default>"]),
        (["report", ""], ["<dirnames>"]),
        (["config", "sand"], ["sandbox"]),
        (["template", ""], ["csv", "json"]),
        (["template", "csv", "-o", ""], ["<default>"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_bash_completes(folder: Path, typed: list[str], offered: list[str]) -> None:
    """Bash, with the script sourced, offers commands, options, choices and files; no file of the folder is read."""
    words = ["bash", "--norc", "-c", ASK_BASH, "bash", "rolecall", *typed]
    asked = subprocess.run(words, cwd=folder, env={"PATH": PATH}, capture_output=True, text=True, check=True)
    assert [line for line in asked.stdout.splitlines() if line] == offered
    assert asked.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_each_script_is_printed_whatever_the_folder_holds(folder: Path, shell: str) -> None:
    """A shell reads the script at its start, in any folder: no settings are read, nothing is warned of."""
    ended = await rolecall("completion", shell, cwd=folder, env={"PATH": PATH})
    assert (ended.code, ended.stderr) == (0, "")
    assert f"_ROLECALL_COMPLETE={shell}_complete" in ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_read_its_script(shell: str) -> None:
    """A shell that is installed finds no fault in the script's syntax."""
    if not (program := shutil.which(shell)):
        pytest.skip(f"there is no {shell} here")
    script = subprocess.run([ROLECALL, "completion", shell], env={"PATH": PATH}, capture_output=True, check=True).stdout
    subprocess.run([program, "-n"], input=script, check=True)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
async def test_other_shells_are_answered_too(folder: Path, shell: str) -> None:
    """What the scripts of zsh and fish call gives each word with its help."""
    words = {"COMP_WORDS": "rolecall run --rat", "COMP_CWORD": "2" if shell == "zsh" else "--rat"}
    ended = await rolecall(cwd=folder, env={"PATH": PATH, "_ROLECALL_COMPLETE": f"{shell}_complete", **words})
    assert (ended.code, ended.stderr) == (0, "")
    assert "--rate" in ended.stdout
    assert "evenly" in ended.stdout


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
def test_fish_shows_the_whole_help(folder: Path) -> None:
    """A comma does not end the help that fish shows beside a word."""
    program = "rolecall completion fish | source; complete -C 'rolecall run --rat'"
    env = {"PATH": PATH, "HOME": str(folder)}
    asked = subprocess.run(["fish", "--no-config", "-c", program], env=env, capture_output=True, text=True, check=True)
    assert asked.stdout.startswith("--rate\tCalls over time, at most, spread evenly.")


def test_completing_is_quick(folder: Path) -> None:
    """No heavy library is imported for it, though the help of every command is asked for."""
    program = (
        "import json, sys\n"
        "from rolecall.cli.main import main\n"
        "try:\n    main([])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    env = {"PATH": PATH, "_ROLECALL_COMPLETE": "bash_complete", "COMP_WORDS": "rolecall ", "COMP_CWORD": "1"}
    asked = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    *offered, heavy = asked.stdout.splitlines()
    assert offered == [f"plain,{word}" for word in FIRST_WORDS]
    assert json.loads(heavy) == []
