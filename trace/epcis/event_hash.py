"""The CBV event hash: one identifier for an event, whatever syntax, order and spelling it arrives in.

Theory. The event's fields are written into one string in a fixed order, every list sorted, every value in its canonical
spelling (`hash_values`); own fields follow at the end of their parent, sorted by their full name. The SHA-256 of that
string, in the `ni` scheme, is the event's identity. `recordTime`, `eventID` and `errorDeclaration` stay outside, so an
event and the declaration that it was wrong share one hash.

Where the published text and the published vectors differ, the vectors are followed, for they are what other
implementations are held to:

* `certificationInfo` stands right after `eventTimeZoneOffset`;
* `type` stands before the value in business transactions, sources and destinations;
* `sensorElementList` stands before `bizTransactionList`;
* a standard field with no place in the order (`bizRules` in a sensor report) is written at the event's end behind the
  names of its parents.

Source: CBV 2.0, section 8.9.2 (rules 1 to 24 and the canonical property order); RFC 6920, section 3 (`ni`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hanlu.trace.epcis.event_tree import (
    EventTree,
    Namespaces,
    Node,
    events_of_json,
    events_of_xml,
    json_event_tree,
)
from hanlu.trace.epcis.hash_values import canonical_time, canonical_value

__all__ = ["document_hashes", "event_hash", "hash_of_prehash", "prehash", "xml_document_hashes"]

_EPC_LISTS = ("epcList", "inputEPCList", "childEPCs", "outputEPCList")
_QUANTITY_LISTS = ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList")

_ORDER: Final[dict[str, tuple[str, ...]]] = {
    "": (
        "eventTime",
        "eventTimeZoneOffset",
        "certificationInfo",
        "epcList",
        "parentID",
        "inputEPCList",
        "childEPCs",
        "quantityList",
        "childQuantityList",
        "inputQuantityList",
        "outputEPCList",
        "outputQuantityList",
        "action",
        "transformationID",
        "bizStep",
        "disposition",
        "persistentDisposition",
        "readPoint",
        "bizLocation",
        "sensorElementList",
        "bizTransactionList",
        "sourceList",
        "destinationList",
        "ilmd",
    ),
    **dict.fromkeys(_EPC_LISTS, ("epc",)),
    **dict.fromkeys(_QUANTITY_LISTS, ("quantityElement",)),
    "quantityElement": ("epcClass", "quantity", "uom"),
    "persistentDisposition": ("set", "unset"),
    "readPoint": ("id",),
    "bizLocation": ("id",),
    "bizTransactionList": ("bizTransaction",),
    "sourceList": ("source",),
    "destinationList": ("destination",),
    "sensorElementList": ("sensorElement",),
    "sensorElement": ("sensorMetadata", "sensorReport"),
    "sensorMetadata": (
        "time",
        "startTime",
        "endTime",
        "deviceID",
        "deviceMetadata",
        "rawData",
        "dataProcessingMethod",
        "bizRules",
    ),
    "sensorReport": (
        "type",
        "exception",
        "deviceID",
        "deviceMetadata",
        "rawData",
        "dataProcessingMethod",
        "time",
        "microorganism",
        "chemicalSubstance",
        "value",
        "component",
        "stringValue",
        "booleanValue",
        "hexBinaryValue",
        "uriValue",
        "minValue",
        "maxValue",
        "meanValue",
        "sDev",
        "percRank",
        "percValue",
        "uom",
        "coordinateReferenceSystem",
    ),
}
"""Parent to its standard fields in canonical order; the empty name is the event itself."""

_TYPE_FIRST = frozenset({"bizTransaction", "source", "destination"})
_TIMES = frozenset({"eventTime", "time", "startTime", "endTime"})
_OUTSIDE = frozenset({"recordTime", "eventID", "errorDeclaration"})


def prehash(event: EventTree) -> str:
    """Return the string that is hashed for `event`."""
    own_name = event.root.name
    outside = _OUTSIDE | event.ignored
    children = tuple(child for child in event.root.children if child.name not in outside)
    ordered, own, leftover = _parts(Node("", children=children))
    return f"eventType={own_name}{ordered}" + "".join(sorted([*own, *map(_free, leftover)]))


def _parts(node: Node) -> tuple[str, list[str], list[Node]]:
    """Split a standard field's children into ordered text, own fields' texts, and what has no place.

    Returns:
        The standard children as text; each own field as text, unsorted; nodes that keep only the parts without a place.
    """
    order = _ORDER.get(node.name, ())
    texts: dict[str, list[str]] = {name: [] for name in order}
    own: list[str] = []
    leftover: list[Node] = []
    for child in node.children:
        if child.name in texts:
            text, rest = _standard(child)
            texts[child.name].append(text)
            if rest:
                leftover.append(Node(child.name, children=tuple(rest)))
        elif _is_own(child.name):
            own.append(_free(child))
        else:
            leftover.append(child)
    return "".join(text for name in order for text in sorted(texts[name])), own, leftover


def _standard(node: Node) -> tuple[str, list[Node]]:
    """Return a standard field as text, empty if it says nothing, and its parts without a place."""
    if node.name == "ilmd":
        inner = "".join(sorted(map(_free, node.children)))
        return (f"ilmd{inner}" if inner else ""), []
    value = canonical_time(node.value) if node.name in _TIMES else canonical_value(node.value)
    own_text = f"{node.name}={value}" if value else node.name
    if node.name in _TYPE_FIRST:
        kinds = [child for child in node.children if child.name == "type"]
        rest = [child for child in node.children if child.name != "type"]
        return "".join(sorted(map(_free, kinds))) + own_text + "".join(sorted(map(_free, rest))), []
    ordered, own, leftover = _parts(node)
    inner = ordered + "".join(sorted(own))
    return (own_text + inner if value or inner else ""), leftover


def _free(node: Node) -> str:
    """Return a field that has no canonical order of children."""
    value = canonical_value(node.value)
    return node.name + (f"={value}" if value else "") + "".join(sorted(map(_free, node.children)))


def _is_own(name: str) -> bool:
    return name.startswith("{") or ":" in name


def hash_of_prehash(text: str) -> str:
    """Return the ``ni`` URI for a pre-hash string."""
    return f"ni:///sha-256;{hashlib.sha256(text.encode()).hexdigest()}?ver=CBV2.0"


def event_hash(event: Mapping[str, Any], context: object = None) -> str:
    """Return the hash of one JSON event.

    Args:
        event: The event's object.
        context: The ``@context`` of the document it came in; without it only GS1's own prefixes are known.

    Raises:
        RemoteError: The event has no type, or is nested too deep.
    """
    return hash_of_prehash(prehash(json_event_tree(event, Namespaces().extended(context))))


def _hashes(events: Iterable[EventTree]) -> list[str]:
    return [hash_of_prehash(prehash(event)) for event in events]


def document_hashes(document: Mapping[str, Any]) -> list[str]:
    """Return the hash of every event of a JSON document, query document or bare event, in order.

    Raises:
        RemoteError: The document holds no events.
    """
    return _hashes(events_of_json(document))


def xml_document_hashes(text: str | bytes) -> list[str]:
    """Return the hash of every event of an XML document or query document, in order.

    Raises:
        RemoteError: Not XML Hanlu reads, or without events.
    """
    return _hashes(events_of_xml(text))
