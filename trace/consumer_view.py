"""What a shopper's page shows, as a pure function of the bundles: nothing it calls proven stands outside the proof.

The page of a lot is made of the lot's own bundle and those of the lots it came from. The browser makes the same view
from the bundles it verified (`static/view.js`, same names, same order) and compares every line; what differs turns the
page red. Names of places and products and the suitable range are master data, not part of the proof.

Every event of the bundles is shown once: on the goods' own way, or below the farm input it is about. Left out, and
counted, are only events by which a source went into other lots than those on the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hanlu.trace.epcis.canonical import canonical_bytes
from hanlu.trace.lineage import bare_word, counting, parents_of, shown_lot, things_of
from hanlu.trace.stretches import Stretch, stretches

__all__ = ["FarmInput", "Stop", "View", "Waiting", "consumer_view"]

Document = Mapping[str, Any]
Bundle = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Stop:
    """One event.

    Attributes:
        jcs: Digest of the event, `sha256:<hex>`: ties the line to its proof.
        at_ms: When it happened, Unix milliseconds.
        step: CBV business step as a bare word, e.g. `shipping`; "" when none.
        place: URI of the place as the event has it; "" when none.
        lots: Lots on the page it is about.
        amount: (number as JSON writes it, UN/CEFACT unit or "") where the event says one of these lots; else None.
        correction: The event declares an earlier one wrong.
        taken_back: A later declaration says this one is wrong.
        facts: What the event says of the lot (ILMD) and what its writer added, as (name, text).
    """

    jcs: str
    at_ms: int
    step: str
    place: str
    lots: tuple[str, ...]
    amount: tuple[str, str] | None
    correction: bool
    taken_back: bool
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The pre-harvest interval of a pesticide, and whether it was kept.

    Attributes:
        required_days: What its label asks for.
        applied_ms: Newest application before the harvest, Unix milliseconds.
        harvested_ms: First harvest that names it.
        days: Whole days between them.
    """

    required_days: int
    applied_ms: int
    harvested_ms: int
    days: int


@dataclass(frozen=True, slots=True)
class FarmInput:
    """Something used up on the field.

    Attributes:
        lot: Its lot.
        stops: Its events that are not on the goods' own way, oldest first.
        waiting: Its pre-harvest interval; None where none is stated or no application is recorded.
    """

    lot: str
    stops: tuple[Stop, ...]
    waiting: Waiting | None


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page.

    Attributes:
        lot: The lot asked for.
        stops: The way of the lot and of the goods it was made of, oldest first.
        stretches: What was measured around them.
        sources: Lots of goods it was made of, nearest first.
        inputs: Farm inputs, nearest first.
        elsewhere: Lots it was made of whose records the answer does not hold.
        omitted: Events left out because they are about other lots made of the same sources.
    """

    lot: str
    stops: tuple[Stop, ...]
    stretches: tuple[Stretch, ...]
    sources: tuple[str, ...]
    inputs: tuple[FarmInput, ...]
    elsewhere: tuple[str, ...]
    omitted: int


def consumer_view(bundles: Sequence[Bundle]) -> View:
    """Return the view of the lot of the first bundle.

    Args:
        bundles: The lot's bundle first, then those of the lots it came from; as `trace.log.bundle` describes them.
    """
    own = bundles[0]["lot"]
    events = {bundle["lot"]: counting(_records(bundle)) for bundle in bundles}
    is_input = _kinds(own, events)
    goods = [bundle["lot"] for bundle in bundles if not is_input.get(bundle["lot"], True)]
    stops, omitted = _stops(bundles, set(events), is_input)
    way = [stop for stop in stops if any(not is_input[lot] for lot in stop.lots)]
    rest = [stop for stop in stops if all(is_input[lot] for lot in stop.lots)]
    return View(
        lot=own,
        stops=tuple(way),
        stretches=stretches(
            item["document"]
            for bundle in bundles
            if bundle["lot"] in goods
            for item in bundle["items"]
            if item["leaf"]["kind"] == "curve"
        ),
        sources=tuple(goods[1:]),
        inputs=tuple(
            FarmInput(lot, tuple(stop for stop in rest if stop.lots[0] == lot), _waiting(lot, events, goods))
            for lot in events
            if is_input.get(lot)
        ),
        elsewhere=tuple(lot for lot in is_input if lot not in events),
        omitted=omitted,
    )


def _records(bundle: Bundle) -> list[tuple[str | None, Document]]:
    return [(item["leaf"]["cbv"], item["document"]) for item in bundle["items"]]


def _kinds(own: str, events: Mapping[str, Sequence[Document]]) -> dict[str, bool]:
    """Return every lot reached from `own`, and whether it is a farm input; goods in one use are goods in all."""
    kinds = {own: False}
    waiting = [own]
    while waiting:
        lot = waiting.pop(0)
        for parent, used_up in parents_of(lot, events[lot]).items():
            is_input = kinds[lot] or used_up
            if parent not in kinds or (kinds[parent] and not is_input):
                kinds[parent] = is_input
                if parent in events:
                    waiting.append(parent)
    return kinds


def _stops(bundles: Sequence[Bundle], shown: set[str], kinds: Mapping[str, bool]) -> tuple[list[Stop], int]:
    """Return the events of all reached lots, each once, oldest first, and how many are about other lots."""
    found: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for bundle in bundles:
        for item in bundle["items"]:
            if item["leaf"]["kind"] == "event" and bundle["lot"] in kinds:
                found.setdefault(item["leaf"]["jcs"], (item, []))[1].append(bundle["lot"])
    wrong = {item["leaf"]["cbv"] for item, _ in found.values() if "errorDeclaration" in item["document"]}
    kept = {
        jcs: (item, lots) for jcs, (item, lots) in found.items() if not _elsewhere_bound(item["document"], lots, shown)
    }
    stops = [_stop(item, lots, wrong, kinds) for item, lots in kept.values()]
    return sorted(stops, key=lambda stop: (stop.at_ms, stop.jcs)), len(found) - len(kept)


def _elsewhere_bound(document: Document, lots: Sequence[str], shown: set[str]) -> bool:
    """Tell whether a transformation used lots of the page for none of the page's lots."""
    if document["type"] != "TransformationEvent":
        return False
    return set(lots) <= set(things_of(document, "input")) and not shown & set(things_of(document, "output"))


def _stop(item: Mapping[str, Any], lots: Sequence[str], wrong: set[str], kinds: Mapping[str, bool]) -> Stop:
    document = item["document"]
    correction = "errorDeclaration" in document
    place = document.get("bizLocation") or document.get("readPoint") or {}
    goods = [lot for lot in lots if not kinds[lot]]
    return Stop(
        jcs=item["leaf"]["jcs"],
        at_ms=_at(document),
        step=bare_word(str(document.get("bizStep", ""))),
        place=str(place.get("id", "")),
        lots=tuple(goods or lots),
        amount=_amount(document, goods or lots),
        correction=correction,
        taken_back=not correction and item["leaf"]["cbv"] in wrong,
        facts=tuple(_facts(document)),
    )


def _amount(document: Document, lots: Sequence[str]) -> tuple[str, str] | None:
    """Return how much of the lots the event is about, where it says so in one figure."""
    sides = ("outputQuantityList", "inputQuantityList", "quantityList", "childQuantityList")
    for side in sides:
        named = [each for each in document.get(side, ()) if shown_lot(str(each.get("epcClass", ""))) in lots]
        if named:
            quantity = named[0].get("quantity")
            if len(named) > 1 or quantity is None:
                return None
            return _text(quantity), str(named[0].get("uom", ""))
    return None


def _facts(document: Document) -> Iterable[tuple[str, str]]:
    ilmd = document.get("ilmd") or {}
    added = {name: value for name, value in document.items() if ":" in name and not name.startswith("@")}
    for said in (ilmd, added):
        for name, value in sorted(said.items(), key=lambda each: each[0].encode("utf-16-be")):  # as browsers sort
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                yield str(name), _text(value)


def _text(value: str | float) -> str:
    """Return a text as it is, a number as JSON and browsers write it."""
    return value if isinstance(value, str) else canonical_bytes(value).decode()


def _waiting(lot: str, events: Mapping[str, Sequence[Document]], goods: Sequence[str]) -> Waiting | None:
    required = [
        days
        for document in events[lot]
        for name, days in (document.get("ilmd") or {}).items()
        if name.endswith(":preHarvestIntervalDays") and isinstance(days, int) and not isinstance(days, bool)
    ]
    harvests = [_at(each) for good in goods for each in events[good] if _used(each, lot, good)]
    if not required or not harvests:
        return None
    applied = [_at(each) for each in events[lot] if any(name.endswith(":work") for name in each)]
    before = [at for at in applied if at <= min(harvests)]
    if not before:
        return None
    return Waiting(max(required), max(before), min(harvests), (min(harvests) - max(before)) // _DAY_MS)


def _used(document: Document, lot: str, good: str) -> bool:
    if document["type"] != "TransformationEvent":
        return False
    return lot in things_of(document, "input") and good in things_of(document, "output")


def _at(document: Document) -> int:
    return (datetime.fromisoformat(str(document["eventTime"])) - _EPOCH) // timedelta(milliseconds=1)
