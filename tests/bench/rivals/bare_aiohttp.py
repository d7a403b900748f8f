"""64 workers on one aiohttp session that post and look at the status, and nothing else: no report, no record, no retry.

The obvious script: `session.post(url, json=...)`. Words: job file, `asyncio` or `uvloop`.
"""

import asyncio
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp


async def work(session: aiohttp.ClientSession, url: str, rows: Iterator[list[str]]) -> None:
    """Post rows until there are none left."""
    for room, user in rows:
        async with session.post(url, json={"roomId": room, "userId": user}) as answer:
            await answer.read()
            if answer.status != 200:
                raise SystemExit(f"{answer.status} for {room} {user}")


async def main(job: str) -> None:
    """Post every row of a job."""
    url = os.environ["ROCKETCHAT_URL"] + "/api/v1/groups.removeLeader"
    headers = {"X-User-Id": os.environ["ROCKETCHAT_USER_ID"], "X-Auth-Token": os.environ["ROCKETCHAT_AUTH_TOKEN"]}
    with Path(job).open(newline="", encoding="utf-8") as file:  # noqa: ASYNC230 - it is what such scripts do
        rows = csv.reader(file)
        next(rows)
        async with aiohttp.ClientSession(headers=headers) as session:
            await asyncio.gather(*(work(session, url, rows) for _ in range(64)))


if __name__ == "__main__":
    if sys.argv[2] == "uvloop":
        import uvloop

        uvloop.run(main(sys.argv[1]))
    else:
        asyncio.run(main(sys.argv[1]))
