"""The ids of the tests."""

import os
import subprocess
import sys


def test_two_collections_give_the_same_ids() -> None:
    """No test id depends on time, order or chance: another second and another hash seed give the same list."""
    first, second = _collect("1"), _collect("2")
    assert len(first) > 4000
    assert first == second


def _collect(hash_seed: str) -> list[str]:
    """Return the ids of all tests, as a process of its own collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, env={**environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if "::" in line]
