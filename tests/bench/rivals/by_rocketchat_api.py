"""The usual client from PyPI, `rocketchat-api`: one call after the other, or in threads.

Words: job file, number of threads. Runs in an environment of its own and imports nothing from this project.
"""

import csv
import importlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def client() -> Any:
    """Make a client; its package is looked up by name, because Rolecall does not depend on it."""
    return importlib.import_module("rocketchat_API.rocketchat").RocketChat(
        user_id=os.environ["ROCKETCHAT_USER_ID"],
        auth_token=os.environ["ROCKETCHAT_AUTH_TOKEN"],
        server_url=os.environ["ROCKETCHAT_URL"],
    )


def main(job: str, threads: int) -> None:
    """Send every row of a job."""
    with Path(job).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    rocket = client()

    def remove(row: list[str]) -> None:
        rocket.groups_remove_leader(row[0], row[1])

    if threads == 1:
        for row in rows:
            remove(row)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(remove, rows):
            pass


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
