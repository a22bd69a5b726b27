"""The shopper's and the inspector's paths in a real Chromium at the whole running county.

The shopper: scan the label, open what it says, see it checked. Then the same with one byte changed in every kind of
place, and with one word changed on the page: red each time. The inspector: sign in, find the lot, walk both ways, take
it home. Pictures are kept in tests/artifacts.
"""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import zxingcpp
from fix_browser import OpenPage
from fix_running import RunningHanlu, running_hanlu
from fix_services import wait_until
from openpyxl import load_workbook
from PIL import Image
from playwright.sync_api import Page, Route, expect

from hanlu.firmware_sim import day
from hanlu.firmware_sim.journey import lots
from hanlu.trace.log.verify import verify_bundle

pytestmark = [pytest.mark.postgres, pytest.mark.chain, pytest.mark.browser, pytest.mark.slow]

PAST_S = 240.0
"""Seconds in which the county's past of two days is made, logged and anchored."""
_VERDICT = "#proof[data-verdict]"


@dataclass(frozen=True, slots=True)
class Shop:
    """The running county and the lot a shopper holds."""

    hanlu: RunningHanlu
    lot: str

    @property
    def path(self) -> str:
        """Path of the lot's page."""
        return self.lot.removeprefix("https://id.gs1.org")

    @property
    def page(self) -> str:
        """Address of the lot's page."""
        return self.hanlu.url + self.path

    def bundles(self) -> list[dict[str, Any]]:
        """Return the proof as the server gives it now."""
        address = f"{self.hanlu.url}/trace/bundle?lot={quote(self.lot, safe='')}"
        return json.loads(_get(address))  # type: ignore[no-any-return]


def _get(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"Accept-Language": "zh-CN", "Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """The whole system, once the finished lot is in the log with all its readings and on the chain."""
    with running_hanlu(environment={"HANLU_CHAIN__ANCHOR_EVERY_S": "2"}) as hanlu:
        with psycopg.connect(hanlu.database_url) as connection:
            now_ms = int(connection.execute("SELECT extract(epoch FROM now()) * 1000").fetchall()[0][0])
        lot = Shop(hanlu, lots(day.newest_finished_harvest(now_ms)).packed)
        wait_until(lambda: _is_done(lot), "the lot is on the chain", PAST_S)
        yield lot


def _is_done(shop: Shop) -> bool:
    with psycopg.connect(shop.hanlu.database_url) as connection:
        rows = connection.execute(
            "SELECT count(*) FILTER (WHERE e.biz_step = 'retail_selling') > 0,"
            " (SELECT count(*) FROM trace.curve_due WHERE bucket_at < now() - INTERVAL '8 hours') = 0"
            " FROM trace.leaf AS l JOIN trace.event AS e USING (event_id) WHERE l.lot_uri = %s",
            (shop.lot,),
        ).fetchall()
    if not all(rows[0]):
        return False
    return bool(shop.bundles()[0]["anchor"])


@pytest.fixture
def scan(open_page: OpenPage, shop: Shop) -> Callable[..., Page]:
    """A function `scan(change=…, html=…, **context)` that opens the lot's page and waits for its verdict.

    `change` gets the text of the proof and returns another, `html` that of the page.
    """

    def opened(
        change: Callable[[str], str] | None = None, html: Callable[[str], str] | None = None, **context: Any
    ) -> Page:
        page = open_page(**{"screen": "phone", **context})
        if change is not None:
            page.route("**/trace/bundle?*", lambda route: _fulfil(route, change))
        if html is not None:
            page.route(shop.page, lambda route: _fulfil(route, html))
        page.goto(shop.page)
        page.wait_for_selector(_VERDICT)
        return page

    return opened


def _fulfil(route: Route, change: Callable[[str], str]) -> None:
    answer = route.fetch()
    before = answer.text()
    after = change(before)
    assert after != before, "nothing was changed"
    route.fulfill(response=answer, body=after)


def _verdict(page: Page) -> str | None:
    return page.get_attribute("#proof", "data-verdict")


def _green(page: Page) -> None:
    said = page.inner_text("#proof")
    assert _verdict(page) == "good", said + "\n" + str(page.text_content("#proof-checks"))
    assert page.locator(".is-broken").count() == 0
    assert page.locator(".proof-mark:not(.is-ok)").count() == 0


def _red(page: Page) -> None:
    assert _verdict(page) == "bad", page.inner_text("#proof")
    assert page.locator("#proof-checks li.is-failed").count() > 0


# --- the shopper -----------------------------------------------------------------------------------------------------


def test_scanned_label_opens_the_lots_page_and_the_phone_finds_it_true(
    shop: Shop, open_page: OpenPage, picture: Callable[[Page, str], Path]
) -> None:
    label = Image.open(io.BytesIO(_get(f"{shop.hanlu.url}/label{shop.path}.png")))
    (scanned,) = zxingcpp.read_barcodes(label)
    assert scanned.text == shop.page
    page = open_page("phone")
    page.goto(scanned.text)
    page.wait_for_selector(_VERDICT)
    _green(page)
    assert "核验通过" in page.inner_text("#proof")
    assert "区块链上" in page.inner_text("#proof-words")
    picture(page, "trace-lot-phone-zh")


@pytest.mark.parametrize(("screen", "language"), [("phone", "en"), ("desktop", "zh"), ("desktop", "en")])
def test_page_is_true_on_every_screen_and_in_both_languages(
    scan: Callable[..., Page], picture: Callable[[Page, str], Path], screen: str, language: str
) -> None:
    page = scan(screen=screen, language=language)
    _green(page)
    picture(page, f"trace-lot-{screen}-{language}")


def test_journey_tells_the_whole_way_with_farm_inputs_apart(scan: Callable[..., Page]) -> None:
    page = scan(language="en")
    steps = page.locator("#journey > li strong").all_inner_texts()
    assert steps[:6] == ["Harvested"] * 3 + ["Stored", "Inspected", "Sorted and packed"]
    assert steps[6:14] == [
        "Loaded", "Shipped", "Received", "Stored", "Loaded", "Shipped", "Received", "Put on sale",
    ]  # fmt: skip
    assert set(steps[14:]) == {"Sold to a shopper"}
    expect(page.locator("#inputs article")).to_have_count(2)
    expect(page.locator("#inputs")).to_contain_text("Pre-harvest interval 10 days")
    assert page.locator("#sources a").count() == 3


def test_curve_is_drawn_from_the_checked_readings_with_its_stations_legibly(scan: Callable[..., Page]) -> None:
    page = scan()
    # Field, pre-cooler, hall, truck, cold room, truck; the locker's once its piece of the curve is committed.
    assert page.locator("#curve[data-checked] svg path.curve-line").count() >= 6
    assert page.locator("#curve .curve-strip").count() == page.locator(".stations li").count()
    sizes = page.eval_on_selector_all(
        "#curve text", "all => all.map((each) => each.getBoundingClientRect().height / each.getBBox().height)"
    )
    assert min(sizes) > 0.98  # drawn at its own size: 11 px are 11 px
    box = page.locator("#curve svg").bounding_box()
    assert box is not None
    assert box["width"] <= 390


def test_every_lot_the_page_leads_to_is_true_as_well(shop: Shop, scan: Callable[..., Page]) -> None:
    page = scan()
    paths = page.eval_on_selector_all("#sources a, #inputs h3 a", "all => all.map((each) => each.getAttribute('href'))")
    assert len(paths) == 5
    for path in paths:
        page.goto(shop.hanlu.url + path)
        page.wait_for_selector(_VERDICT)
        _green(page)


def test_proof_that_was_taken_home_is_true_without_us(shop: Shop, scan: Callable[..., Page]) -> None:
    page = scan()
    with page.expect_download() as taken:
        page.get_by_text("下载证明文件").last.click()
    bundles = json.loads(taken.value.path().read_text(encoding="utf-8"))
    assert bundles[0]["lot"] == shop.lot
    assert {verify_bundle(each).verdict for each in bundles} == {"ok"}


# --- one byte changed in the proof -----------------------------------------------------------------------------------


def _flip(text: str, pattern: str, group: int = 1) -> str:
    """Change the last character of what `pattern` finds: one byte."""
    found = re.search(pattern, text)
    assert found is not None, pattern
    place = found.end(group) - 1
    other = {"0": "1", "A": "B", "a": "b"}.get(text[place], "0" if text[place].isdigit() else "A")
    return text[:place] + other + text[place + 1 :]


BYTES: dict[str, str] = {
    "time of an event": r'"eventTime":"[0-9-]+T([0-9]{2}:[0-9]{2})',
    "step of an event": r'"bizStep":"(shippin)g',
    "quantity of an event": r'"quantity":([0-9]+)',
    "place of an event": r'"bizLocation":\{"id":"https://id\.gs1\.org/414/([0-9]{13})',
    "lot in an event": r'"epcClass":"(https://id\.gs1\.org/01/[0-9]{14}/10/[A-Z0-9]+)"',
    "fact of an event": r'"hanlu:grade":"([^"]+)"',
    "value of a reading": r"\[[0-9]{13},(-?[0-9.]+)\]",
    "time of a reading": r"\[([0-9]{13}),-?[0-9.]+\]",
    "thermometer": r'"channel":"([^"]+)"',
    "place of a thermometer": r'"zone":"(https://id\.gs1\.org/414/[0-9]{13})"',
    "inclusion path": r'"path":\["([A-Za-z0-9+/]{20})',
    "place in the log": r'"index":([0-9]+)',
    "leaf's digest": r'"jcs":"sha256:([0-9a-f]{64})"',
    "leaf's counter": r'"n":([0-9]+)',
    "leaf before": r'"prev":"([0-9a-f]{64})"',
    "head": r'"head":\{"n":[0-9]+,"leaf":"([0-9a-f]{64})"',
    "size in the checkpoint": r'"checkpoint":"[^\\]+\\n([0-9]+)',
    "root in the checkpoint": r'"checkpoint":"[^\\]+\\n[0-9]+\\n([A-Za-z0-9+/]{20})',
    "signature": r'"checkpoint":"[^\\]+\\n[0-9]+\\n[^\\]+\\n\\n— [^ ]+ ([A-Za-z0-9+/]{40})',
    "key": r'"key":"[^"+]+\+[0-9a-f]{8}\+([A-Za-z0-9+/]{20})',
    "anchor's root": r'"anchor":\{[^}]*"root":"(0x[0-9a-f]{64})"',
    "anchor's number": r'"anchor":\{[^}]*"seq":([0-9]+)',
    "anchor's transaction": r'"anchor":\{[^}]*"tx":"(0x[0-9a-f]{64})"',
}


@pytest.mark.parametrize("what", BYTES)
def test_one_changed_byte_of_the_proof_is_seen(scan: Callable[..., Page], what: str) -> None:
    _red(scan(change=lambda text: _flip(text, BYTES[what])))


def test_red_page_is_unmistakable(scan: Callable[..., Page], picture: Callable[[Page, str], Path]) -> None:
    page = scan(change=lambda text: _flip(text, BYTES["value of a reading"]))
    _red(page)
    assert "核验不通过" in page.inner_text("#proof")
    picture(page, "trace-lot-changed-phone-zh")


def _edited(edit: Callable[[list[dict[str, Any]]], object]) -> Callable[[str], str]:
    def change(text: str) -> str:
        bundles = json.loads(text)
        edit(bundles)
        return json.dumps(bundles)

    return change


WHOLES: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "another lot's proof": lambda bundles: bundles.reverse(),
    "a source left out": lambda bundles: bundles.pop(),
    "a source twice": lambda bundles: bundles.append(bundles[1]),
    "no proof at all": lambda bundles: bundles.clear(),
    "the newest record left out": lambda bundles: bundles[0]["items"].pop(),
    "a record left out": lambda bundles: bundles[0]["items"].pop(1),
    "the anchor left out of one": lambda bundles: bundles[1].update(anchor=None),
}


@pytest.mark.parametrize("what", WHOLES)
def test_proof_that_is_not_whole_is_seen(scan: Callable[..., Page], what: str) -> None:
    page = scan(change=_edited(WHOLES[what]))
    assert _verdict(page) == "bad", page.inner_text("#proof")


def test_proof_that_is_no_json_is_seen(scan: Callable[..., Page]) -> None:
    assert _verdict(scan(change=lambda text: text[:-2])) == "bad"


# --- one word changed on the page ------------------------------------------------------------------------------------


def _swapped(html: str) -> str:
    first, second = re.findall(r"<li data-jcs=.*?</li>", html, re.DOTALL)[:2]
    return html.replace(first, "\0").replace(second, first).replace("\0", second)


WORDS: dict[str, Callable[[str], str]] = {
    "time of an event": lambda html: re.sub(r"(<time>[0-9-]+ )([0-9]{2})", r"\g<1>99", html, count=1),
    "step": lambda html: html.replace("<strong>检验</strong>", "<strong>检验合格</strong>"),
    "amount": lambda html: re.sub(r'(<span class="muted">)[0-9.]+ 千克', r"\g<1>99 千克", html, count=1),
    "place": lambda html: re.sub(
        r"(</strong>.*?<p class=\"small\">)[^<]+", r"\g<1>别处", html, count=1, flags=re.DOTALL
    ),
    "fact": lambda html: html.replace("<dd>锦绣黄桃</dd>", "<dd>有机黄桃</dd>", 1),
    "digest": lambda html: re.sub(r'(<dd class="mono">sha256:)[0-9a-f]', r"\g<1>_", html, count=1),
    "line added": lambda html: html.replace(
        '<ol class="timeline" id="journey">', '<ol class="timeline" id="journey"><li>有机认证</li>'
    ),
    "words added to a line": lambda html: html.replace("<strong>采收</strong>", "<strong>采收</strong> 有机", 1),
    "line hidden": lambda html: re.sub(r"<li data-jcs=.*?</li>", "", html, count=1, flags=re.DOTALL),
    "lines swapped": _swapped,
    "line shown twice": lambda html: re.sub(r"(<li data-jcs=.*?</li>)", r"\1\1", html, count=1, flags=re.DOTALL),
    "link of a line": lambda html: re.sub(r'(<dd><a href="/01/[0-9]{14}/10/)', r"\g<1>X", html, count=1),
    "share within the range": lambda html: re.sub(r'[0-9]+(<span class="unit">%)', r"100\1", html, count=1),
    "highest": lambda html: re.sub(
        r'[0-9.]+(<span class="unit">°C</span></span><span class="stat__label">最高)', r"2.9\1", html
    ),
    "temperature of a station": lambda html: re.sub(r'(<span class="num">)[0-9.]+', r"\g<1>0.5", html, count=1),
    "interval before the harvest": lambda html: html.replace("安全间隔期 10 天", "安全间隔期 1 天", 1),
    "farm input hidden": lambda html: re.sub(r"<article.*?</article>", "", html, count=1, flags=re.DOTALL),
    "source hidden": lambda html: re.sub(r'(id="sources">.*?)<li>.*?</li>', r"\1", html, count=1, flags=re.DOTALL),
    "lot number": lambda html: re.sub(r'(id="lot-number">)[^<]+', r"\g<1>YL000000P", html),
}


@pytest.mark.parametrize("what", WORDS)
def test_one_changed_word_of_the_page_is_seen(scan: Callable[..., Page], what: str) -> None:
    _red(scan(html=WORDS[what]))


def test_page_of_another_lot_under_this_code_is_seen(shop: Shop, scan: Callable[..., Page]) -> None:
    other = shop.bundles()[1]["lot"].removeprefix("https://id.gs1.org")
    page = scan(html=lambda _: _get(shop.hanlu.url + other).decode())
    _red(page)


# --- when something is away ------------------------------------------------------------------------------------------


def test_chain_that_says_otherwise_is_seen(open_page: OpenPage, shop: Shop) -> None:
    page = open_page("phone")
    page.route(
        "**/trace/chain?*",
        lambda route: _fulfil(route, lambda text: _flip(text, r'"data":"0x[0-9a-f]{64}([0-9a-f]{64})"')),
    )
    page.goto(shop.page)
    page.wait_for_selector(_VERDICT)
    _red(page)


def test_anchor_the_chain_does_not_know_is_not_confirmed(scan: Callable[..., Page]) -> None:
    page = scan(change=lambda text: re.sub(r'"tx":"0x[0-9a-f]{64}"', f'"tx":"0x{7:064x}"', text))
    assert _verdict(page) == "wait"
    assert "区块链上查不到" in page.inner_text("#proof-words")


def test_chain_that_is_away_leaves_the_page_true_and_says_so(open_page: OpenPage, shop: Shop) -> None:
    page = open_page("phone")
    page.route("**/trace/chain?*", lambda route: route.fulfill(status=503, body="{}"))
    page.goto(shop.page)
    page.wait_for_selector(_VERDICT)
    _green(page)
    assert "无法询问区块链" in page.inner_text("#proof-words")


def test_proof_that_cannot_be_fetched_leaves_the_page_unchecked(open_page: OpenPage, shop: Shop) -> None:
    page = open_page("phone", "en")
    page.route("**/trace/bundle?*", lambda route: route.fulfill(status=503, body="{}"))
    page.goto(shop.page)
    page.wait_for_selector(_VERDICT)
    assert _verdict(page) == "wait"
    assert "Cannot check just now" in page.inner_text("#proof")


def test_phone_without_native_signatures_checks_all_the_same(
    scan: Callable[..., Page], open_page: OpenPage, shop: Shop
) -> None:
    page = open_page("phone")
    page.add_init_script("Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined })")
    page.goto(shop.page)
    page.wait_for_selector(_VERDICT)
    _green(page)
    page.route("**/trace/bundle?*", lambda route: _fulfil(route, lambda text: _flip(text, BYTES["signature"])))
    page.reload()
    page.wait_for_selector(_VERDICT)
    _red(page)


def test_page_without_script_says_that_nothing_was_checked(
    open_page: OpenPage, shop: Shop, picture: Callable[[Page, str], Path]
) -> None:
    page = open_page("phone", java_script_enabled=False)
    page.goto(shop.page)
    assert "尚未核验" in page.inner_text("#proof")
    assert page.locator("noscript").is_visible()
    assert page.locator("#curve svg path.curve-line").count() == 1  # the server's drawing
    picture(page, "trace-lot-noscript-phone-zh")


# --- the inspector ---------------------------------------------------------------------------------------------------


@pytest.fixture
def inspector(open_page: OpenPage, shop: Shop) -> Callable[..., Page]:
    """A function that gives a page on which the inspector is signed in."""

    def signed_in(screen: str = "desktop", language: str = "zh") -> Page:
        page = open_page(screen, language)
        page.goto(f"{shop.hanlu.url}/inspect")
        page.fill("#login", "inspector")
        page.fill("#password", shop.hanlu.passwords["inspector"])
        page.press("#password", "Enter")
        page.wait_for_url("**/inspect")
        return page

    return signed_in


def test_inspector_finds_the_lot_walks_both_ways_and_takes_it_home(
    shop: Shop, inspector: Callable[..., Page], picture: Callable[[Page, str], Path]
) -> None:
    page = inspector()
    number = shop.lot.rpartition("/")[2]
    page.fill("#q", number)
    page.press("#q", "Enter")
    page.locator("table a").first.click()
    expect(page.locator("#graph .lot--focus")).to_contain_text(number)
    picture(page, "trace-inspect-desktop-zh")
    page.locator("#graph a", has_text=f"{number[:-1]}A").click()  # back to a harvest
    expect(page.locator("#graph .lot--focus")).to_contain_text(f"{number[:-1]}A")
    page.locator("#graph a", has_text=number).click()  # and forward again
    expect(page.locator("#graph .lot--focus")).to_contain_text(number)
    page.locator("details summary").first.click()
    expect(page.locator('table[data-direction="back"] tbody tr')).to_have_count(9)
    with page.expect_download() as epcis:
        page.get_by_text("导出 EPCIS").click()
    document = json.loads(epcis.value.path().read_text(encoding="utf-8"))
    assert document["type"] == "EPCISDocument"
    assert len(document["epcisBody"]["eventList"]) >= 21
    with page.expect_download() as sheet:
        page.get_by_text("导出表格").click()
    assert load_workbook(io.BytesIO(sheet.value.path().read_bytes())).sheetnames == ["批次", "事件", "来源去向", "温度"]


@pytest.mark.parametrize("screen", ["phone", "desktop"])
def test_inspectors_pages_in_english(
    shop: Shop, inspector: Callable[..., Page], picture: Callable[[Page, str], Path], screen: str
) -> None:
    page = inspector(screen, "en")
    picture(page, f"trace-search-{screen}-en")
    page.goto(f"{shop.hanlu.url}/inspect/lot?uri={shop.lot}")
    focus = page.locator("#graph .lot--focus").bounding_box()
    assert focus is not None
    assert 0 <= focus["x"] < page.viewport_size["width"]  # type: ignore[index]
    picture(page, f"trace-inspect-{screen}-en")


def test_sheet_of_labels_prints_24_readable_codes_on_one_page(
    shop: Shop, inspector: Callable[..., Page], picture: Callable[[Page, str], Path]
) -> None:
    page = inspector()
    page.goto(f"{shop.hanlu.url}/inspect/labels?uri={shop.lot}")
    paper = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1
    page.emulate_media(media="print")
    codes = zxingcpp.read_barcodes(Image.open(picture(page, "trace-labels-print-zh")))
    assert [each.text for each in codes] == [shop.page] * 24
