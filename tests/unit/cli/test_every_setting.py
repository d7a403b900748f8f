"""Every option of every command is a flag, a `ROLECALL_` variable and a key of its table in `rolecall.toml`."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource

from rolecall.cli.config.config_file import ConfigFile, read_config_file
from rolecall.cli.guard_options import MaxRemovals
from rolecall.cli.list_option import WordList
from rolecall.cli.main import VERBS, rolecall
from rolecall.cli.options import MaxFailures, Rate


def command(verb: str) -> click.Command:
    """Give a verb's command."""
    found = rolecall.get_command(click.Context(rolecall), verb)
    assert found is not None
    return found


OPTIONS = [(verb, option) for verb in VERBS for option in command(verb).params if isinstance(option, click.Option)]
EACH_OPTION = pytest.mark.parametrize(
    ("verb", "option"), OPTIONS, ids=[f"{verb}-{option.opts[0]}" for verb, option in OPTIONS]
)


def sample(option: click.Option, default: object, folder: Path) -> Any:
    """Give a value that the option takes and that is not its default."""
    kind = option.type
    if option.is_flag:
        return not default
    if isinstance(kind, click.Choice):
        return next(choice for choice in kind.choices if choice != default)
    if isinstance(kind, click.IntRange | click.FloatRange):
        return next(number for number in ((kind.min or 0) + 1, (kind.min or 0) + 2) if number != default)
    if isinstance(kind, click.Path):
        (folder / "there").mkdir() if kind.file_okay is False else (folder / "there").touch()
        return str(folder / "there")
    if isinstance(kind, WordList):
        return kind.known[0]
    return {Rate: "7/m", MaxFailures: "7%", MaxRemovals: "7%"}.get(type(kind), "7")


def taken(
    verb: str, option: click.Option, words: list[str], file: ConfigFile | None = None
) -> tuple[Any, ParameterSource | None]:
    """Give what the option comes to, and from where, with these words behind the command."""
    alone = click.Command(verb, params=[option])
    flags = file.flags_of(verb) if file else {}
    settings = command(verb).context_settings
    with alone.make_context(verb, [*words], default_map=flags, **settings) as ctx:
        return ctx.params[str(option.name)], ctx.get_parameter_source(str(option.name))


@EACH_OPTION
def test_an_option_is_flag_variable_and_key(
    verb: str, option: click.Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same value in each of the three places comes to the same, and none is passed over."""
    flag = f"--{str(option.name).replace('_', '-')}"
    assert option.opts[0] == flag, "the flag, the variable and the key bear one name"
    default = None if option.required else taken(verb, option, [])[0]
    value = sample(option, default, tmp_path)
    words = [flag, str(value)] if not option.is_flag else [flag if value else option.secondary_opts[0]]
    by_flag, source = taken(verb, option, words)
    assert source is ParameterSource.COMMANDLINE
    assert by_flag != default, "the sample is the default"
    path = tmp_path / "rolecall.toml"
    text = {True: "true", False: "false"}.get(value, f"'{value}'") if isinstance(value, bool) else f"'{value}'"
    path.write_text(f'["{verb}"]\n{flag.removeprefix("--")} = {f"[{text}]" if option.multiple else text}\n')
    file = read_config_file(path, None, VERBS)
    assert taken(verb, option, [], file) == (by_flag, ParameterSource.DEFAULT_MAP)
    monkeypatch.setenv(f"ROLECALL_{str(option.name).upper()}", str(value))
    assert taken(verb, option, [], file) == (by_flag, ParameterSource.ENVIRONMENT)
    assert taken(verb, option, words, file) == (by_flag, ParameterSource.COMMANDLINE)


def test_a_variable_means_one_thing() -> None:
    """Commands whose options share a name share its variable, so they must take the same kind of value.

    `out` is where the result goes, for every command: the directory of a run, the file of `find` and `template`.
    """
    kinds: dict[str, set[str]] = {}
    for _, option in OPTIONS:
        kinds.setdefault(str(option.name), set()).add(option.type.name)
    assert {name: kind for name, kind in kinds.items() if len(kind) > 1} == {"out": {"directory", "file"}}
    assert len(kinds) > 15
