"""The HTML report as a file: complete, self-contained, and safe against text from servers and job files."""

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.display.html_report import SessionSpan, WaitStats, html_report
from rolecall.models import Outcome, Result
from tests.unit.display.html_report.making import START, context, data, result, written

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)>",
    "' onclick='alert(1)",
    '" autofocus onfocus="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil\u2028\x00\x1b[31m",
    "lone \ud800 surrogate",
    "&lt;b&gt;",
]
VOID = {"meta", "link", "br", "input", "img", "hr", "rect", "path"}


class Reader(HTMLParser):
    """Record every element with its attributes; fail at an end tag without its start tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        optional = {"option"}
        while self.open and self.open[-1] != tag and self.open[-1] in optional:
            self.open.pop()
        assert self.open.pop() == tag

    def all(self, *tags: str) -> Iterator[dict[str, str | None]]:
        """Return the attributes of each element with one of the tags."""
        return (attributes for tag, attributes in self.found if tag in tags)


NOT_OF_A_REMOVAL = ("added", "already_", "not_moder", "not_own", "would_")


def mixed(rows: int = 60) -> list[Result]:
    """Return rows of every outcome that removing the leader role can have."""
    outcomes = [outcome for outcome in Outcome if not outcome.startswith(NOT_OF_A_REMOVAL)]
    reasons = {Outcome.FAILED: "room_archived", Outcome.INVALID: "not_json", Outcome.UNKNOWN: "timeout"}
    return [result(n, outcomes[n % len(outcomes)], reasons.get(outcomes[n % len(outcomes)], "")) for n in range(rows)]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_makes_no_element(hostile: str) -> None:
    """Hostile text in room, user, reason, message, account, folder or address adds no element to the page."""
    harmless = Reader(written(mixed(), run="x", workspace="x", spans=[SessionSpan(START, None, "x", "x")])).found
    rows = [
        row._replace(room_id=f"{row.room_id}{hostile}", user_id=hostile, message=hostile, error_type=hostile)
        for row in mixed()
    ]
    text = written(rows, run=hostile, workspace=hostile, spans=[SessionSpan(START, None, hostile, hostile)])
    reader = Reader(text)
    assert [tag for tag, _ in reader.found] == [tag for tag, _ in harmless]
    assert [sorted(attributes) for _, attributes in reader.found] == [sorted(attributes) for _, attributes in harmless]
    assert reader.open == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=1, max_size=5))
def test_any_text_can_be_read_from_the_rows(texts: list[tuple[str, str, str]]) -> None:
    """The rows are valid JSON for any text, and characters that are not unsafe stay the same."""
    rows = [result(n, room_id=room, user_id=user, message=said) for n, (room, user, said) in enumerate(texts)]
    for row, (room, user, said) in zip(data(written(rows), "rows"), texts, strict=True):
        for cell, text in ((row[1], room), (row[2], user), (row[9], said)):
            assert len(cell) == len(text)
            assert all(ours in (theirs, "\ufffd") for ours, theirs in zip(cell, text, strict=True))


def test_the_policy_allows_exactly_this_style_and_this_script() -> None:
    """The Content-Security-Policy allows only the page's own style and script, by their hashes."""
    text = written(mixed())
    (policy,) = [attributes["content"] for attributes in Reader(text).all("meta") if "http-equiv" in attributes]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_needs_no_other_file() -> None:
    """The page loads nothing: links lead to the other reports only, and no element or style has a URL."""
    text = written(mixed(), links=["report.csv", "report.jsonl", "summary.json"])
    reader = Reader(text)
    links = {attributes["href"] for attributes in reader.all("a")}
    assert links == {"#table", "retry.csv", "report.csv", "report.jsonl", "summary.json"}
    for tag, attributes in reader.found:
        assert not {"src", "srcset", "style", "xlink:href", "action"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert tag not in {"link", "img", "iframe", "object", "base", "foreignobject"}
    assert not re.search(r"url\(|@import|@font-face", text)


def test_without_rows_worth_another_run_there_is_no_link_to_them() -> None:
    """`retry.csv` is linked only if it exists."""
    assert "retry.csv" not in written([result(), result(1)])


def test_the_page_shows_the_run_without_a_script() -> None:
    """Operation, workspace, account, time, outcomes, reasons with hints and rooms are part of the HTML."""
    text = written(mixed())
    for said in (
        "groups.removeLeader", "https://chat.example.org", "bulk.bot", "1 Mar 2026, 09:30:00 UTC",
        "Unarchive the group", "room_archived", "room3", "1.2.3",
        "60 rows: 9 removed, 9 not_leader, 9 failed, 9 unknown",
    ):  # fmt: skip
        assert said in text


@pytest.mark.parametrize(
    ("spans", "state"),
    [
        ([], "Not started"),
        ([SessionSpan(START, START + 5_000, "", "a")], "Finished; 1 row not done"),
        ([SessionSpan(START, START + 5_000, "interrupted", "a")], "The run was interrupted"),
        ([SessionSpan(START, None, "", "a")], "The worker was killed"),
        (
            [SessionSpan(START, None, "", "a"), SessionSpan(START + 9_000, START + 10_000, "", "a")],
            "Finished; 1 row not done",
        ),
    ],
)
def test_the_page_shows_how_the_run_ended(spans: list[SessionSpan], state: str) -> None:
    """The state is that of the last session: finished, stopped for a reason, or killed."""
    hints = {"interrupted": "the run was interrupted", "killed": "the worker was killed"}
    text = written([result(1), result(2, Outcome.FAILED, "room_archived")], spans=spans, hints=hints)
    assert re.search(rf'<p class="state[^"]*">{state}</p>', text)


def test_pauses_and_outages_are_shown() -> None:
    """Pauses and outages are in the sentence and in the table of the chart."""
    waits = WaitStats()
    waits.add_pause(START + 5_000, START + 15_000)
    waits.add_outage(START + 30_000, START + 40_000)
    text = written([result(n) for n in range(50)], waits=waits)
    assert "Paused 1 time, 10 s in total. 1 outage, 10 s in total." in text
    assert "<td>100%</td>" in text


@pytest.mark.parametrize("results", [[], [result(0, Outcome.INVALID, "not_json", duration_ms=None, finished_at=None)]])
def test_a_run_that_sent_nothing_has_a_page_too(results: list[Result]) -> None:
    """Without any call there are no charts of calls, and no error."""
    text = written(results, spans=[])
    assert 'id="throughput"' not in text
    assert len(data(text, "rows")) == len(results)


def test_a_long_run_keeps_only_the_rows_that_need_attention() -> None:
    """Above the limit, rows that are done and have no note are left out, and the page says so."""
    rows = [result(n) for n in range(30)] + [result(99, Outcome.FAILED, "room_archived")]
    text = written(rows, max_rows=10)
    assert [row[2] for row in data(text, "rows")] == ["user99"]
    assert "This table has 1 of 31 rows" in text
    assert "rows that are done and have no note are left out. " in text
    assert "31 rows: 30 removed, 1 failed" in text


def test_rows_that_need_attention_are_limited_too() -> None:
    """The number of rows in the page has a limit, also if every row failed."""
    text = written([result(n, Outcome.FAILED, "room_archived") for n in range(30)], max_rows=10)
    assert len(data(text, "rows")) == 10
    assert (
        "This table has 10 of 30 rows: rows that are done and have no note are left out, and the table is full." in text
    )


def test_up_to_the_limit_every_row_is_there() -> None:
    """A run up to the limit is shown completely, without a note on missing rows."""
    text = written(mixed(10), max_rows=10)
    assert len(data(text, "rows")) == 10
    assert "This table has" not in text


def test_charts_have_a_title_a_description_and_their_data() -> None:
    """Each chart is an image with a name and a description in the page, and two tables have the data."""
    reader = Reader(written(mixed()))
    charts = [attributes for attributes in reader.all("svg") if attributes.get("role") == "img"]
    ids = [attributes["id"] for _, attributes in reader.found if attributes.get("id")]
    assert len(charts) == 5
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert set((chart["aria-labelledby"] or "").split()) <= set(ids)
    assert sum(attributes.get("class") == "values" for attributes in reader.all("table")) == 2


def test_a_block_that_fails_writes_no_end() -> None:
    """If writing the rows fails, the error is raised and the page has no end."""
    file = io.StringIO()
    with pytest.raises(ZeroDivisionError), html_report(file, context(1)):
        raise ZeroDivisionError
    assert "</html>" not in file.getvalue()


def test_the_evidence_is_on_the_page() -> None:
    """Each row has its evidence, and a sentence counts it and explains rows that are only inferred."""
    rows = [result(1, evidence="response"), result(2, evidence="inferred"), result(3, Outcome.NOT_LEADER, "not_needed")]
    page = written(rows)
    assert [row[10] for row in data(page, "rows")] == ["response", "inferred", ""]
    assert "Evidence of the outcomes: 1 response, 1 inferred. 1 row: prior role unknown" in page
    assert "Evidence of the outcomes" not in written([result(3, Outcome.NOT_LEADER, "not_needed")])


def test_names_are_on_the_page() -> None:
    """A row has its names beside its ids, and a room with problems is shown by its name."""
    rows = [
        result(1)._replace(room_name="finance", username="alice"),
        result(2, Outcome.FAILED, "why")._replace(room_name="<ops>", username="@bob:remote.example"),
    ]
    page = written(rows)
    assert [row[11:] for row in data(page, "rows")] == [["#finance", "@alice"], ["#<ops>", "@bob:remote.example"]]
    assert "#&lt;ops&gt;" in page


def test_rooms_without_ids_are_counted_by_their_names() -> None:
    """Rows whose room was not found are those of the room that they name."""
    invalid = result(1, Outcome.INVALID, "room_name_not_found", room_id="")
    rows = [invalid._replace(room_name=name) for name in ("a", "b", "a", "")]
    page = written(rows)
    assert re.findall(r'data-text="([^"]*)" title="Show these rows">([^<]+)<', page) == [
        ("#a", "#a"),
        ("#b", "#b"),
        ("", "no room"),
    ]
