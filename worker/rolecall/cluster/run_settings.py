"""The settings of a run as JSON, as the database has them: what a worker on any host must do in the same way."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rolecall.engine.settings import FailureThreshold, Settings

ENGINE = "engine"
"""The key of the engine's settings among those of a run."""
BASELINE = "baseline"
"""The key of the rows that were done and had failed when the run was released or resumed: they stop nothing."""
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
