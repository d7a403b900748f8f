"""The metrics of a run: Prometheus' own parser reads back the same values, with any names."""

import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from rolecall.files.output.prometheus import (
    MAX_LABEL_LENGTH,
    RunMetrics,
    format_metrics,
    is_foreign_file,
    write_metrics,
    write_start,
)
from rolecall.files.output.text_files import SymlinkError
from rolecall.models import Outcome
from rolecall.text import sanitise

RUN = RunMetrics(
    "https://chat.example.org",
    "groups.removeLeader",
    "leavers.csv",
    1_772_357_400.25,
    1_772_357_472.5,
    1,
    [("removed", "", 1_234_567), ("failed", "room_not_found", 12)],
)
SAMPLE = re.compile(r'[a-z_]+\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\} -?\d+(\.\d+)?')

hostile = st.text(max_size=40) | st.sampled_from(
    ['"', "\\", "\n", '\\"', "\\n", "\r\n", '"} 1\n# TYPE x counter', "\u2028"]
)
rows = st.dictionaries(
    st.tuples(st.sampled_from([outcome.value for outcome in Outcome]), st.sampled_from(["", "timeout", "refused"])),
    st.integers(0, 10**9),
)


def read(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the samples of each family by their labels."""
    families = text_string_to_metric_families(text)
    return {
        family.name: {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
        for family in families
    }


def test_a_run_has_its_times_exit_code_and_rows() -> None:
    """Times, duration, exit code and rows have their own metrics, each with workspace, operation and job."""
    found = read(format_metrics(RUN))
    common = (("job", "leavers.csv"), ("operation", "groups.removeLeader"), ("workspace", "https://chat.example.org"))
    assert found["rolecall_last_run_start_timestamp_seconds"] == {common: 1_772_357_400.25}
    assert found["rolecall_last_run_end_timestamp_seconds"] == {common: 1_772_357_472.5}
    assert found["rolecall_last_run_duration_seconds"] == {common: 72.25}
    assert found["rolecall_last_run_exit_code"] == {common: 1}
    assert sorted(found["rolecall_last_run_rows"].values()) == [12, 1_234_567]
    failed = tuple(sorted((*common, ("outcome", "failed"), ("reason", "room_not_found"))))
    assert found["rolecall_last_run_rows"][failed] == 12


@given(hostile, hostile, hostile, st.floats(0, 4e9), st.floats(0, 1e6), st.integers(0, 255), rows)
def test_any_names_and_values_can_be_read_back(
    workspace: str,
    operation: str,
    job: str,
    started_at: float,
    seconds: float,
    code: int,
    counted: dict[tuple[str, str], int],
) -> None:
    """With any labels, each line is a comment or a sample, and the parser returns the same values."""
    ended = RunMetrics(
        workspace,
        operation,
        job,
        started_at,
        started_at + seconds,
        code,
        [(outcome, reason, number) for (outcome, reason), number in counted.items()],
    )
    text = format_metrics(ended)
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert re.match(r"# (HELP|TYPE) rolecall_last_run_\w+ ", line) or SAMPLE.fullmatch(line), line
    found = read(text)
    labels = {"workspace": workspace, "operation": operation, "job": job}
    cleaned = {name: sanitise(value, limit=MAX_LABEL_LENGTH) for name, value in labels.items()}
    assert found["rolecall_last_run_exit_code"] == {tuple(sorted(cleaned.items())): code}
    assert found["rolecall_last_run_duration_seconds"].popitem()[1] == pytest.approx(seconds, abs=0.01)
    rows_read = {
        (dict(pairs)["outcome"], dict(pairs)["reason"]): value
        for pairs, value in found.get("rolecall_last_run_rows", {}).items()
    }
    assert rows_read == counted


def test_the_file_is_whole_and_others_may_read_it(tmp_path: Path) -> None:
    """An older file is replaced in one step, with mode 0644 and no temporary file left."""
    path = tmp_path / "rolecall.prom"
    path.write_text("old")
    path.chmod(0o600)
    write_metrics(path, RUN)
    assert path.read_text("utf-8") == format_metrics(RUN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_no_link_is_written_through(tmp_path: Path) -> None:
    """A symbolic link, which others may create in a shared folder, is refused."""
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "rolecall.prom").symlink_to("victim")
    with pytest.raises(SymlinkError):
        write_metrics(tmp_path / "rolecall.prom", RUN)
    assert (tmp_path / "victim").read_text() == "kept"


def test_only_a_file_of_ours_may_be_replaced(tmp_path: Path) -> None:
    """A missing file and an older metrics file are not foreign; other files and folders are."""
    path = tmp_path / "rolecall.prom"
    assert not is_foreign_file(path)
    write_metrics(path, RUN)
    assert not is_foreign_file(path)
    path.write_text("# HELP node_load1\n")
    assert is_foreign_file(path)
    assert is_foreign_file(tmp_path)


def test_a_start_keeps_what_is_known_of_the_last_run(tmp_path: Path) -> None:
    """While a command runs, the file has its start beside the metrics of the last one; its end replaces both."""
    path = tmp_path / "m.prom"
    write_start(path, "https://a.example", "offboard", "people", 5.0)
    since = 'rolecall_running_since_timestamp_seconds{workspace="https://a.example",operation="offboard",job="people"} '
    assert f"{since}5\n" in path.read_text()
    last = RunMetrics("https://a.example", "offboard", "people", 5.0, 6.0, 0, [])
    write_metrics(path, last)
    for started in (7.0, 8.0):  # the first of these is killed
        write_start(path, "https://a.example", "offboard", "people", started)
    assert path.read_text().startswith(format_metrics(last))
    assert path.read_text().count(since) == 1
    assert not is_foreign_file(path)
    write_metrics(path, last)
    assert path.read_text() == format_metrics(last)
