"""What an inspector takes home: an EPCIS document and a spreadsheet of a lot, its origins and its destinations. Pure.

The EPCIS document holds every event exactly as captured and can be captured elsewhere. In the spreadsheet texts from
partners are written as texts, never as formulas.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from hanlu.core.clock import from_ms
from hanlu.trace.lot import ColdChain, Journey, Trace
from hanlu.trace.step_words import step_text

__all__ = ["epcis_document", "workbook"]

_CONTEXT: Final = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
_CHINA: Final = timezone(timedelta(hours=8))
_WIDEST: Final = 60
_HEADS: Final[dict[str, tuple[Sequence[str], Sequence[str]]]] = {
    "lots": (
        ("方向", "层级", "产品", "GTIN", "批次", "标识"),
        ("direction", "depth", "product", "GTIN", "lot", "identity"),
    ),
    "events": (
        ("批次", "北京时间", "环节", "状态", "地点", "GLN", "数量", "单位", "事件类型", "来源", "签名", "事件哈希"),
        ("lot", "time (UTC+8)", "step", "disposition", "place", "GLN", "quantity", "unit", "event type", "source",
         "signed", "event hash"),
    ),
    "links": (
        ("由批次", "数量", "单位", "成批次", "数量", "单位", "方式", "北京时间", "地点", "事件哈希"),
        ("from lot", "quantity", "unit", "to lot", "quantity", "unit", "kind", "time (UTC+8)", "place", "event hash"),
    ),
    "temperature": (
        ("地点", "通道", "指标", "自", "至", "读数", "最低", "最高", "平均", "超限分钟", "无数据分钟", "下限", "上限"),
        ("place", "channel", "metric", "from", "to", "readings", "lowest °C", "highest °C", "mean °C",
         "minutes outside", "minutes without data", "low limit", "high limit"),
    ),
}  # fmt: skip
_TITLES: Final = {
    "lots": ("批次", "Lots"),
    "events": ("事件", "Events"),
    "links": ("来源去向", "Links"),
    "temperature": ("温度", "Temperature"),
}


def epcis_document(journeys: Iterable[Journey], created_ms: int) -> dict[str, Any]:
    """Return an EPCIS 2.0 document of all events of `journeys`, each once, oldest first.

    Args:
        journeys: of the lots to export.
        created_ms: time of the export, Unix milliseconds UTC.

    Source: EPCIS 2.0, 9 and 10 (JSON/JSON-LD binding).
    """
    events: dict[tuple[str, bool], tuple[int, Mapping[str, Any]]] = {}
    for journey in journeys:
        for step in journey.steps:
            events.setdefault((step.event_hash, step.declared_error), (step.event_ms, step.document))
    ordered = sorted(events.items(), key=lambda each: (each[1][0], each[0]))
    return {
        "@context": [_CONTEXT],  # each event carries the context it was captured with, its extensions' names included
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": from_ms(created_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "epcisBody": {"eventList": [dict(document) for _, (_, document) in ordered]},
    }


def workbook(traces: Sequence[Trace], journeys: Sequence[Journey], cold: ColdChain, lang: str) -> bytes:
    """Return an XLSX of four sheets: lots, events, links, temperature.

    Args:
        traces: back and forward, of one lot.
        journeys: of every lot in the traces.
        cold: the cold chain of the lot.
        lang: "zh" or "en".
    """
    book = Workbook()
    first = book.active
    assert first is not None  # a new workbook has a sheet
    book.remove(first)
    rows = {
        "lots": _lots(traces, lang),
        "events": _events(journeys, lang),
        "links": _links(traces, lang),
        "temperature": _temperature(cold, lang),
    }
    for name, lines in rows.items():
        sheet = book.create_sheet(_TITLES[name][0 if lang == "zh" else 1])
        _fill(sheet, _HEADS[name][0 if lang == "zh" else 1], lines)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _fill(sheet: Worksheet, head: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    widths = [len(text) * 2 for text in head]
    sheet.append(list(head))
    for line in lines:
        sheet.append(list(line))
        for cell in sheet[sheet.max_row]:
            if cell.data_type == "f":
                cell.data_type = "s"  # what a partner wrote is text, never a formula (CWE-1236)
        widths = [max(width, min(len(str(value)) + 2, _WIDEST)) for width, value in zip(widths, line, strict=True)]
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions
    for column, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(column)].width = max(width, 8)


def _moment(ms: int | None) -> datetime | None:
    """Spreadsheets know no time zones: China time without one, as the head says."""
    return None if ms is None else from_ms(ms).astimezone(_CHINA).replace(tzinfo=None)


def _lots(traces: Sequence[Trace], lang: str) -> Iterable[Sequence[Any]]:
    words = {"back": ("来源", "origin"), "forward": ("去向", "destination")}
    for trace in traces:
        for node in trace.nodes:
            if node.depth == 0 and trace.direction == "forward":
                continue
            product = node.name.product
            side = (
                words[trace.direction][0 if lang == "zh" else 1] if node.depth else ("本批次", "this lot")[lang != "zh"]
            )
            title = (product.name_zh if lang == "zh" else product.name_en) if product else ""
            yield side, node.depth, title, product.gtin if product else "", node.name.lot or "", node.name.uri


def _events(journeys: Sequence[Journey], lang: str) -> Iterable[Sequence[Any]]:
    for journey in journeys:
        for step in journey.steps:
            place = step.biz_location or step.read_point
            yield (
                journey.lot.lot or journey.lot.uri,
                _moment(step.event_ms),
                step_text(step.biz_step or "", lang),
                step.disposition or "",
                (place.name_zh if lang == "zh" else place.name_en) if place else "",
                place.gln if place else "",
                step.quantity,
                step.uom or "",
                step.event_type,
                step.source,
                "✓" if step.evidence else "",
                step.event_hash,
            )


def _links(traces: Sequence[Trace], lang: str) -> Iterable[Sequence[Any]]:
    names = {node.name.uri: node.name.lot or node.name.uri for trace in traces for node in trace.nodes}
    seen = set()
    for edge in (edge for trace in traces for edge in trace.edges):
        key = (edge.from_uri, edge.to_uri, edge.event_hash)
        if key in seen:
            continue
        seen.add(key)
        place = edge.place
        yield (
            names.get(edge.from_uri, edge.from_uri),
            edge.from_quantity,
            edge.from_uom or "",
            names.get(edge.to_uri, edge.to_uri),
            edge.to_quantity,
            edge.to_uom or "",
            edge.kind,
            _moment(edge.event_ms),
            (place.name_zh if lang == "zh" else place.name_en) if place else "",
            edge.event_hash,
        )


def _temperature(cold: ColdChain, lang: str) -> Iterable[Sequence[Any]]:
    for stay in cold.stays:
        for channel in stay.channels:
            figures = channel.curve.figures
            place = stay.place.name_zh if lang == "zh" else stay.place.name_en
            yield (
                place,
                channel.channel,
                channel.metric,
                _moment(stay.from_ms),
                _moment(stay.to_ms),
                figures.count if figures else 0,
                figures.minimum if figures else None,
                figures.maximum if figures else None,
                round(figures.mean, 2) if figures else None,
                round(figures.outside_ms / 60_000, 1) if figures else None,
                round(figures.gap_ms / 60_000, 1) if figures else None,
                channel.limits.low,
                channel.limits.high,
            )
