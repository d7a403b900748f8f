"""report.html in a real browser: usable, accessible and self-contained."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.display.html_report import html_report
from rolecall.models import Outcome
from tests.browser.conftest import Look
from tests.support.command import read_report
from tests.unit.display.html_report.making import context as report_context
from tests.unit.display.html_report.making import result, written
from tests.unit.display.html_report.test_html_report import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.browser

CONTRAST = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length === 3 ? [...n, 1] : n; };
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
    if (e.disabled || ["SCRIPT", "TITLE", "title", "desc", "OPTION", "NOSCRIPT"].includes(e.tagName)) continue;
    const style = getComputedStyle(e), colour = parse(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(colour), light(behind(e))].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push([ratio >= (large ? 3 : 4.5), `${e.tagName} ${e.textContent.trim().slice(0, 40)} ${ratio.toFixed(2)}`]);
  }
  return found;
}"""


def subjects_of(row: dict[str, str]) -> tuple[str, str]:
    """Return the cells of the room and the user of a row: the name, where it is known, above the id."""
    room, user = row["roomName"], row["username"]
    return f"#{room}{row['roomId']}" if room else row["roomId"], f"@{user}{row['userId']}" if user else row["userId"]


def test_the_table_is_the_report(look: Look, demo: Path) -> None:
    """The table shows every row of report.csv, in the same order."""
    visit = look(demo / "report.html")
    visit.page.select_option("#size", "100")
    shown = []
    for _ in range(3):
        shown += [(row["line"], row["room"], row["user"], row["outcome"], row["reason"]) for row in visit.rows()]
        visit.page.click("[data-go=next]:not([disabled]), [data-go=last]", force=True)
    assert shown == [
        (row["line"], *subjects_of(row), *(row[name] for name in ("outcome", "reason"))) for row in read_report(demo)
    ]
    assert visit.count() == "300 rows"


def test_filters_find_the_rows_of_the_report(look: Look, demo: Path) -> None:
    """A filter by outcome or by text shows exactly the matching rows of report.csv; Clear shows all rows."""
    visit = look(demo / "report.html")
    outcomes = Counter(row["outcome"] for row in read_report(demo))
    for outcome, rows in outcomes.items():
        visit.page.select_option("#outcome", outcome)
        assert visit.count() == f"{rows} of 300 rows"
        assert {row["outcome"] for row in visit.rows()} == {outcome}
    visit.page.click("#filters button[type=reset]")
    room = next(row["roomId"] for row in read_report(demo) if row["outcome"] == "failed")
    expected = [subjects_of(row)[1] for row in read_report(demo) if row["roomId"] == room]
    assert visit.search(room.upper()) == f"{len(expected)} of 300 rows"
    assert [row["user"] for row in visit.rows()] == expected
    visit.page.click("#filters button[type=reset]")
    assert visit.count() == "300 rows"
    assert visit.search("no such thing anywhere") == "0 of 300 rows"
    assert visit.rows() == []


@pytest.mark.parametrize("button", [".reasons .pick", ".rooms .pick", ".legend .pick"])
def test_a_reason_a_room_and_an_outcome_lead_to_their_rows(look: Look, demo: Path, button: str) -> None:
    """A click on an entry of the overview filters the table to the number of rows in the overview."""
    visit = look(demo / "report.html")
    first = visit.page.locator(button).first
    rows = int(first.locator("xpath=ancestor::tr").locator(".number").first.inner_text())
    first.click()
    assert visit.count() == f"{rows} of 300 rows"
    assert visit.page.evaluate("document.activeElement.id") == "table"


@pytest.mark.parametrize("column", ["line", "room", "user", "outcome", "reason", "HTTP", "calls", "finished", "took"])
def test_each_column_sorts_both_ways(look: Look, demo: Path, column: str) -> None:
    """The first press sorts ascending, the second descending, the third as in the job; empty values come last."""
    visit = look(demo / "report.html")
    visit.page.select_option("#size", "250")
    header = visit.page.locator(f"#list th button:text-is('{column}')")
    number = column in ("line", "HTTP", "calls", "took")

    def key(value: str) -> Any:
        return int(value.replace(",", "").removesuffix(" ms")) if number else value

    orders = []
    for state in ("ascending", "descending", "none"):
        header.press("Enter")
        assert header.locator("xpath=..").get_attribute("aria-sort") == state
        orders.append([row[column] for row in visit.rows()])
    for order, reverse in zip(orders, (False, True), strict=False):
        filled = [key(value) for value in order if value]
        assert filled == sorted(filled, reverse=reverse)
        assert not any(order[len(filled) :])
    assert orders[2] == [row[column] for row in visit.rows()]
    assert [int(row["line"]) for row in visit.rows()] == list(range(2, 252))


def test_the_pager_reaches_both_ends(look: Look, demo: Path) -> None:
    """The buttons lead to the next, last, previous and first page, and are disabled where there is none."""
    visit = look(demo / "report.html")
    for button, place, off in (
        ("next", "Page 2 of 12", []),
        ("last", "Page 12 of 12", ["next", "last"]),
        ("previous", "Page 11 of 12", []),
        ("first", "Page 1 of 12", ["first", "previous"]),
    ):
        visit.page.click(f"[data-go={button}]")
        assert visit.page.inner_text("#place") == place
        disabled = visit.page.eval_on_selector_all("[data-go]:disabled", "all => all.map((each) => each.dataset.go)")
        assert disabled == off


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(look: Look, demo: Path, scheme: Any) -> None:
    """All text has the contrast of WCAG AA, in the colour scheme of the system and after the toggle."""
    visit = look(demo / "report.html")
    visit.page.emulate_media(color_scheme=scheme)
    backgrounds = []
    for _ in range(2):
        found = visit.page.evaluate(CONTRAST)
        assert len(found) > 100
        assert [text for enough, text in found if not enough] == []
        backgrounds.append(visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        pressed = visit.page.get_attribute("#theme", "aria-pressed") == "true"
        assert pressed == (visit.page.evaluate("getComputedStyle(document.body).color.match(/\\d+/)[0] > 127"))
        visit.page.click("#theme")
    assert backgrounds[0] != backgrounds[1]


def test_everything_has_a_name(look: Look, demo: Path) -> None:
    """Landmarks, headings, fields, buttons, tables and charts have names for assistive software."""
    visit = look(demo / "report.html")
    assert visit.page.evaluate("document.documentElement.lang") == "en"
    expected: tuple[tuple[Any, int], ...] = (
        ("banner", 1), ("main", 1), ("contentinfo", 1), ("navigation", 1), ("search", 1), ("table", 5), ("img", 3),
        ("heading", 6), ("button", 20), ("searchbox", 1), ("combobox", 2), ("status", 1),
    )  # fmt: skip
    for role, at_least in expected:
        assert visit.page.get_by_role(role).count() >= at_least, role
    nameless = visit.page.evaluate("""[...document.querySelectorAll("button, select, input, table, svg[role=img]")]
      .filter((each) => each.checkVisibility() && !(each.labels?.length || each.caption?.textContent
        || each.ariaLabel || each.tagName === "BUTTON" && each.textContent.trim()
        || each.getAttribute("aria-labelledby")?.split(" ").every((id) => document.getElementById(id)?.textContent)))
      .map((each) => each.outerHTML.slice(0, 80))""")
    assert nameless == []
    levels = visit.page.eval_on_selector_all("h1, h2, h3", "all => all.map((each) => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert all(level <= before + 1 for before, level in pairwise(levels))


def test_the_keyboard_is_enough(look: Look, demo: Path) -> None:
    """The first Tab stop skips to the rows, the next ones are the filters, and the focus is visible."""
    visit = look(demo / "report.html")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    visit.page.keyboard.press("Enter")
    reached = []
    for _ in range(4):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.type"))
        assert visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached[:3] == ["outcome", "text", "reset"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_text(look: Look, tmp_path: Path, hostile: str) -> None:
    """Ids and messages that look like code are shown as text, found by the search, and not run."""
    rows = [result(n, Outcome.FAILED, "refused", room_id=hostile, user_id=hostile, message=hostile) for n in range(3)]
    path = tmp_path / "report.html"
    path.write_text(written([*rows, result(5)], run=hostile, workspace=hostile), encoding="utf-8")
    visit = look(path)
    shown = visit.rows()[0]
    assert len(shown["room"]) == len(shown["user"]) == len(shown["message"]) == len(hostile)
    assert all(ours in (theirs, "\ufffd") for ours, theirs in zip(shown["room"], hostile, strict=True))
    visit.page.locator(".rooms .pick").first.click()
    assert visit.count() == "3 of 4 rows"
    assert visit.page.locator("tbody img, tbody script, tbody b").count() == 0


def test_100_000_rows_are_shown_a_page_at_a_time(look: Look, tmp_path: Path) -> None:
    """With 100,000 rows the page has as many elements as with 1,000, and filters and sorts all rows."""
    elements = []
    for rows in (1_000, 100_000):
        path = tmp_path / f"{rows}.html"
        with path.open("w", encoding="utf-8") as file, html_report(file, report_context(rows)) as write:
            for number in range(rows):
                failed = number % 10 == 3
                outcome, reason = (Outcome.FAILED, "room_archived") if failed else (Outcome.REMOVED, "")
                write(result(number, outcome, reason, finished_at=1_772_357_400_000 + number % 90))
        visit = look(path)
        assert visit.count() == f"{rows:,} rows"
        assert visit.search("archived") == f"{rows // 10:,} of {rows:,} rows"
        visit.page.click("[data-column=user]")
        visit.page.click("[data-column=user]")
        assert visit.rows()[0]["user"] == max(f"user{number}" for number in range(3, rows, 10))
        assert len(visit.rows()) == 25
        elements.append(visit.page.evaluate("document.querySelectorAll('*').length"))
    assert elements[0] == elements[1]


def test_a_phone_needs_no_sideways_scrolling(look: Look, demo: Path) -> None:
    """At 390 pixels the page is as wide as the screen, also with the longest message."""
    visit = look(demo / "report.html")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.page.reload()
    visit.page.select_option("#outcome", "failed")
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
    assert visit.page.evaluate("document.querySelector('#list').scrollWidth") <= 390
    assert visit.page.locator(".chart.narrow").first.is_visible()
    assert not visit.page.locator(".chart.wide").first.is_visible()


@pytest.mark.parametrize("rows", [60, 2500])
def test_printing_has_every_row_or_says_how_many_are_left_out(look: Look, tmp_path: Path, rows: int) -> None:
    """A printed report has up to 2,000 rows of the table and says how many are left out; the screen stays paged."""
    path = tmp_path / "report.html"
    path.write_text(written([result(number) for number in range(rows)]), encoding="utf-8")
    page = look(path).page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#list tbody tr").count() == min(rows, 2000)
    note = page.locator("#printed")
    assert note.is_visible() is (rows > 2000)
    assert note.inner_text() == (
        "The first 2,000 of these 2,500 rows are printed; 500 are left out. report.csv has every row."
        if rows > 2000
        else ""
    )
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator("#list tbody tr").count() == 25
    assert not note.is_visible()


def test_print_leaves_the_controls_out(look: Look, demo: Path) -> None:
    """Printed, the page has charts, reasons and rows on white, and no controls."""
    visit = look(demo / "report.html")
    visit.page.emulate_media(media="print", color_scheme="dark")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in ("#theme", "#filters", "#pager", "details"):
        assert not visit.page.locator(hidden).first.is_visible(), hidden
    for shown in (".ring", ".chart.wide", ".reasons", "#list"):
        assert visit.page.locator(shown).first.is_visible(), shown


def test_the_report_works_without_javascript(plain_context: "BrowserContext", demo: Path) -> None:
    """Charts, key figures and reasons need no script; for the rows the page links to report.csv."""
    page = plain_context.pages[0]
    page.goto((demo / "report.html").as_uri())
    assert page.locator(".ring").is_visible()
    assert page.locator(".chart.wide").first.is_visible()
    assert "report.csv has every row" in page.inner_text("noscript")
    assert not page.locator("#filters").is_visible()


def test_every_link_leads_to_a_report(look: Look, demo: Path) -> None:
    """Each file that the page links to exists in the same folder."""
    visit = look(demo / "report.html")
    links = set(visit.page.eval_on_selector_all("a", "all => all.map((each) => each.getAttribute('href'))")) - {
        "#table"
    }
    assert links >= {"report.csv", "retry.csv", "summary.json"}
    assert all((demo / link).is_file() for link in links)
