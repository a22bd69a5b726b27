"""What a shopper's page shows, as a pure function of the bundles and of names: nothing on it stands outside the proof.

The page of a lot is made of the lot's own bundle and those of the lots it came from, which its transformation events
name. The browser makes the same lines and the same curve from the bundles it verified (`static/lot.js`) and compares;
what differs turns the page red. Names of places and products are master data, not part of the proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hanlu.core.clock import to_ms
from hanlu.core.curve import Sample

__all__ = ["TEMPERATURE_METRIC", "Stop", "Temperature", "View", "bare_word", "consumer_view", "parents_of"]

TEMPERATURE_METRIC: Final = "air_temperature"
"""The metric drawn; others of the place are in the bundle and verified, but not drawn."""

_CBV: Final = "https://ref.gs1.org/cbv/"


@dataclass(frozen=True, slots=True)
class Stop:
    """One event on the lot's way.

    Attributes:
        jcs: digest of the event, `sha256:<hex>`: ties the line to its proof.
        at_ms: when it happened, Unix milliseconds.
        step: CBV business step as a bare word, e.g. `shipping`; "" when none.
        place: Digital Link of the place; "" when none.
        lots: lots of the shown bundles it touches.
        correction: the event declares an earlier one wrong.
        taken_back: a later declaration says this one is wrong.
        facts: what the event says of the lot (ilmd), strings only.
    """

    jcs: str
    at_ms: int
    step: str
    place: str
    lots: tuple[str, ...]
    correction: bool
    taken_back: bool
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Temperature:
    """The committed curve.

    Attributes:
        points: ascending in time, degrees Celsius.
        places: (place, first instant, last instant), in the order of time.
        low: least value; None without points.
        high: greatest value.
        mean: mean of the values.
    """

    points: tuple[Sample, ...]
    places: tuple[tuple[str, int, int], ...]
    low: float | None
    high: float | None
    mean: float | None


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page.

    Attributes:
        lot: the lot asked for.
        stops: its way, oldest first, from its own events and those of the lots it came from.
        temperature: curve of the lot and, before it was packed, of the lots it came from.
        sources: lots it came from, nearest first.
    """

    lot: str
    stops: tuple[Stop, ...]
    temperature: Temperature
    sources: tuple[str, ...]


def parents_of(bundle: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the lot of `bundle` was made of, named by its transformation events, in the order of the events."""
    found: dict[str, None] = {}
    lot = bundle["lot"]
    for document in _documents(bundle, "event"):
        if document.get("type") != "TransformationEvent":
            continue
        outputs = {*document.get("outputEPCList", ()), *_classes(document.get("outputQuantityList", ()))}
        if lot in outputs:
            for uri in (*document.get("inputEPCList", ()), *_classes(document.get("inputQuantityList", ()))):
                found[str(uri)] = None
    return tuple(found)


def consumer_view(bundles: Sequence[Mapping[str, Any]]) -> View:
    """Return the view of the lot of the first bundle.

    Args:
        bundles: the lot's bundle first, then those of the lots it came from; as `trace.log.bundle` describes them.
    """
    stops: dict[str, Stop] = {}
    wrong = {
        item["leaf"]["cbv"] for bundle in bundles for item in bundle["items"] if "errorDeclaration" in item["document"]
    }
    for bundle in bundles:
        for item in bundle["items"]:
            if item["leaf"]["kind"] != "event":
                continue
            jcs = item["leaf"]["jcs"]
            known = stops.get(jcs)
            lots = (*known.lots, bundle["lot"]) if known else (bundle["lot"],)
            stops[jcs] = _stop(item, lots, wrong)
    return View(
        lot=bundles[0]["lot"],
        stops=tuple(sorted(stops.values(), key=lambda stop: (stop.at_ms, stop.jcs))),
        temperature=_temperature(bundles),
        sources=tuple(bundle["lot"] for bundle in bundles[1:]),
    )


def _documents(bundle: Mapping[str, Any], kind: str) -> Iterable[Mapping[str, Any]]:
    return (item["document"] for item in bundle["items"] if item["leaf"]["kind"] == kind)


def _classes(quantities: Iterable[Mapping[str, Any]]) -> list[str]:
    return [str(each["epcClass"]) for each in quantities if "epcClass" in each]


def _stop(item: Mapping[str, Any], lots: tuple[str, ...], wrong: set[str]) -> Stop:
    document = item["document"]
    correction = "errorDeclaration" in document
    place = document.get("bizLocation") or document.get("readPoint") or {}
    facts = document.get("ilmd") or {}
    return Stop(
        jcs=item["leaf"]["jcs"],
        at_ms=to_ms(datetime.fromisoformat(str(document["eventTime"]))),
        step=bare_word(str(document.get("bizStep", ""))),
        place=str(place.get("id", "")) if isinstance(place, Mapping) else "",
        lots=lots,
        correction=correction,
        taken_back=not correction and item["leaf"]["cbv"] in wrong,
        facts=tuple((str(key), str(value)) for key, value in facts.items() if isinstance(value, str | int | float)),
    )


def bare_word(uri: str) -> str:
    """Return a CBV value as its bare word: `shipping` for `https://ref.gs1.org/cbv/BizStep-shipping` and for itself."""
    if uri.startswith(_CBV):
        return uri.rsplit("-", 1)[-1]
    return uri.rsplit(":", 1)[-1] if uri.startswith("urn:epcglobal:cbv:") else uri


def _temperature(bundles: Sequence[Mapping[str, Any]]) -> Temperature:
    """Join the newest revision of every piece; a stretch measured for several lots at once is drawn once."""
    newest: dict[tuple[str, int, str], Mapping[str, Any]] = {}
    for bundle in bundles:
        for piece in _documents(bundle, "curve"):
            if not str(piece["channel"]).endswith(f"/{TEMPERATURE_METRIC}"):
                continue
            key = (str(piece["channel"]), int(piece["from"]), str(piece["custodyFrom"]))
            if key not in newest or newest[key]["revision"] < piece["revision"]:
                newest[key] = piece
    values: dict[int, float] = {}
    order: list[tuple[str, int, int]] = []
    for piece in sorted(newest.values(), key=lambda each: (each["from"], each["channel"])):
        measured = [(int(at), float(value)) for at, value in piece["points"] if value is not None]
        if not measured:
            continue
        for at, value in measured:
            values.setdefault(at, value)
        zone = str(piece["zone"])
        if order and order[-1][0] == zone:
            order[-1] = (zone, order[-1][1], max(order[-1][2], measured[-1][0]))
        else:
            order.append((zone, measured[0][0], measured[-1][0]))
    points = tuple(Sample(at, values[at]) for at in sorted(values))
    if not points:
        return Temperature((), (), None, None, None)
    numbers = [point.value for point in points]
    return Temperature(points, tuple(order), min(numbers), max(numbers), sum(numbers) / len(numbers))
