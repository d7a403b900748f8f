"""A seed that shows each defect soon; an outdated one makes the tests slower, not wrong."""

KNOWN_SEEDS: dict[str, int] = {}
