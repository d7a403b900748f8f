"""`make demo-cluster` does what it says, in any working directory, and leaves no process behind."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.e2e


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of the processes whose working directory is a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.timeout(240)
def test_a_killed_worker_costs_no_row(tmp_path: Path) -> None:
    """One of two workers is killed in the middle, and the report has every row of the job once, with an outcome."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'worker'}"}
    played = subprocess.run(
        [sys.executable, "-m", "tests.demo_cluster"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert "kill -KILL" in played.stdout
    folder = tmp_path / "demo-cluster"
    with (folder / "job.csv").open(newline="") as job, (folder / "report/report.csv").open(newline="") as report:
        pairs = [(row["roomId"], row["userId"]) for row in csv.DictReader(job)]
        rows = list(csv.DictReader(report))
    assert [(row["roomId"], row["userId"]) for row in rows] == pairs
    assert {row["outcome"] for row in rows} <= {"removed", "not_leader", "failed", "unknown"}
    unknown = [row for row in rows if row["outcome"] == "unknown"]  # in flight at the kill, and refused when sent again
    assert len(unknown) <= 12
    assert all(row["errorType"] or row["message"] for row in unknown)
    assert processes_in(folder) == []
