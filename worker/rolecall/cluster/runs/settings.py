"""The settings of a run as JSON, as the database has them: what a worker on any host must do in the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from rolecall.engine.removal_limits import RemovalLimits, RemovalThreshold
from rolecall.engine.settings import PERCENT_AFTER, FailureThreshold, Settings

ENGINE = "engine"
"""The key of the engine's settings among those of a run."""
SUBMITTED_AS = "submitted_as"
"""The key of the username of the account with which the run was prepared."""
FOLLOWS_PLAN = "follows_plan"
"""The key of whether every row was planned to be sent: one whose state does not fit that is not sent."""
NEVER_STOPS = FailureThreshold(100, is_percent=True)
"""The threshold of one shard: failures are counted over all workers."""


def settings_to_json(settings: Settings) -> dict[str, object]:
    """Return the settings for the database."""
    values: dict[str, object] = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {**values, "max_failures": str(settings.max_failures)}


def settings_from_json(values: Mapping[str, Any]) -> Settings:
    """Return the settings of a run; fields of a newer version are left out. Raises ValueError."""
    known = {field.name: values[field.name] for field in fields(Settings) if field.name in values}
    if "max_failures" in known:
        known["max_failures"] = FailureThreshold.parse(known["max_failures"])
    return Settings(**known)


def exceeds(threshold: FailureThreshold, done: int, failed: int, percent_after: int) -> bool:
    """Return whether so many failed rows, of those that are done, are above the threshold."""
    if threshold.is_percent:
        return done >= percent_after and failed * 100 > threshold.limit * done
    return failed > threshold.limit


def has_too_many(settings: Mapping[str, Any], done: int, failed: int) -> bool:
    """Return whether so many failed rows, of those that are done, are above the threshold of the run."""
    return exceeds(settings_from_json(settings.get(ENGINE, {})).max_failures, done, failed, PERCENT_AFTER)


OPERATION, LIMITS, REASON, SHARD_ROWS_KEY = "operation", "limits", "reason", "shard_rows"
"""The keys of what a schedule makes its runs with."""


def limits_to_json(limits: RemovalLimits) -> list[object]:
    """Return the limits of removals for the database."""
    in_all, per_room = (None if each is None else str(each) for each in (limits.in_all, limits.per_room))
    return [in_all, per_room, limits.keep, limits.from_removals]


def limits_from_json(values: Sequence[Any]) -> RemovalLimits:
    """Return the limits of removals. Raises ValueError."""
    in_all, per_room = (None if each is None else RemovalThreshold.parse(each) for each in values[:2])
    return RemovalLimits(in_all, per_room, *values[2:])
