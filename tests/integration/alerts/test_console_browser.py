"""The console in a real Chromium: live values, a lost line, acknowledging, on a desk and on a phone."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fix_alerts import CHILL, DEFROST, DOOR, FROZEN, HUMIDITY, TRUCK, County
from fix_browser import ARTIFACTS, OpenPage
from fix_console import Line, Site, console_site, served
from playwright.sync_api import Page, Response, expect

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import run
from hanlu.core.clock import SystemClock

pytestmark = [pytest.mark.postgres, pytest.mark.browser]
MINUTE = 60_000
FIRST_VIEW_BYTES = 100_000
SCRIPT_BYTES = 15_000


def now_ms() -> int:
    return SystemClock().now_ms()


@contextmanager
def engine_running(county: County) -> Iterator[None]:
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(EngineConfig(poll_s=0.2), county.url, stop, ready.set))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def fill(county: County) -> None:
    """Five hours of two rooms and a truck; the frozen room warms for the last fifty minutes."""
    end = now_ms()
    cells = []
    for minute in range(-300, 0):
        at = end + minute * MINUTE
        if not -170 < minute < -140:
            cells += [(FROZEN, at, -18.0 + max(0, minute + 50) * 0.2), (DEFROST, at, float(-230 < minute < -190))]
        cells += [(CHILL, at, 4.0 + minute % 7 / 10), (HUMIDITY, at, 85.0), (DOOR, at, float(minute % 90 == 0))]
    county.arrive(cells)
    county.arrive([(TRUCK, end + minute * MINUTE, 5.0 + minute % 5 / 10) for minute in range(-300, -12)])
    county.link(1)
    county.link(2)


@pytest.fixture
def site(county: County) -> Iterator[Site]:
    """The console over a county at work, with a quick tick."""
    fill(county)
    with engine_running(county), console_site(county, stream_tick_s=0.5) as made:
        yield made


@contextmanager
def opened(site: Site, open_page: OpenPage, path: str = "/console", **how: Any) -> Iterator[Page]:
    """Serve a site and open a page of it; the page is closed first, or it would complain of the server gone."""
    with served(site) as address:
        page = open_page(**how)
        page.goto(address + path)
        if how.get("java_script_enabled", True):
            page.wait_for_selector('#live[data-state="on"]')
        try:
            yield page
        finally:
            page.close()


def test_value_appears_on_an_open_console_within_a_second(county: County, site: Site, open_page: OpenPage) -> None:
    with opened(site, open_page) as page:
        shown = page.locator("[data-zone=yanling-chill] .big [data-number]")
        took = []
        for turn in range(20):
            value = 3 + turn / 10
            began = time.monotonic()
            county.arrive([(CHILL, now_ms(), value)])
            expect(shown).to_have_text(f"{value:.1f}")
            took.append(time.monotonic() - began)
    assert sorted(took)[18] < 1.0


def test_alarm_appears_is_acknowledged_and_the_count_falls(county: County, site: Site, open_page: OpenPage) -> None:
    with opened(site, open_page) as page:
        end = now_ms()
        # Ten minutes above 8 °C: the on-delay of five has passed in the readings' own time.
        began = time.monotonic()
        county.arrive([(TRUCK, end - (10 - minute) * MINUTE, 12.0) for minute in range(11)])
        page.wait_for_selector('[data-zone="truck-7-box"] .badge--alarm')
        assert time.monotonic() - began < 1.0
        waiting = page.locator("[data-count=waiting]")
        expect(waiting).to_have_text("2")  # with the frozen room's
        page.click('[data-when-positive="waiting"]')
        row = page.locator("tr", has_text="车厢")
        row.locator("summary").click()
        row.locator("textarea").fill("车门已关好")
        row.locator("button").click()
        row.locator(".badge--ack").wait_for()
        expect(waiting).to_have_text("1")
        row.locator(".place").click()
        assert "车门已关好" in page.inner_text(".timeline")
    assert county.query("SELECT process_state, acknowledged_by FROM alerts.alarm WHERE channel_id = %s", TRUCK) == [
        ("ACKNOWLEDGED", "li")
    ]


def test_lost_line_is_said_loudly_and_what_was_missed_comes_back(
    county: County, site: Site, open_page: OpenPage
) -> None:
    with served(site) as address:
        line = Line(address)
        page = open_page()
        page.goto(f"{line.address}/console")
        page.wait_for_selector('#live[data-state="on"]')
        line.fall_silent()
        page.wait_for_selector("#lost")
        assert "中断" in page.inner_text("#lost")
        expect(page.locator("[data-lost-age]")).to_have_text(re.compile(r"\d+ 秒前"))
        county.arrive([(CHILL, now_ms(), 6.5)])
        line.come_back()
        expect(page.locator("[data-zone=yanling-chill] .big [data-number]")).to_have_text("6.5")
        page.wait_for_selector("#lost", state="hidden")
        page.close()
        line.close()


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_pages_fit_the_screen_and_pictures_are_kept(site: Site, open_page: OpenPage, screen: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    with opened(site, open_page, screen=screen) as page:
        address = page.url.removesuffix("/console")
        for name, path in (
            ("overview", "/console"),
            ("zone", "/console/zone/yanling-frozen?range=6h"),
            ("alarms", "/console/alarms?state=all"),
            ("gateways", "/console/gateways"),
            ("quality", "/console/quality"),
        ):
            page.goto(address + path)
            page.wait_for_selector('#live[data-state="on"]')
            page.screenshot(path=str(ARTIFACTS / f"console-{name}-{screen}.png"), full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_first_view_is_under_100_kilobytes_uncompressed(site: Site, open_page: OpenPage) -> None:
    with opened(site, open_page) as page:
        sizes: dict[str, int] = {}
        page.on("response", lambda answer: sizes.update({answer.url: _size(answer)}))
        page.reload()
        page.wait_for_selector('#live[data-state="on"]')
    assert sum(sizes.values()) < FIRST_VIEW_BYTES
    [script] = [size for url, size in sizes.items() if url.endswith("/console.js")]
    assert 0 < script < SCRIPT_BYTES


def _size(answer: Response) -> int:
    return 0 if "/console/stream" in answer.url else len(answer.body())


def test_page_without_script_still_shows_everything(site: Site, open_page: OpenPage) -> None:
    with opened(site, open_page, "/console/zone/yanling-frozen", java_script_enabled=False) as page:
        assert re.search(r"−\d", page.inner_text(".big"))
        assert page.locator(".only-wide .curve-line").is_visible()
        assert "手动刷新" in page.inner_text("noscript")
