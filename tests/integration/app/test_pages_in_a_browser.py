"""The application's own pages in a real browser: both screens, both languages, by keyboard, without a complaint."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fix_browser import SCREENS
from fix_site import ServedSite
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

OpenPage = Callable[..., Any]
NUMBERS = {"sites": 6, "channels": 78, "channels_live": 70, "readings": 1_234_567, "alarms": 1, "records": 5} | {
    "anchored_at": "2026-11-20 14:03"
}
EVERY_LOOK = pytest.mark.parametrize(
    ("screen", "language"), [(screen, language) for screen in SCREENS for language in ("zh", "en")]
)


def fits(page: Any, screen: str) -> bool:
    """Tell whether nothing sticks out sideways."""
    return page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["viewport"]["width"]


def sign_in(page: Any, site: ServedSite, login: str) -> None:
    page.fill("#login", login)
    page.fill("#password", site.passwords[login])
    page.press("#password", "Enter")


@EVERY_LOOK
def test_the_front_page_and_sign_in_fit_the_screen(
    served_site: ServedSite, open_page: OpenPage, picture: Callable[..., Any], screen: str, language: str
):
    page = open_page(screen, language)
    for path, name in (("/", "front"), ("/signin", "signin"), ("/nothing", "not-found"), ("/find?code=x", "find")):
        page.goto(served_site.url + path)
        assert page.locator("h1").count() == 1
        assert page.locator("html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[language]
        assert fits(page, screen), path
        picture(page, f"app-{name}-{screen}-{language}")


def test_the_numbers_of_the_front_page_are_live_and_say_when_they_are_not(served_site: ServedSite, open_page: OpenPage):
    page = open_page("desktop", "en")
    page.clock.install()
    page.goto(served_site.url)
    assert page.locator("#live").get_attribute("data-state") == "on"
    page.route("**/summary.json", lambda route: route.fulfill(json=NUMBERS))
    page.clock.run_for(6_000)
    expect(page.locator("[data-number=readings]")).to_have_text("1,234,567")
    page.unroute("**/summary.json")
    page.route("**/summary.json", lambda route: route.fulfill(status=503, body=""))
    page.clock.run_for(6_000)
    page.wait_for_selector("#live[data-state=off]")
    assert page.locator("#live").inner_text() == "connection lost"


def test_the_language_changes_in_place(served_site: ServedSite, open_page: OpenPage):
    page = open_page("phone", "zh")
    page.goto(f"{served_site.url}/signin?next=%2Fme")
    page.click("a.lang")
    page.wait_for_selector("h1:has-text('Sign in')")
    assert page.input_value("input[name=next]") == "/me"
    page.goto(served_site.url)
    assert "Every degree on record" in page.inner_text("h1")


def test_a_wrong_password_is_told_and_the_right_one_leads_on(
    served_site: ServedSite, open_page: OpenPage, picture: Callable[..., Any]
):
    page = open_page("phone", "zh")
    page.goto(f"{served_site.url}/me")
    assert re.search(r"/signin\?next=%2Fme$", page.url)
    page.fill("#login", "operator")
    page.fill("#password", "wrong")
    page.press("#password", "Enter")
    page.wait_for_selector("[role=alert]")
    picture(page, "app-signin-wrong-phone-zh")
    assert page.input_value("#login") == "operator"
    assert page.input_value("#password") == ""
    sign_in(page, served_site, "operator")
    page.wait_for_url("**/me")
    page.click("header button[type=submit]")
    page.wait_for_url(served_site.url + "/")


@EVERY_LOOK
def test_an_administrator_adds_a_person_who_signs_in(
    served_site: ServedSite, open_page: OpenPage, picture: Callable[..., Any], screen: str, language: str
):
    page = open_page(screen, language)
    page.goto(f"{served_site.url}/signin?next=/admin/people")
    sign_in(page, served_site, "admin")
    page.wait_for_url("**/admin/people")
    page.fill("#new-login", "wang")
    page.fill("#new-name", "王值班")
    page.select_option("#new-organisation", "yanling")
    page.check("input[value=inspector]")
    page.click("#add button[type=submit]")
    password = page.inner_text("#made-password")
    assert fits(page, screen)
    picture(page, f"app-people-{screen}-{language}")
    page.goto(f"{served_site.url}/me")
    assert fits(page, screen)
    picture(page, f"app-me-{screen}-{language}")
    page.click("header button[type=submit]")
    page.goto(f"{served_site.url}/signin?next=/me")
    served_site.passwords["wang"] = password
    sign_in(page, served_site, "wang")
    page.wait_for_url("**/me")
    del served_site.passwords["wang"]
    assert page.inner_text("h1") == "王值班"


def test_the_keyboard_reaches_the_content_first_and_everything_after(served_site: ServedSite, open_page: OpenPage):
    page = open_page("desktop", "en")
    page.goto(served_site.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#main$"))
    reached = set()
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.id"))
    assert {"code", "/console", "/inspect"} <= reached
