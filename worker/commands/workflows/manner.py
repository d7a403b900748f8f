"""How a verb that calls a workspace shall go about it: the options that all such verbs share, as values."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from worker.commands.terminal.showing import Voice
from worker.commands.workflows.connection import Reach
from worker.engine.settings import Settings


class Manner(NamedTuple):
    """The shared options, sorted."""

    settings: Settings
    reach: Reach
    voice: Voice


def manner(flags: Mapping[str, Any]) -> Manner:
    """Sort the flags of `run_options` or `reading_options`; each bears the name of the field that it is for."""
    reach = {field.name for field in fields(Reach)}
    return Manner(
        Settings(**{name: value for name, value in flags.items() if name not in reach and name not in Voice._fields}),
        Reach(**{name: flags[name] for name in reach}),
        Voice(**{name: flags[name] for name in Voice._fields}),
    )
