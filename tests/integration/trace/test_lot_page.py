"""The shopper's page over a real database: its words are those its script expects, and it answers quickly."""

from __future__ import annotations

import gzip
import io
import json
import time
from typing import Any

import pytest
import zxingcpp
from fix_demo_lot import LOT, LOT_PATH, LotSite, page_text
from fix_page import HARVEST_MS, browser_answers, demo_events
from PIL import Image

from hanlu.firmware_sim.journey import lots
from hanlu.trace.log.verify import verify_bundle

pytestmark = pytest.mark.postgres

DAY_MS = 86_400_000
HEADERS = {"zh": {"Accept-Language": "zh-CN"}, "en": {"Accept-Language": "en"}}


@pytest.fixture
def register_url(lot_url: str) -> str:
    """The county with its lot instead of the bare county."""
    return lot_url


def _bundles(lot_site: LotSite, **query: Any) -> list[dict[str, Any]]:
    answer = lot_site.site.client.get("/trace/bundle", params={"lot": LOT, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def _page(lot_site: LotSite, path: str = LOT_PATH, lang: str = "zh") -> str:
    answer = lot_site.site.client.get(path, headers=HEADERS[lang])
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("lot", [LOT, lots(HARVEST_MS).harvest[1].lot, lots(HARVEST_MS).pesticide])
def test_page_says_word_for_word_what_its_script_expects(lot_site: LotSite, lang: str, lot: str) -> None:
    tomorrow = [each for each in demo_events(HARVEST_MS + DAY_MS) if each["type"] == "TransformationEvent"]
    lot_site.capture(*tomorrow)  # so that something is left out
    lot_site.append()
    page = page_text(_page(lot_site, lot.removeprefix("https://id.gs1.org"), lang))
    bundles = lot_site.site.client.get("/trace/bundle", params={"lot": lot}).json()
    (shown,) = browser_answers([{"shown": [bundles, page.data]}])
    assert page.order == shown["order"]
    assert {jcs: page.parts[jcs] for jcs in page.order} == shown["lines"]
    known = {"lot-number", "journey", "heat", "sources", "inputs", "elsewhere", "omitted"}
    assert {name: text for name, text in page.parts.items() if name in known} == shown["parts"]
    assert "omitted" in shown["parts"] or lot == lots(HARVEST_MS).pesticide


def test_bundles_are_true_and_hang_from_one_checkpoint(lot_site: LotSite) -> None:
    bundles = _bundles(lot_site)
    assert bundles[0]["lot"] == LOT
    assert {each["lot"] for each in bundles[1:]} == {
        *(amount.lot for amount in lots(HARVEST_MS).harvest),
        lots(HARVEST_MS).fertiliser,
        lots(HARVEST_MS).pesticide,
    }
    assert len({each["checkpoint"] for each in bundles}) == 1
    assert {verify_bundle(each).verdict for each in bundles} == {"ok"}


def test_bundle_of_an_earlier_checkpoint_is_what_it_was(lot_site: LotSite) -> None:
    before = _bundles(lot_site)
    size = int(before[0]["checkpoint"].split("\n")[1])
    sale = {**demo_events()[-1], "eventTime": "2026-07-03T20:00:00.000+08:00"}
    lot_site.capture(sale)
    lot_site.append()
    after = _bundles(lot_site)
    assert len(after[0]["items"]) == len(before[0]["items"]) + 1
    assert _bundles(lot_site, size=size) == before
    other = type(lot_site)(lot_site.site, lot_site.url, lot_site.key_folder)
    assert _bundles(other, size=size + 1) == after


def test_page_asks_for_the_checkpoint_it_was_made_from(lot_site: LotSite) -> None:
    size = int(_bundles(lot_site)[0]["checkpoint"].split("\n")[1])
    assert f'data-size="{size}"' in _page(lot_site)


def test_new_record_and_new_anchor_are_seen_at_once(lot_site: LotSite) -> None:
    assert _bundles(lot_site)[0]["anchor"] is None
    count = len(page_text(_page(lot_site)).order)
    lot_site.capture({**demo_events()[-1], "eventTime": "2026-07-03T20:00:00.000+08:00"})
    lot_site.append()
    assert len(page_text(_page(lot_site)).order) == count + 1
    size = int(_bundles(lot_site)[0]["checkpoint"].split("\n")[1])
    _anchor(lot_site, size)
    anchored = _bundles(lot_site)
    assert {each["anchor"]["size"] for each in anchored} == {size}
    assert {verify_bundle(each).verdict for each in anchored} == {"ok"}


def _anchor(lot_site: LotSite, size: int) -> None:
    lot_site.run(
        "INSERT INTO trace.chain (chain_id, contract, log_origin, genesis_head, state, nonce, raw_transactions,"
        " tx_hashes, max_fee_wei, signed_at, deployed_at) VALUES (31337, %s, 'x', sha256(''), 'deployed', 0,"
        " '{}', '{}', 1, now(), now())",
        "0x" + "5A" * 20,
    )
    lot_site.run(
        "INSERT INTO trace.anchor (chain_no, seq, tree_size, root_hash, prev_head, head, state, nonce,"
        " raw_transactions, tx_hashes, max_fee_wei, prepared_at, signed_at, mined_tx, block_number)"
        " SELECT chain_no, 1, tree_size, root_hash, sha256(''), sha256('x'), 'mined', 1, '{}', '{}', 1,"
        " now(), now(), %s, 7 FROM trace.checkpoint, trace.chain WHERE tree_size = %s",
        "0x" + "7e" * 32,
        size,
    )


def test_bundle_is_sent_packed_to_who_takes_it(lot_site: LotSite) -> None:
    client = lot_site.site.client
    plain = client.get("/trace/bundle", params={"lot": LOT}, headers={"Accept-Encoding": "identity"})
    packed = client.get("/trace/bundle", params={"lot": LOT}, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content  # the client unpacks
    assert len(gzip.compress(plain.content)) < len(plain.content) / 4


def test_downloaded_bundle_is_named_after_its_lot(lot_site: LotSite) -> None:
    answer = lot_site.site.client.get("/trace/bundle", params={"lot": LOT, "download": True})
    assert answer.headers["content-disposition"] == f'attachment; filename="hanlu-{lots(HARVEST_MS).packed[-9:]}.json"'


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/01/06999999200017/10/NOBODY", 404),
        ("/01/06999999200018/10/YL1", 400),  # the check digit is wrong
        ("/trace/bundle?lot=https://id.gs1.org/01/06999999200017/10/NOBODY", 404),
        ("/trace/bundle?lot=https://id.gs1.org/01/06999999200017", 400),
        ("/trace/bundle?lot=nonsense", 400),
        (f"/trace/bundle?lot={LOT}&size=0", 422),
        (f"/trace/bundle?lot={LOT}&size=999999", 404),
        ("/trace/chain?tx=0x00", 404),  # this site has no chain
        ("/label/01/06999999200017/10/YL1.gif", 404),
        ("/label/01/06999999200017.svg", 400),
        ("/01/06999999200017", 400),
        ("/01/", 400),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_status(lot_site: LotSite, path: str, status: int) -> None:
    assert lot_site.site.client.get(path).status_code == status


def test_lot_waiting_for_the_log_is_told_so(lot_site: LotSite) -> None:
    lot_site.capture(*demo_events(HARVEST_MS + DAY_MS))
    answer = lot_site.site.client.get(lots(HARVEST_MS + DAY_MS).packed.removeprefix("https://id.gs1.org"))
    assert answer.status_code == 200
    assert "正在写入日志" in answer.text


def test_item_page_is_its_lots_page_and_counts_scans_of_its_own(lot_site: LotSite) -> None:
    assert "已被打开 1 次" in _page(lot_site, f"{LOT_PATH}/21/7")
    assert "已被打开 2 次" in _page(lot_site, f"{LOT_PATH}/21/7")
    assert "已被打开 1 次" in _page(lot_site)


def test_lot_number_with_signs_has_its_page_its_proof_and_its_label(lot_site: LotSite) -> None:
    lot = f"{LOT.rpartition('/')[0]}/A%2F1%28%2B%29.b"
    sale = {**demo_events()[-1], "quantityList": [{"epcClass": lot, "quantity": 3}]}
    lot_site.capture(sale)
    lot_site.append()
    path = lot.removeprefix("https://id.gs1.org")
    page = page_text(_page(lot_site, path))
    assert page.parts["lot-number"] == "A/1(+).b"
    bundles = lot_site.site.client.get("/trace/bundle", params={"lot": lot}).json()
    assert bundles[0]["lot"] == lot
    ours, number, shown = browser_answers([{"path": path}, {"number": lot}, {"shown": [bundles, page.data]}])
    assert (ours, number) == (lot, "A/1(+).b")
    assert {jcs: page.parts[jcs] for jcs in page.order} == shown["lines"]
    label = zxingcpp.read_barcodes(Image.open(io.BytesIO(lot_site.site.client.get(f"/label{path}.png").content)))
    assert [each.text for each in label] == [f"http://127.0.0.1:8077{path}"]


def test_words_of_partners_cannot_break_out_of_the_page(lot_site: LotSite) -> None:
    lot_site.capture(
        {
            **demo_events()[-1],
            "eventTime": "2026-07-03T21:00:00.000+08:00",
            "hanlu:note": "</script><script>alert(1)</script>",
        }
    )
    lot_site.append()
    page = _page(lot_site)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_page_and_bundle_answer_within_a_tenth_of_a_second(lot_site: LotSite) -> None:
    fresh = []
    for minute in range(4):  # each time something is new, so that everything is put together anew
        lot_site.capture({**demo_events()[-1], "eventTime": f"2026-07-03T20:0{minute}:00.000+08:00"})
        lot_site.append()
        fresh.append((_timed(lot_site, LOT_PATH), _timed(lot_site, f"/trace/bundle?lot={LOT}")))
    assert max(min(each) for each in zip(*fresh, strict=True)) < 0.1, fresh
    again = min(_timed(lot_site, LOT_PATH) for _ in range(5))
    assert again < min(page for page, _ in fresh)


def _timed(lot_site: LotSite, path: str) -> float:
    begun = time.perf_counter()
    assert lot_site.site.client.get(path).status_code == 200
    return time.perf_counter() - begun


def test_bundle_of_the_demo_lot_fits_a_phone(lot_site: LotSite) -> None:
    answer = lot_site.site.client.get("/trace/bundle", params={"lot": LOT}, headers={"Accept-Encoding": "identity"})
    assert len(answer.content) < 200_000
    assert len(gzip.compress(answer.content, 6)) < 45_000
    points = [len(item["document"].get("points", ())) for each in json.loads(answer.content) for item in each["items"]]
    assert sum(points) > 3_000


def test_front_page_offers_a_lot_that_can_be_followed_to_the_buyer(lot_site: LotSite) -> None:
    page = lot_site.site.client.get("/").text
    assert f'href="{LOT_PATH}" id="try"' in page
    assert f'src="/label{LOT_PATH}.svg"' in page
    assert lot_site.site.client.get(f"/label{LOT_PATH}.svg").headers["content-type"].startswith("image/svg+xml")


def test_front_page_offers_no_lot_while_none_was_sold(lot_site: LotSite) -> None:
    lot_site.run("ALTER TABLE trace.leaf DISABLE TRIGGER ALL")
    lot_site.run(
        "DELETE FROM trace.leaf WHERE event_id IN (SELECT event_id FROM trace.event WHERE biz_step = %s)",
        "retail_selling",
    )
    assert 'id="try"' not in lot_site.site.client.get("/").text
