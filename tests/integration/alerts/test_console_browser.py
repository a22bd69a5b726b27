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
from fix_console import Line, Site, console_site, put_alarm, served
from playwright.sync_api import Locator, Page, Response, expect

from hanlu.alerts import operate
from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import run
from hanlu.core.clock import SystemClock
from hanlu.db.pool import connect

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
    """Five hours of two rooms and a truck; the frozen room warms for the last hour."""
    end = now_ms()
    cells = []
    for minute in range(-300, 0):
        at = end + minute * MINUTE
        if not -170 < minute < -140:
            cells += [(FROZEN, at, -18.0 + max(0, minute + 60) * 0.2), (DEFROST, at, float(-230 < minute < -190))]
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


@pytest.fixture
def quiet_site(county: County) -> Iterator[Site]:
    """The console over a county where nothing happens but what a test does."""
    end = now_ms()
    county.arrive([(channel, end, value) for channel, value in ((FROZEN, -18.0), (CHILL, 4.0), (HUMIDITY, 85.0))])
    county.link(1)
    county.link(2)
    with console_site(county, stream_tick_s=0.5) as made:
        yield made


def line(page: Page, alarm: int) -> Locator:
    return page.locator(f'#alarms tbody[data-id="{alarm}"]')


def state_of(county: County, alarm: int) -> object:
    return county.query("SELECT process_state FROM alerts.alarm WHERE alarm_id = %s", alarm)[0][0]


def test_one_key_acknowledges_and_none_while_somebody_types(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    first = put_alarm(county, FROZEN, "high", "UNACKNOWLEDGED", priority=1)
    second = put_alarm(county, CHILL, "high", "UNACKNOWLEDGED")
    with opened(quiet_site, open_page, "/console/alarms") as page:
        page.evaluate("window.firstLoad = true")
        page.keyboard.press("j")
        expect(line(page, first)).to_have_class(re.compile("is-current"))
        page.keyboard.press("ArrowDown")
        expect(line(page, second).locator(".place")).to_be_focused()
        page.keyboard.press("a")
        expect(line(page, second).locator(".badge--ack")).to_have_text("已确认")
        assert state_of(county, second) == "ACKNOWLEDGED"
        expect(page.locator("[data-count=waiting]")).to_have_text("1")
        page.keyboard.press("k")
        line(page, first).locator("summary").click()
        line(page, first).locator("textarea").type("a j k s x ?")
        expect(line(page, first).locator("textarea")).to_have_value("a j k s x ?")
        assert state_of(county, first) == "UNACKNOWLEDGED"
        page.keyboard.press("Escape")
        page.locator(".keys-hint button").click()
        expect(page.locator("#keys")).to_be_visible()
        assert page.evaluate("window.firstLoad") is True


def test_several_ticked_by_key_are_acknowledged_with_one_note(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    alarms = [put_alarm(county, CHILL, kind, "UNACKNOWLEDGED") for kind in ("high", "rate", "low")]
    with opened(quiet_site, open_page, "/console/alarms") as page:
        expect(page.locator("#bulk")).to_be_hidden()
        for key in "jxjx":
            page.keyboard.press(key)
        expect(page.locator("#ticked")).to_have_text("2")
        page.keyboard.press("a")
        expect(page.locator("#bulk-note")).to_be_focused()
        page.keyboard.type("停电，已通知")
        page.keyboard.press("Enter")
        expect(page.locator(".notice--ok")).to_have_text(re.compile("已确认 2 条"))
    assert sorted(str(state_of(county, each)) for each in alarms) == ["ACKNOWLEDGED"] * 2 + ["UNACKNOWLEDGED"]
    assert county.query("SELECT DISTINCT note FROM alerts.alarm WHERE note IS NOT NULL") == [("停电，已通知",)]


def test_all_shown_are_ticked_at_once_also_without_a_script(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    alarms = [put_alarm(county, CHILL, kind, "UNACKNOWLEDGED") for kind in ("high", "rate")]
    with opened(quiet_site, open_page, "/console/alarms") as page:
        page.locator("#tick-all").check()
        expect(page.locator("#ticked")).to_have_text("2")
    with opened(quiet_site, open_page, "/console/alarms", java_script_enabled=False) as page:
        line(page, alarms[0]).locator(".tick").check()
        page.fill("#bulk-note", "看过了")
        page.locator("#bulk button").click()
        expect(page.locator(".notice--ok")).to_have_text(re.compile("已确认 1 条"))
    assert state_of(county, alarms[0]) == "ACKNOWLEDGED"


def test_shelved_alarm_leaves_the_open_list_and_comes_back_when_its_time_is_up(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    alarm = put_alarm(county, CHILL, "high", "UNACKNOWLEDGED")
    with opened(quiet_site, open_page, "/console/alarms") as page, served(quiet_site) as address:
        page.keyboard.press("j")
        page.keyboard.press("s")
        dialog = page.locator("#shelve")
        expect(dialog).to_be_visible()
        dialog.locator("select[name=minutes]").select_option("15")
        dialog.locator("select[name=reason]").select_option("loading")
        dialog.locator("button[type=submit]").click()
        expect(line(page, alarm)).to_have_count(0)
        page.goto(f"{address}/console/alarms?state=shelved")
        expect(line(page, alarm)).to_contain_text("正在装卸货")
        page.goto(f"{address}/console/alarms")
        page.wait_for_selector('#live[data-state="on"]')
        expect(page.locator(".empty")).to_be_visible()
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            assert operate.expire(connection, now_ms() + 16 * MINUTE) == 1
        expect(line(page, alarm).locator(".badge--alarm")).to_have_text("未确认")


def test_new_alarm_comes_to_the_open_list_and_leaves_ticks_and_focus_alone(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    old = put_alarm(county, CHILL, "high", "UNACKNOWLEDGED")
    with opened(quiet_site, open_page, "/console/alarms") as page:
        page.evaluate("window.firstLoad = true")
        page.keyboard.press("j")
        page.keyboard.press("x")
        new = put_alarm(county, FROZEN, "high", "UNACKNOWLEDGED", priority=1)
        expect(line(page, new)).to_be_visible()
        assert page.locator("#alarms > tbody").first.get_attribute("data-id") == str(new)
        expect(page).to_have_title(re.compile(r"^\(2\) "))
        assert page.locator("link[rel=icon]").get_attribute("href").startswith("data:image/svg")  # type: ignore[union-attr]
        # The server has arranged the list anew as well.
        page.wait_for_event("requestfinished", lambda request: request.url.endswith("/console/alarms"))
        expect(line(page, old).locator(".tick")).to_be_checked()
        expect(line(page, old).locator(".place")).to_be_focused()
        county.query("UPDATE alerts.alarm SET process_state = 'NORMAL' WHERE alarm_id = %s", new)
        county.query(
            "INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state, actor)"
            " VALUES (%s, 2, now(), 'close', 'UNACKNOWLEDGED', 'NORMAL', 'engine')",
            new,
        )
        county.query("NOTIFY hanlu_alarm")
        expect(line(page, new)).to_have_count(0)
        expect(page).to_have_title(re.compile(r"^\(1\) "))
        assert page.evaluate("window.firstLoad") is True


def test_flood_line_opens_by_key_and_stays_open_when_the_list_comes_anew(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    kinds = ("high", "low", "rate", "stuck", "drift", "no_data")
    alarms = [put_alarm(county, channel, kind, "UNACKNOWLEDGED") for channel in (CHILL, HUMIDITY) for kind in kinds]
    with opened(quiet_site, open_page, "/console/alarms") as page:
        flood = page.locator(".line--flood")
        expect(flood).to_contain_text("10 分钟内 12 条")
        expect(line(page, alarms[0])).to_be_hidden()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(line(page, alarms[0])).to_be_visible()
        page.evaluate("import(document.querySelector('script[src*=\"console.js\"]').src).then((it) => it.refresh())")
        page.wait_for_event("requestfinished", lambda request: request.url.endswith("/console/alarms"))
        expect(line(page, alarms[0])).to_be_visible()


def test_sound_is_asked_for_sounds_until_acknowledged_and_can_be_muted(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    alarm = put_alarm(county, CHILL, "high", "UNACKNOWLEDGED", priority=1)
    with opened(quiet_site, open_page, "/console/alarms") as page:
        sound, banner = page.locator("#sound"), page.locator("#sound-blocked")
        expect(sound).to_have_attribute("data-state", "locked")
        expect(banner).to_contain_text("浏览器不让发声")
        page.keyboard.press("j")
        expect(sound).to_have_attribute("data-state", "on")
        expect(banner).to_be_hidden()
        expect(sound).to_have_attribute("data-tone", "1")
        sound.locator("summary").click()
        for level in ("3", "2"):
            page.locator(f'[data-sound-test="{level}"]').click()
            expect(sound).to_have_attribute("data-tone", level)
        page.locator("[data-sound=mute]").click()
        expect(sound).to_have_attribute("data-state", "muted")
        rings = sound.get_attribute("data-rings")
        page.reload()
        expect(sound).to_have_attribute("data-state", "muted")
        expect(banner).to_be_hidden()
        page.keyboard.press("j")
        page.keyboard.press("a")
        expect(page.locator("[data-count=waiting]")).to_have_text("0")
        assert int(rings or 0) >= 3
    assert state_of(county, alarm) == "ACKNOWLEDGED"


def test_wallboard_says_over_everything_that_its_picture_is_frozen(
    county: County, quiet_site: Site, open_page: OpenPage
) -> None:
    put_alarm(county, CHILL, "high", "UNACKNOWLEDGED")
    with served(quiet_site) as address:
        line_ = Line(address)
        page = open_page(viewport={"width": 1920, "height": 1080})
        page.goto(f"{line_.address}/console/wallboard")
        page.wait_for_selector('#live[data-state="on"]')
        expect(page.locator("#wall-clock")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
        assert page.locator(".tile").first.get_attribute("data-zone") == "yanling-chill"
        expect(page.locator("#wall-frozen")).to_be_hidden()
        line_.fall_silent()
        expect(page.locator("#wall-frozen")).to_be_visible()
        expect(page.locator("#live")).to_have_text("实时连接中断")
        expect(page.locator("[data-lost-age]")).to_have_text(re.compile(r"\d+ 秒前"))
        line_.come_back()
        expect(page.locator("#wall-frozen")).to_be_hidden()
        page.close()
        line_.close()


@pytest.mark.parametrize("size", [(1920, 1080), (3840, 2160)])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_wallboard_fits_the_screen_without_scrolling(
    county: County, quiet_site: Site, open_page: OpenPage, size: tuple[int, int], language: str
) -> None:
    put_alarm(county, CHILL, "high", "UNACKNOWLEDGED", respond=23, cause="compressor_failure")
    put_alarm(county, FROZEN, "high", "UNACKNOWLEDGED", suppression="SUPPRESSED_BY_DESIGN", hold="defrost")
    ARTIFACTS.mkdir(exist_ok=True)
    viewport = {"width": size[0], "height": size[1]}
    with opened(quiet_site, open_page, "/console/wallboard", viewport=viewport, language=language) as page:
        page.screenshot(path=str(ARTIFACTS / f"console-wallboard-{size[0]}-{language}.png"))
        assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == list(
            size
        )
        assert page.evaluate(
            "[...document.querySelectorAll('.tile')].every((it) => it.scrollHeight <= it.clientHeight)"
        )
        # From five metres a letter has to be a hundredth of a 65 inch screen's height at least.
        read = "it => parseFloat(getComputedStyle(document.querySelector(it)).fontSize)"
        heights = [page.evaluate(read, each) for each in (".tile__value", ".tile__name")]
        assert heights[0] > size[1] / 20
        assert heights[1] > size[1] / 50


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
