"""Takes the README's two pictures from a system of its own, in about two minutes; no test.

    PYTHONPATH=tests .venv/bin/python -P tests/acceptance/take_pictures.py

Writes `docs/pictures/console.png` (desktop, Chinese, an alarm standing) and `docs/pictures/lot.png` (phone, the top of
the shopper's page after its check), each with at most 256 colours.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import psycopg
from fix_browser import find_chromium
from fix_running import RunningHanlu, running_hanlu
from fix_services import wait_until
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from hanlu.firmware_sim.yanling import PACKED_GTIN

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
MOST_BYTES = 250_000
LOT_HEIGHT = 1200
ALARM_S = 180.0


def keep(page: Page, name: str, **how: object) -> None:
    """Write what the page shows as an image of few colours and say how large it is."""
    shot = Image.open(io.BytesIO(page.screenshot(**how))).convert("RGB")  # type: ignore[arg-type]
    path = PICTURES / name
    shot.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{name}: {shot.width} x {shot.height}, {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"{name} is larger than {MOST_BYTES:,} bytes")


def take_console(hanlu: RunningHanlu, browser: Browser) -> None:
    """Sign in, wait for the alarm of the door left open, and take the overview."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="zh-CN", reduced_motion="reduce")
    page.goto(f"{hanlu.url}/console")
    page.fill("#login", "operator")
    page.fill("#password", hanlu.passwords["operator"])
    page.press("#password", "Enter")
    page.wait_for_selector(".card--alarm", timeout=ALARM_S * 1000)
    page.wait_for_selector("[data-when-positive].is-alarm")
    page.wait_for_timeout(1_000)
    keep(page, "console.png")


def take_lot(hanlu: RunningHanlu, browser: Browser) -> None:
    """Open the packed lot with the most on record, from the orchard to the shop, and wait for its green verdict."""
    statement = (
        "SELECT lot_uri FROM trace.leaf WHERE strpos(lot_uri, %s) > 0 GROUP BY lot_uri ORDER BY count(*) DESC LIMIT 1"
    )
    with psycopg.connect(hanlu.database_url) as connection:
        [(lot,)] = connection.execute(statement, (f"/01/{PACKED_GTIN}/",)).fetchall()
    page = browser.new_page(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True, locale="zh-CN"
    )
    page.goto(hanlu.url + lot.removeprefix("https://id.gs1.org"))
    page.wait_for_selector(".verdict--good")
    height = min(LOT_HEIGHT, page.evaluate("document.documentElement.scrollHeight"))
    keep(page, "lot.png", full_page=True, clip={"x": 0, "y": 0, "width": 390, "height": height})


def anchored(hanlu: RunningHanlu) -> bool:
    """Whether the chain holds everything the log says, so that the page has nothing left to wait for."""
    with psycopg.connect(hanlu.database_url) as connection:
        row = connection.execute(
            "SELECT (SELECT max(tree_size) FROM trace.checkpoint)"
            " = (SELECT max(tree_size) FROM trace.anchor WHERE state = 'final')"
        ).fetchone()
    return row == (True,)


def main() -> None:
    """Take both."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with running_hanlu() as hanlu, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--headless", "--no-sandbox"])
        take_console(hanlu, browser)
        wait_until(lambda: anchored(hanlu), "everything anchored", 120)
        take_lot(hanlu, browser)
        browser.close()


if __name__ == "__main__":
    main()
