"""Fixture of the tests of job files and reports: real files, read to their end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rolecall.files.input.job import open_job
from rolecall.models import JobRow

Read = Callable[..., list[JobRow]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that writes a job file and reads all its rows."""

    def read(content: str | bytes, name: str = "job.csv") -> list[JobRow]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with open_job(str(path)) as job:
            return list(job.rows())

    return read
