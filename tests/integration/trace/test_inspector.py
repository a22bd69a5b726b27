"""The inspector's pages over a real database: find, walk both ways, export, print; each step is in the audit."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from fix_demo_lot import LOT, NOW_MS, LotSite
from fix_page import HARVEST_MS, demo_events
from fix_register import Template
from fix_shared import shared_dir
from fix_trace import new_orchard
from openpyxl import load_workbook

from hanlu.db.pool import connect
from hanlu.firmware_sim.journey import lots
from hanlu.trace.capture import capture_document
from hanlu.trace.config import CaptureConfig, CurveConfig

pytestmark = pytest.mark.postgres

LOTS = lots(HARVEST_MS)
HARVEST = LOTS.harvest[0].lot
NUMBER = LOT.rpartition("/")[2]


@pytest.fixture
def register_url(lot_url: str) -> str:
    """The county with its lot instead of the bare county."""
    return lot_url


@pytest.fixture
def look(lot_site: LotSite) -> Callable[..., str]:
    """A function `look(path, **query)` that returns a page as the signed-in inspector."""
    lot_site.site.enter("inspector")

    def at(path: str, **query: Any) -> str:
        answer = lot_site.site.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.text

    return at


def _found(page: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'href="/inspect/lot\?uri=([^"]+)"', page)]


def _quoted(uri: str) -> str:
    return uri.replace(":", "%3A")


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        NUMBER.lower(),
        LOT,
        f"http://127.0.0.1:8077/01/06999999200017/10/{NUMBER}/21/7?17=261203",
        "06999999200017",
        "2.5 kg 箱装",
        "2.5 kg BOX",
    ],
)
def test_lot_is_found_by_code_number_gtin_and_product(look: Callable[..., str], text: str) -> None:
    assert _found(look("/inspect", q=text)) == [_quoted(LOT)]


def test_search_without_words_shows_the_newest_lots_and_nonsense_finds_nothing(look: Callable[..., str]) -> None:
    assert len(_found(look("/inspect"))) == 6
    assert _found(look("/inspect", q="%_\\' OR 1=1 --")) == []


def test_lot_is_walked_back_to_the_field_and_forward_to_the_shop(look: Callable[..., str]) -> None:
    packed = look("/inspect/lot", uri=LOT)
    assert set(_in_picture(packed)) == {*(each.lot for each in LOTS.harvest), LOTS.fertiliser, LOTS.pesticide}
    harvest = look("/inspect/lot", uri=HARVEST)
    assert set(_in_picture(harvest)) == {LOT, LOTS.fertiliser, LOTS.pesticide}
    pesticide = look("/inspect/lot", uri=LOTS.pesticide)
    assert LOT in _in_picture(pesticide)
    assert 'data-direction="forward"' in pesticide
    assert 'data-direction="back"' not in pesticide


def _in_picture(page: str) -> list[str]:
    picture = page.partition('id="graph">')[2].partition("</svg>")[0]
    return [
        unescape(each).replace("%3A", ":").replace("%2F", "/")
        for each in re.findall(r'href="/inspect/lot\?uri=([^"]+)"', picture)
    ]


def test_lot_shows_every_event_raw_with_its_hash_and_the_cold_chain_of_each_stay(look: Callable[..., str]) -> None:
    page = look("/inspect/lot", uri=LOT)
    assert len(set(re.findall(r"ni:///sha-256;[0-9a-f]{64}\?ver=CBV2\.0", page))) == 12
    assert page.count('class="curve"') == 5  # the dock has no thermometer
    assert page.count("此处没有温度通道") == 1
    assert "平乐黄桃专业合作社(演示) → 炎陵供销冷链车队(演示)" in page
    assert page.count("网关签名") == 12


def test_exported_epcis_is_captured_again_elsewhere_event_for_event(
    look: Callable[..., str], lot_site: LotSite, register_template: Template
) -> None:
    exported = look("/inspect/export/epcis.json", uri=LOT)
    hashes = {row[0] for row in lot_site.run("SELECT event_hash FROM trace.event")}
    with (
        new_orchard(register_template.admin_url) as elsewhere,
        connect(elsewhere.url, "hanlu_trace", name="tests", autocommit=True) as connection,
    ):
        done = capture_document(
            connection,
            exported.encode(),
            source="rest:test",
            evidence=0,
            now_ms=NOW_MS,
            capture=CaptureConfig(),
            curve=CurveConfig(),
        )
        assert (done.success, done.problems) == (True, ())
        assert set(done.hashes) == hashes
        kept = elsewhere.query("SELECT event_hash, jcs_sha256 FROM trace.event")
    assert sorted(kept) == sorted(lot_site.run("SELECT event_hash, jcs_sha256 FROM trace.event"))


def test_exported_epcis_keeps_to_the_standards_own_schema(look: Callable[..., str]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    referencing = pytest.importorskip("referencing")
    folder = shared_dir() / "vectors" / "gs1_epcis" / "JSON-Schema"
    validator = _validator(jsonschema, referencing, folder)
    document = json.loads(look("/inspect/export/epcis.json", uri=LOT))
    assert [error.message for error in validator.iter_errors(document)] == []
    document["epcisBody"]["eventList"][0]["action"] = "PERHAPS"
    assert list(validator.iter_errors(document)) != []


def _validator(jsonschema: Any, referencing: Any, folder: Path) -> Any:
    registry = referencing.Registry()
    for path in folder.rglob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        resource = referencing.Resource.from_contents(schema, default_specification=referencing.jsonschema.DRAFT7)
        for name in (schema.get("$id", path.as_uri()), path.as_uri()):
            registry = registry.with_resource(name, resource)
    root = json.loads((folder / "EPCIS-JSON-Schema.json").read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(root)(root, registry=registry)


@pytest.mark.parametrize(
    ("lang", "sheets"),
    [("zh", ["批次", "事件", "来源去向", "温度"]), ("en", ["Lots", "Events", "Links", "Temperature"])],
)
def test_exported_spreadsheet_opens_with_all_four_sheets(
    look: Callable[..., str], lot_site: LotSite, lang: str, sheets: list[str]
) -> None:
    answer = lot_site.site.client.get("/inspect/export/lot.xlsx", params={"uri": LOT, "lang": lang})
    assert answer.headers["content-disposition"] == f'attachment; filename="{NUMBER}.xlsx"'
    book = load_workbook(io.BytesIO(answer.content))
    assert book.sheetnames == sheets
    rows = {sheet.title: list(sheet.iter_rows(min_row=2, values_only=True)) for sheet in book}
    assert {row[5] for row in rows[sheets[0]]} == {
        LOT,
        *(each.lot for each in LOTS.harvest),
        LOTS.fertiliser,
        LOTS.pesticide,
    }
    assert len({row[-1] for row in rows[sheets[1]]}) == len(demo_events())
    assert len(rows[sheets[2]]) == 9  # three harvests of two inputs, one packing of three lots
    assert {row[2] for row in rows[sheets[3]]} == {"air_temperature", "product_temperature"}
    assert all(row[6] <= row[8] <= row[7] for row in rows[sheets[3]])


def test_labels_are_printed_with_the_address_of_this_site_and_kept(look: Callable[..., str], lot_site: LotSite) -> None:
    page = look("/inspect/labels", uri=LOT)
    assert page.count('class="label"') == 24
    assert f"http://127.0.0.1:8077/01/06999999200017/10/{NUMBER}" in page
    assert lot_site.run("SELECT code, issued_by FROM trace.label") == [(LOT, "inspector")]
    assert lot_site.site.client.get("/inspect/labels", params={"uri": LOT, "count": 0}).status_code == 400


def test_every_step_of_an_inspection_is_in_the_audit(look: Callable[..., str], lot_site: LotSite) -> None:
    for path, query in (
        ("/inspect", {"q": NUMBER}),
        ("/inspect/lot", {"uri": LOT}),
        ("/inspect/export/epcis.json", {"uri": LOT}),
        ("/inspect/labels", {"uri": LOT}),
    ):
        look(path, **query)
    actions = lot_site.site.register.actions()
    assert actions[-4:] == ["trace.lot.search", "trace.lot.open", "trace.lot.export", "trace.label.print"]


@pytest.mark.parametrize("path", ["/inspect", f"/inspect/lot?uri={LOT}", f"/inspect/export/lot.xlsx?uri={LOT}"])
def test_only_inspectors_inspect(lot_site: LotSite, path: str) -> None:
    client = lot_site.site.client
    assert client.get(path).status_code == 303  # to the sign-in page
    lot_site.site.enter("operator")
    assert client.get(path).status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/inspect/lot?uri=https://id.gs1.org/01/06999999200017/10/NOBODY", 404),
        ("/inspect/lot?uri=nonsense", 400),
        (f"/inspect/export/lot.pdf?uri={LOT}", 422),
    ],
)
def test_inspection_of_what_is_not_there_is_refused(lot_site: LotSite, path: str, status: int) -> None:
    lot_site.site.enter("inspector")
    assert lot_site.site.client.get(path).status_code == status
