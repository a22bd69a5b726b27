"""The shopper's page as values: the view of a dossier with names, limits and a drawing, in the reader's language.

What the page's script compares with the proof (`static/shown.js`) is written from the view; names and the suitable
range come from the register and are marked as such on the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from psycopg.rows import dict_row

from hanlu.core.curve import Sample, Span, Strip, curve
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.consumer_view import Stop, View
from hanlu.trace.curve import thinned
from hanlu.trace.dossier import Dossier
from hanlu.trace.epcis.digital_link import DigitalLink
from hanlu.trace.lot import lot_name
from hanlu.trace.places import Names, load_names
from hanlu.trace.step_words import amount_text, fact_text, stop_text
from hanlu.trace.stretches import CURVE_GAP_MS, TEMPERATURE_METRIC, kept_cool, one_decimal

__all__ = ["lot_page_context"]

_SQL = load_queries("hanlu.trace")

_DRAWN_POINTS: Final = 320
"""Points of the server's drawing, extremes among them; the script draws every checked reading."""

_DRAWN_WIDTH: Final = 320
"""Pixels of the drawing's view box: a phone shows it at about its own size, so that its text stays legible."""

_DRAWN_HEIGHT: Final = 190


def lot_page_context(connection: Connection, dossier: Dossier, link: DigitalLink, lang: str) -> dict[str, Any]:
    """Return what `lot.html` needs.

    Args:
        connection: any connection of the room.
        dossier: of the lot.
        link: what was scanned.
        lang: "zh" or "en".
    """
    view = dossier.view
    names = load_names(
        connection,
        places=[*(stop.place for stop in _stops(view)), *(stretch.place for stretch in view.stretches)],
        things=dossier.lots,
    )
    low, high = _air_limits(connection, link.value)
    places = _places(view, names, lang)
    return {
        "link": link,
        "lot_uri": view.lot,
        "name": lot_name(view.lot, names),
        "view": view,
        "size": dossier.size,
        "anchor": dossier.anchor,
        "places": places,
        "low": low,
        "high": high,
        "limits": _range_text(low, high),
        "kept": kept_cool(view.stretches, low, high),
        "lowest": min(view.stretches, key=lambda each: each.low, default=None),
        "highest": max(view.stretches, key=lambda each: each.high, default=None),
        "readings": sum(len(each.points) for each in view.stretches),
        "curve": _picture(dossier, places, lang, low, high) if view.stretches else "",
        "one_decimal": one_decimal,
        "lot_name": lambda uri: lot_name(uri, names),
        "lot_title": lambda uri: _title(uri, names, lang),
        "stop_text": lambda stop: stop_text(stop.step, stop.facts, lang),
        "fact_text": lambda key: fact_text(key, lang),
        "amount_text": lambda amount: amount_text(amount[0], amount[1], lang),
        "page_data": {
            "lang": lang,
            "lot": view.lot,
            "places": places,
            "titles": {uri: _title(uri, names, lang) for uri in dossier.lots},
            "low": low,
            "high": high,
        },
        "as_script_data": _as_script_data,
    }


def _stops(view: View) -> list[Stop]:
    return [*view.stops, *(stop for each in view.inputs for stop in each.stops)]


def _air_limits(connection: Connection, gtin: str) -> tuple[float | None, float | None]:
    """Return the limits in force for the air around a product, degrees Celsius."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["product_limits"], {"gtin": gtin}).fetchall()
    return next(((row["low"], row["high"]) for row in rows if row["metric"] == TEMPERATURE_METRIC), (None, None))


def _range_text(low: float | None, high: float | None) -> str:
    """Return a range as people write it: `−1 … 3 °C`; "" where there is none."""
    ends = [f"{limit:g}".replace("-", "\u2212") for limit in (low, high) if limit is not None]
    if len(ends) == 2:
        return f"{ends[0]} … {ends[1]} °C"
    return f"{'≥' if high is None else '≤'} {ends[0]} °C" if ends else ""


def _places(view: View, names: Names, lang: str) -> dict[str, dict[str, str]]:
    """Return of every place on the page its name, its short name and who runs it."""
    found = {}
    for uri in sorted({stop.place for stop in _stops(view)} | {each.place for each in view.stretches}):
        place = names.place(uri or None)
        if place is None:
            continue
        chinese = lang == "zh"
        zone = place.name_zh if chinese else place.name_en
        site = place.site_zh if chinese else place.site_en
        who = place.participant
        found[uri] = {
            "name": f"{site} · {zone}" if place.zone and site else zone,
            "short": zone,
            "who": ((who.name_zh if chinese else who.name_en) if who else ""),
        }
    return found


def _title(uri: str, names: Names, lang: str) -> str:
    product = lot_name(uri, names).product
    if product is None:
        return uri
    return product.name_zh if lang == "zh" else product.name_en


def _as_script_data(value: Mapping[str, Any]) -> str:
    """Return JSON for a script element: `<` is escaped so that no name can end it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _picture(
    dossier: Dossier, places: Mapping[str, Mapping[str, str]], lang: str, low: float | None, high: float | None
) -> str:
    measured = dossier.view.stretches
    labels = tuple(places[each.place]["short"] for each in measured)
    key = (lang, low, high, labels)
    if key not in dossier.pictures:
        dossier.pictures[key] = _drawn(dossier.view, labels, lang, low, high)
    return dossier.pictures[key]


def _drawn(view: View, labels: tuple[str, ...], lang: str, low: float | None, high: float | None) -> str:
    measured = view.stretches
    runs = [run for each in measured for run in _runs(each.points)]
    points = [
        Sample(at, value, after_gap=place == 0)
        for run in thinned(runs, _DRAWN_POINTS)
        for place, (at, value) in enumerate(run)
    ]
    language: Literal["zh", "en"] = "zh" if lang == "zh" else "en"
    return curve(
        points,
        gap_ms=math.inf,  # the gaps are known and marked at the points
        title="本批次温度曲线" if lang == "zh" else "Temperature of this lot",
        description="; ".join(
            f"{label}: {one_decimal(each.low)} … {one_decimal(each.high)} °C"
            for label, each in zip(labels, measured, strict=True)
        ),
        unit="°C",
        lang=language,
        low=low,
        high=high,
        from_ms=min(each.from_ms for each in measured),
        to_ms=max(each.to_ms for each in measured),
        strips=[
            Strip(label, [Span(each.from_ms, each.to_ms)], "place", beside=True)
            for label, each in zip(labels, measured, strict=True)
        ],
        limits="range",
        width=_DRAWN_WIDTH,
        height=_DRAWN_HEIGHT,
    )


def _runs(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """Cut points where neighbours lie too far apart to be joined."""
    found: list[list[tuple[int, float]]] = []
    for point in points:
        if not found or point[0] - found[-1][-1][0] > CURVE_GAP_MS:
            found.append([])
        found[-1].append(point)
    return found
