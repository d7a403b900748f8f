"""Draw docs/report-*.png: the report of a real run with rate limit pauses, an interrupt and an outage.

Run it with `make pictures`; it takes about two minutes.
"""

import asyncio
import io
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rolecall.sandbox import Fault, FaultMatch, Kind, Limiter, Sandbox, ServerAddress, demo_faults, demo_world
from tests.browser.chromium import opened
from tests.support.command import environment, finish, start, write_job

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

DOCS = Path(__file__).parents[2] / "docs"
PORT = 3000
"""The port of `rolecall sandbox`, so that the URL in the pictures stays the same."""
DESKTOP, PHONE = {"width": 1_200, "height": 955}, {"width": 390, "height": 844}
COLOURS = 128
PAPER = {"width": 794, "height": 1_123}
"""A4 at 96 pixels an inch."""
PICTURES: tuple[tuple[str, Any, Any, Any, int], ...] = (
    ("report-light.png", "screen", "light", DESKTOP, 1),
    ("report-dark.png", "screen", "dark", DESKTOP, 1),
    ("report-phone.png", "screen", "light", PHONE, 2),
    ("report-print.png", "print", "light", PAPER, 1),
)
"""Name, medium, colour scheme, size in CSS pixels, pixels for each of them."""


async def real_run(folder: Path) -> Path:
    """Run the installed command: 1,200 rows, 100 calls in 3 s, Ctrl-C after 350 calls, 5 s outage after 750."""
    demo = demo_world(1_200, seed=3, roles=("user",))
    job = write_job(folder / "job.csv", ((pair.room_id, pair.user_id) for pair in demo.rows))
    faults = [*demo_faults(demo), Fault(Kind.SLOW, FaultMatch(chance=0.3), seconds=0.02)]
    words = ("run", job, "--out", "reorganisation", "--rate", "60/s", "--retry-backoff", "0.1")
    limiter, address = Limiter(100, 3.0), ServerAddress(port=PORT)
    async with Sandbox(demo.world, faults=faults, latency=0.02, limiter=limiter, address=address) as sandbox:
        env = environment(sandbox.url)
        first = await start(*words, cwd=folder, env=env)
        await sandbox.wait_for_calls(350)
        first.send_signal(signal.SIGINT)
        await finish(first)
        second = await start(*words, cwd=folder, env=env)
        await sandbox.wait_for_calls(750)
        await sandbox.stop_listening()
        await asyncio.sleep(5)
        await sandbox.resume()
        await finish(second)
    return folder / "reorganisation/report.html"


def take_screenshot(context: "BrowserContext", page: Path, name: str, medium: Any, scheme: Any) -> None:
    """Write one screenshot, with few colours to keep the file small."""
    from PIL import Image

    shown = context.pages[0]
    shown.emulate_media(media=medium, color_scheme=scheme)
    shown.goto(page.as_uri())
    image = Image.open(io.BytesIO(shown.screenshot()))
    image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


def main() -> None:
    """Draw all pictures."""
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as folder:
        page = asyncio.run(real_run(Path(folder)))
        with sync_playwright() as playwright:
            for name, medium, scheme, size, pixels in PICTURES:
                with opened(playwright, viewport=size, device_scale_factor=pixels) as context:
                    take_screenshot(context, page, name, medium, scheme)


if __name__ == "__main__":
    main()
