"""Small sizes of what `make bench` measures, as ratios in one run, with margins that a busy machine does not break."""

import pytest

from tests.bench.databases import databases
from tests.bench.jobs import pair
from tests.bench.memory import memory
from tests.bench.pacing import OVER_THE_SOCKET, SIMULATED, most_in_a_second, rates, windows
from tests.bench.report import filled, ratio, table
from tests.bench.shared_window import Sharing, Window, divided, ideal, simulate
from tests.bench.simulated_run import LATENCY, SimulatedJob, run_simulated
from tests.bench.startup import CLIENT, startup
from tests.bench.throughput import throughput
from tests.bench.whole_jobs import SIMULATED as WHOLE_JOBS
from tests.bench.whole_jobs import ideal_of_all_rows

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]


def silent(text: str) -> None:
    """Say nothing."""


def test_keeps_up_with_a_bare_loop() -> None:
    """With reports, ledger and all, a run has at least 0.4 of the speed of a loop that only posts."""
    found = throughput(10_000, 3, [0.0], silent, only="rolecall,bare aiohttp, asyncio")
    speed = ratio(found["series"][0]["taken"], "rolecall", "bare aiohttp, asyncio")
    assert speed is not None
    assert speed >= 0.4


def test_postgresql_keeps_up_with_sqlite() -> None:
    """Intents and outcomes in a database on the same machine reach at least half of SQLite's speed."""
    found = databases(5_000, 3, 20_000, silent)
    for name in found["submit"]:
        speed = ratio(found["speed"], name, "SQLite")
        assert speed is not None
        assert speed >= 0.5


def test_memory_is_flat() -> None:
    """Fifty times the rows take at most 25 MB more."""
    small, large = memory([1_000, 50_000], silent)["runs"]
    assert large["peak_mb"] - small["peak_mb"] < 25


def test_window_is_filled_and_never_overrun() -> None:
    """Over a real socket a window of 10 calls a second is used up, without a single 429."""
    over_socket = windows(OVER_THE_SOCKET[:1], silent)[0]
    assert over_socket["refused"] == 0
    assert over_socket["ratio"] < 1.1


@pytest.mark.parametrize("course", SIMULATED, ids=str)
def test_simulated_windows_are_never_overrun(course: tuple[Window, int]) -> None:
    """In a simulation of each window there is no 429, and the time is near the ideal."""
    window, rows = course
    outcome = simulate([rows], window)
    assert outcome.refused == 0
    assert outcome.seconds / ideal(rows, window) < 1.15


def test_clients_that_divide_a_window_are_never_refused() -> None:
    """Eight clients with a share of the window each get no 429, those without get many."""
    window = Window(600, 60.0)
    rows = [3 * share for share in divided(window.limit, 8)]
    assert simulate(rows, window, sharing=Sharing.WINDOW).refused == 0
    assert simulate(rows, window).refused > 0


@pytest.mark.parametrize(("name", "job"), WHOLE_JOBS, ids=[name for name, _ in WHOLE_JOBS])
def test_a_whole_job_ends_before_any_script_that_sends_every_row(name: str, job: SimulatedJob) -> None:
    """Where some rows are no leaders, a limited run ends before the ideal of sending each row, without a 429."""
    end = run_simulated(job, read_roles=True)
    assert end.refused == 0
    assert end.changes == job.rows * job.leaders // 100
    assert end.seconds < 0.75 * ideal_of_all_rows(job)


def test_reading_costs_little_where_every_row_is_sent() -> None:
    """At 40 rows a room, all of them leaders, reading the roles first takes four responses longer at most."""
    read, unread = (run_simulated(SimulatedJob(1_200, 100), read_roles=reads) for reads in (True, False))
    assert read.seconds < unread.seconds + 4 * LATENCY


def test_own_rate_is_held() -> None:
    """200 a second are held within 2 %, and no second has more than 1.05 of it."""
    (found,) = rates([(200.0, 1000)], silent)
    assert abs(found["achieved"] / 200 - 1) < 0.02
    assert found["worst_second"] <= 210


def test_a_start_takes_little_more_than_the_import_of_the_http_client() -> None:
    """The version comes in less than half of that time, and a run sends its first request before twice of it."""
    found = startup(3, silent)
    client = min(found[CLIENT])
    assert min(found["--version"]) < client / 2
    assert min(found["preflight"]) < 2 * client


def test_worst_second_slides() -> None:
    """The worst second is found wherever it begins; calls exactly one second apart do not share one."""
    assert most_in_a_second([0.0, 0.9, 1.0, 1.5, 1.8, 3.0]) == 4
    assert most_in_a_second([0.0, 1.0, 2.0]) == 1


def test_pairs_have_ids_of_the_usual_length() -> None:
    """Ids are as long as Rocket.Chat's, and eight rows share a group."""
    assert [len(text) for text in pair(123_456)] == [17, 17]
    assert pair(7)[0] == pair(0)[0] != pair(8)[0]


def test_documents_are_filled_between_markers() -> None:
    """Only what is known is replaced, and again when it is done again."""
    document = "a\n<!-- bench: rate -->\nold\n<!-- end -->\nb\n<!-- bench: other -->\nkept\n<!-- end -->\n"
    once = filled(document, {"rate": table(("x", "y"), [["1", "2"]])})
    assert "old" not in once
    assert "| 1 | 2 |" in once
    assert "kept" in once
    assert filled(once, {"rate": table(("x", "y"), [["1", "2"]])}) == once
