"""A real Chromium, the system's own, without any network use of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def installed() -> str | None:
    """Give the path of the browser; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def opened(playwright: "Playwright", **options: Any) -> Iterator["BrowserContext"]:
    """Start the browser with a profile of its own. `options` are those of Playwright's persistent context."""
    arguments = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # Chromium has no sandbox for root
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=installed(), headless=True, args=arguments, **options
        )
        try:
            yield context
        finally:
            context.close()


class Visit:
    """A page that is looked at: what it asked for, and what it complained of."""

    def __init__(self, page: "Page", path: Path) -> None:
        """Open the file `path` in `page`; whatever else it asks for is noted and refused."""
        self.page = page
        self.path = path
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.route("**/*", self._note)
        page.goto(path.as_uri())

    def _note(self, route: Any) -> None:
        self.requests.append(route.request.url)
        if route.request.url == self.path.as_uri():
            route.continue_()
        else:
            route.abort()

    def rows(self) -> list[dict[str, str]]:
        """Give the rows that the table shows, by the heading of their column."""
        found: list[dict[str, str]] = self.page.evaluate(
            "[...document.querySelectorAll('#list tbody tr')].map((row) =>"
            " Object.fromEntries([...row.cells].map((cell) => [cell.dataset.label, cell.textContent])))"
        )
        return found

    def count(self) -> str:
        """Give the sentence on how many rows there are."""
        return str(self.page.inner_text("#count"))

    def search(self, text: str) -> str:
        """Type into the search field; give the sentence on how many rows were found, once it is another one."""
        before = self.count()
        self.page.fill("#text", text)
        self.page.wait_for_function("(before) => document.getElementById('count').textContent !== before", arg=before)
        return self.count()
