"""The browser, and reports of real runs."""

import os
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import Visit, installed, opened
from tests.support.command import ROLECALL

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Playwright

Look = Callable[[Path], Visit]


@pytest.fixture(scope="session")
def playwright() -> Iterator["Playwright"]:
    """Start Playwright. Without a browser the tests are skipped, or fail if BROWSER_TESTS=required."""
    needed = {"Playwright": find_spec("playwright"), "Chromium": installed()}
    missing = [name for name, found in needed.items() if found is None]
    if missing:
        why = f"{' and '.join(missing)} not found: 'make browser' installs what these tests need"
        if os.environ.get("BROWSER_TESTS") == "required":
            pytest.fail(why)
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def context(playwright: "Playwright") -> Iterator["BrowserContext"]:
    """Start the browser once for all tests."""
    with opened(playwright, viewport={"width": 1_200, "height": 900}) as context:
        yield context


@pytest.fixture
def plain_context(playwright: "Playwright") -> Iterator["BrowserContext"]:
    """Start a browser without JavaScript."""
    with opened(playwright, java_script_enabled=False) as context:
        yield context


@pytest.fixture
def look(context: "BrowserContext") -> Iterator[Look]:
    """Open pages; at the end of the test, check that no page logged an error or requested another file."""
    visits: list[Visit] = []

    def opens(path: Path) -> Visit:
        visits.append(Visit(context.new_page(), path))
        return visits[-1]

    yield opens
    for visit in visits:
        visit.page.close()
        assert visit.errors == []
        assert visit.requests == [visit.path.as_uri()] * len(visit.requests)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the installed `rolecall demo` and return the folder of its run."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {"PATH": os.environ["PATH"]}
    subprocess.run([ROLECALL, "demo", "--out", folder], check=True, capture_output=True, env=environment, cwd=folder)
    return folder / "run"
