"""One captured event as a frozen value: what the rest of the room reads instead of JSON.

Source: EPCIS 2.0, section 7.4 (event types); CBV 2.0, section 7 (words).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from hanlu.trace.epcis.canonical import lot_uri, thing_uri
from hanlu.trace.epcis.event_hash import hash_of_prehash, prehash
from hanlu.trace.epcis.event_tree import Namespaces, json_event_tree
from hanlu.trace.epcis.hash_values import parse_instant
from hanlu.trace.epcis.vocabulary import WORD_STEMS, WORDS_OF

__all__ = ["CapturedEvent", "Party", "Thing", "captured_event"]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something an event is about.

    Attributes:
        role: List it stands in: epc, quantity, parent, child, child_quantity, input, input_quantity, output or
            output_quantity.
        uri: Canonical Digital Link with all qualifiers; a foreign name as it came.
        lot_uri: Canonical Digital Link of its lot; the same as `uri` where it names none.
        quantity: How much, of a class; None for a single thing or where it is not said.
        uom: UN/CEFACT unit of `quantity`; None for pieces.
    """

    role: str
    uri: str
    lot_uri: str
    quantity: float | None = None
    uom: str | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """A source or destination.

    Attributes:
        kind: owning_party, possessing_party, location, or a URI.
        uri: Canonical Digital Link, or a foreign name as it came.
    """

    kind: str
    uri: str


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """One valid event.

    Attributes:
        type: One of the five event types.
        action: ADD, OBSERVE or DELETE; None for a transformation.
        event_time: When it happened, milliseconds since the Unix epoch, UTC.
        offset: The local offset then, such as ``+08:00``.
        biz_step: Bare CBV word or a URI; None where not said.
        disposition: Bare CBV word or a URI; None where not said.
        read_point: Canonical URI; None where not said.
        biz_location: Canonical URI; None where not said.
        event_id: The `eventID` it came with; None without one.
        hash: Its CBV event hash.
        declares_error: Whether it is a declaration that an event was wrong; it shares that event's hash.
        corrective_ids: Identifiers of the events that correct it; only with an error declaration.
        transformation_id: Joins the events of one transformation; None where not said.
        things: What it is about, in the order of the document.
        sources: Where things came from.
        destinations: Where they went.
        transactions: Business transactions; kind ``""`` where it has none.
        ilmd: Master data of the instance or lot, as it came.
        document: The event with its context: what is stored, shown and digested.
    """

    type: str
    action: str | None
    event_time: int
    offset: str
    biz_step: str | None
    disposition: str | None
    read_point: str | None
    biz_location: str | None
    event_id: str | None
    hash: str
    declares_error: bool
    corrective_ids: tuple[str, ...]
    transformation_id: str | None
    things: tuple[Thing, ...]
    sources: tuple[Party, ...]
    destinations: tuple[Party, ...]
    transactions: tuple[Party, ...]
    ilmd: Mapping[str, Any]
    document: dict[str, Any]

    def recorded(self, at_ms: int) -> CapturedEvent:
        """Return the event with the fields a repository must fill: its identifier and the time of recording.

        Neither is part of the hash.

        Args:
            at_ms: Time of recording, milliseconds since the Unix epoch, UTC.
        """
        record_time = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        event_id = self.event_id or self.hash
        document = {**self.document, "eventID": event_id, "recordTime": record_time.replace("+00:00", "Z")}
        return replace(self, event_id=event_id, document=document)


_SINGLES: Final = (("epc", "epcList"), ("child", "childEPCs"), ("input", "inputEPCList"), ("output", "outputEPCList"))
_AMOUNTS: Final = (
    ("quantity", "quantityList"),
    ("child_quantity", "childQuantityList"),
    ("input_quantity", "inputQuantityList"),
    ("output_quantity", "outputQuantityList"),
)


def _things(event: Mapping[str, Any]) -> Iterator[Thing]:
    if "parentID" in event:
        yield Thing("parent", thing_uri(event["parentID"]), lot_uri(event["parentID"]))
    for role, name in _SINGLES:
        for uri in event.get(name, ()):
            yield Thing(role, thing_uri(uri), lot_uri(uri))
    for role, name in _AMOUNTS:
        for element in event.get(name, ()):
            uri, quantity = element["epcClass"], element.get("quantity")
            amount = None if quantity is None else float(quantity)
            yield Thing(role, thing_uri(uri), lot_uri(uri), amount, element.get("uom"))


def _bare(field_name: str, text: str | None) -> str | None:
    """Return a CBV word without its address, whichever of its spellings it came in."""
    if text is None:
        return None
    for start in (WORD_STEMS[field_name], *_OTHER_STEMS[field_name]):
        word = text.removeprefix(start)
        if word != text and word in WORDS_OF[field_name]:
            return word
    return text


_OTHER_STEMS: Final = {
    "bizStep": ("urn:epcglobal:cbv:bizstep:", "cbv:BizStep-"),
    "disposition": ("urn:epcglobal:cbv:disp:", "cbv:Disp-"),
    "bizTransaction.type": ("urn:epcglobal:cbv:btt:", "cbv:BTT-"),
    "source.type": ("urn:epcglobal:cbv:sdt:", "cbv:SDT-"),
    "destination.type": ("urn:epcglobal:cbv:sdt:", "cbv:SDT-"),
}


def _parties(event: Mapping[str, Any], name: str) -> tuple[Party, ...]:
    listed = event.get(f"{name}List", ())
    return tuple(Party(_bare(f"{name}.type", item.get("type")) or "", thing_uri(item[name])) for item in listed)


def _place(event: Mapping[str, Any], name: str) -> str | None:
    return thing_uri(event[name]["id"]) if name in event else None


def captured_event(event: dict[str, Any], names: Namespaces) -> CapturedEvent:
    """Return the value of an event that the rules have found right.

    Args:
        event: The event's object with its context in it.
        names: What that context says.
    """
    instant = parse_instant(event["eventTime"])
    assert instant is not None  # the rules have read it
    declaration = event.get("errorDeclaration")
    return CapturedEvent(
        type=event["type"],
        action=event.get("action"),
        event_time=round(instant.timestamp() * 1000),
        offset=event["eventTimeZoneOffset"],
        biz_step=_bare("bizStep", event.get("bizStep")),
        disposition=_bare("disposition", event.get("disposition")),
        read_point=_place(event, "readPoint"),
        biz_location=_place(event, "bizLocation"),
        event_id=event.get("eventID"),
        hash=hash_of_prehash(prehash(json_event_tree(event, names))),
        declares_error=declaration is not None,
        corrective_ids=tuple((declaration or {}).get("correctiveEventIDs", ())),
        transformation_id=event.get("transformationID"),
        things=tuple(_things(event)),
        sources=_parties(event, "source"),
        destinations=_parties(event, "destination"),
        transactions=_parties(event, "bizTransaction"),
        ilmd=event.get("ilmd", {}),
        document=event,
    )
