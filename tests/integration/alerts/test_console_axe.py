"""Every page of the console, on a phone and on a desk, in both languages, without a violation of WCAG 2.2 A and AA that
axe-core can see; and the alarm list by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.routing import APIRoute
from fix_alerts import CHILL, DEFROST, DOOR, FROZEN, HUMIDITY, TRUCK, County
from fix_browser import OpenPage
from fix_console import Site, console_site, operator, served
from fix_people import Team
from fix_shift import add_alarm
from playwright.sync_api import Page, expect
from psycopg.types.json import Jsonb
from starlette.routing import BaseRoute

from hanlu.alerts.rules.store import seed_defaults
from hanlu.registry.access import Role

pytestmark = [pytest.mark.postgres, pytest.mark.browser]

_RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
          "resultTypes": ["violations"]}  # fmt: skip
MINUTE = 60_000

PAGES = (
    "/console",
    "/console?site=yanling-store",
    "/console/zone/yanling-frozen",
    "/console/zone/yanling-chill",
    "/console/zone/truck-7-box",
    "/console/alarms",
    "/console/alarms?state=all",
    "/console/alarms/{alarm_id}",
    "/console/wallboard",
    "/console/gateways",
    "/console/quality",
    "/console/calibration",
    "/console/calibration?channel=1",
    "/console/load?span=7d",
    "/console/load/alarms?figure=called&span=7d",
    "/console/load/alarms?figure=shelved",
    "/console/excursions",
    "/console/excursions/{excursion_id}",
    "/console/rules",
    "/console/rules/limit-high",
    "/console/rules/limit-high/edit",
    "/console/rules/new?kind=high",
    "/console/rules/new",
    "/console/rules/bulk",
    "/console/runbook/high",
    "/console/runbook/compressor",
    "/console/people",
    "/console/people/log",
    "/console/people/holidays",
    "/console/people/mutes",
    "/console/people/receivers",
    "/console/people/receivers/new?kind=email",
    "/console/people/receivers/new?kind=wecom",
    "/console/people/receivers/li",
    "/console/people/rotas/new",
    "/console/people/escalation",
    "/console/people/escalation/yanling",
    "/console/handover",
    "/console/handover?site=yanling-store",
    "/console/handover/{number}",
)
"""Pages that answer a signed-in person; the names in braces are filled from the county's own keys."""


def fill(county: County) -> dict[str, Any]:
    """Fill the county so that no page is empty, and return the keys of what pages are about."""
    end = datetime.now(UTC)
    end_ms = int(end.timestamp() * 1000)
    cells = []
    for minute in range(-300, 0):
        at = end_ms + minute * MINUTE
        if not -170 < minute < -140:
            cells += [(FROZEN, at, -18.0 + max(0, minute + 60) * 0.2), (DEFROST, at, float(-230 < minute < -190))]
        cells += [(CHILL, at, 4.0 + minute % 7 / 10), (HUMIDITY, at, 85.0), (DOOR, at, float(minute % 90 == 0))]
    county.arrive(cells)
    county.arrive([(TRUCK, end_ms + minute * MINUTE, 5.0) for minute in range(-300, -12)])
    county.link(1)
    county.link(2, online=False)
    hour = timedelta(hours=1)
    first = add_alarm(county, FROZEN, end - hour, priority=1, state="UNACKNOWLEDGED", lasted_s=None)
    add_alarm(county, CHILL, end - 2 * hour, priority=2, state="ACKNOWLEDGED", lasted_s=None, seen_s=90)
    add_alarm(county, TRUCK, end - 3 * hour, state="RTN_UNACKNOWLEDGED")
    add_alarm(county, HUMIDITY, end - 4 * hour, state="LATCHED_UNACKNOWLEDGED", kind="dose")
    add_alarm(county, DOOR, end - 4 * hour, state="LATCHED_ACKNOWLEDGED", kind="door", seen_s=60)
    add_alarm(
        county, CHILL, end - hour, kind="low", state="UNACKNOWLEDGED", lasted_s=None, quiet="SHELVED", hold="repair"
    )
    add_alarm(
        county, FROZEN, end - hour, kind="rate", state="UNACKNOWLEDGED", lasted_s=None, quiet="SUPPRESSED_BY_DESIGN",
        hold="defrost", called=False,
    )  # fmt: skip
    add_alarm(
        county, HUMIDITY, end - hour, kind="stuck", state="UNACKNOWLEDGED", lasted_s=None, quiet="OUT_OF_SERVICE",
        hold="repair",
    )  # fmt: skip
    add_alarm(county, FROZEN, end - 9 * hour, quiet="SUPPRESSED_BY_DESIGN", hold="defrost_seen", called=False)
    for number in range(30):
        add_alarm(county, TRUCK, end - 30 * hour + number * timedelta(seconds=15), lasted_s=20, seen_s=30)
    with psycopg.connect(county.url) as connection:
        connection.execute(
            "INSERT INTO alerts.suppression VALUES (%s, 'low', 'SHELVED', 'repair', 'fan', 'wang', now(),"
            " now() + INTERVAL '2 hours'), (%s, '*', 'OUT_OF_SERVICE', 'repair', '', 'wang', now(), NULL)",
            (CHILL, HUMIDITY),
        )
        facts = {"at_ms": end_ms, "alarms": [], "alarms_total": 0, "points": [], "points_total": 0, "offline": []}
        row = connection.execute(
            "INSERT INTO alerts.handover (site_id, body, facts, signed_by, signed_at)"
            " VALUES (1, '门封待修', %s, 'wang', now()) RETURNING handover_id",
            (Jsonb(facts),),
        ).fetchone()
    assert row is not None
    return {"alarm_id": first, "number": row[0]}


@pytest.fixture
def keys(county: County, reported: int, team: Team) -> dict[str, Any]:
    seed_defaults(team.connection)
    team.receiver("li")
    team.policy((0, "li"), (15, "li"))
    excursion = county.query("SELECT excursion_id FROM alerts.excursion_alarm WHERE alarm_id = %s", reported)[0][0]
    return fill(county) | {"excursion_id": excursion}


@pytest.fixture
def site(county: County, team: Team, keys: dict[str, Any]) -> Iterator[Site]:
    with console_site(county, stream_tick_s=0.5, notify=team.config) as made:
        made.person = operator("/1/", roles=frozenset({Role.ADMIN, Role.OPERATOR, Role.INSPECTOR}))
        yield made


def violations(page: Page) -> list[str]:
    """Return what axe finds on the page as it is, a line each."""
    found = Axe().run(page, options=_RULES).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {' '.join(map(str, node['target']))}: {node['html'][:160]}"
        f" - {'; '.join(check['message'] for check in node['any'] + node['all'] + node['none'])}"
        for each in found
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("screen", ["phone", "desktop"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_pages_of_the_console_have_no_violation(
    site: Site, keys: dict[str, Any], open_page: OpenPage, screen: str, language: str
) -> None:
    found: dict[str, list[str]] = {}
    with served(site) as address:
        page = open_page(screen, language)
        for path in PAGES:
            answer = page.goto(address + path.format(**keys))
            assert answer is not None
            if answer.status != 200:
                found[path] = [f"answered {answer.status}"]
                continue
            # What lies folded must be as good as what lies open.
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
            if lines := violations(page):
                found[path] = lines
        page.close()
    assert found == {}


def test_every_page_of_the_console_is_looked_at(site: Site) -> None:
    looked_at = {path.split("?")[0] for path in PAGES}
    routes = list(_routes(site.app.routes))
    assert len(routes) > len(PAGES) / 2
    missing = {
        each.path for each in routes
        if each.path.startswith("/console") and "GET" in (each.methods or ()) and not each.path.endswith(NOT_PAGES)
        and not any(_fits(each.path, path) for path in looked_at)
    }  # fmt: skip
    assert missing == set()


NOT_PAGES = (".csv", ".pdf", ".json", ".toml", "/stream", "/series", "/alarms/{alarm_id}/excursion")
"""Addresses that answer with something else than a page."""


def _routes(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    for each in routes:
        if isinstance(each, APIRoute):
            yield each
        elif inner := getattr(each, "original_router", None):  # FastAPI keeps included routers as one route
            yield from _routes(inner.routes)


def _fits(route: str, path: str) -> bool:
    parts, own = route.split("/"), path.split("/")
    return len(parts) == len(own) and all(a == b or a.startswith("{") for a, b in zip(parts, own, strict=True))


class TestKeyboard:
    def test_tab_reaches_everything_of_the_alarm_list_and_shows_where_it_is(
        self, site: Site, open_page: OpenPage
    ) -> None:
        with served(site) as address:
            page = open_page("desktop", "en")
            page.goto(address + "/console/alarms")
            page.wait_for_selector('#live[data-state="on"]')
            wanted = page.evaluate(_FOCUSABLE)
            reached, unseen = [], []
            for _ in range(wanted + 5):
                page.keyboard.press("Tab")
                state = page.evaluate(_FOCUSED)
                if state is None or (reached and state["number"] == reached[0]):
                    break
                reached.append(state["number"])
                if not state["visible"]:
                    unseen.append(state["html"])
            missed = page.evaluate(_MISSED, reached)
            page.close()
        assert missed == []
        assert reached == sorted(reached), "the order of Tab is the order of reading"
        assert unseen == []

    def test_alarm_is_acknowledged_by_keyboard_alone(
        self, site: Site, keys: dict[str, Any], open_page: OpenPage
    ) -> None:
        with served(site) as address:
            page = open_page("desktop", "en")
            page.goto(f"{address}/console/alarms/{keys['alarm_id']}")
            page.wait_for_selector('#live[data-state="on"]')
            for _ in range(60):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.closest('.acknowledge') !== null"):
                    break
            page.keyboard.press("Enter")  # the script takes the focus into the form that opens
            expect(page.locator("details.acknowledge textarea")).to_be_focused()
            page.keyboard.type("door was open")
            page.keyboard.press("Tab")
            expect(page.locator("details.acknowledge button")).to_be_focused()
            with page.expect_navigation():
                page.keyboard.press("Enter")
            assert "door was open" in page.content()
            page.close()


_FOCUSABLE = """() => {
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')].filter(
    each => each.tabIndex >= 0 && !each.disabled && each.type !== 'hidden'
      && each.checkVisibility({visibilityProperty: true}));
  // One radio of a group takes the focus for all of them.
  const groups = new Set();
  window.__all = all.filter(each => each.type !== 'radio' || (!groups.has(each.name) && groups.add(each.name)));
  return window.__all.length;
}"""

_FOCUSED = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  const marked = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
  const number = window.__all.indexOf(one);
  return {number, html: one.outerHTML.slice(0, 120),
          visible: marked && box.width > 0 && box.bottom > 0 && box.top < innerHeight};
}"""

# What has gone in the meantime (a hint that any key dismisses) could not be reached any more.
_MISSED = """reached => window.__all.filter((each, number) => !reached.includes(number) && each.checkVisibility())
  .map(each => each.outerHTML)"""
