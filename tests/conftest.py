"""What all tests share."""

import pytest


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their parameter: content such as gzip output differs between two collections.

    Parallel runs need the same ids in each process, so an id must not depend on time, order or chance.
    """
    return argname if isinstance(val, bytes) else None
