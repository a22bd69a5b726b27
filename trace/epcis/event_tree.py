"""Events as one neutral tree, whether they came as JSON-LD or as XML.

Theory. The event hash must not depend on the syntax. Both readers make the same tree: a node has a name, text and
children. Standard fields carry bare names, everybody's own fields ``{namespace}name``. The tree has the shape of the
XML binding, so JSON gains the element names it leaves out (each item of ``epcList`` is an ``epc``), and XML loses its
``extension`` wrappers, which only served old schemas.

JSON-LD contexts are not fetched or processed: GS1's own context is known by what it says, and a document's own inline
context gives its prefixes. A context by any other address adds nothing.

Source: EPCIS 2.0, sections 9 (XML binding) and 10 (JSON/JSON-LD binding); CBV 2.0, section 8.9.2, rules 15, 16 and 20.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hanlu.core.errors import RemoteError
from hanlu.trace.epcis.vocabulary import expand_word

__all__ = ["EventTree", "Namespaces", "Node", "events_of_json", "events_of_xml", "ignored_names", "json_event_tree"]

MAX_DEPTH = 64
"""Deepest nesting that is read."""

_RDFS_COMMENT = "{http://www.w3.org/2000/01/rdf-schema#}comment"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_IGNORE_FIELDS = "ignoreFields"
_WRAPPERS = frozenset({"extension", "baseExtension"})
_EPCIS_TYPES = ("epcis:", "https://ref.gs1.org/epcis/")

_WELL_KNOWN: Final = {
    "epcis": "https://ref.gs1.org/epcis/",
    "cbv": "https://ref.gs1.org/cbv/",
    "gs1": "https://gs1.org/voc/",
    "cbvmda": "urn:epcglobal:cbv:mda",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dcterms": "http://purl.org/dc/terms/",
}
"""Prefixes of GS1's EPCIS context."""

_ITEM_NAMES: Final = {
    "epcList": "epc",
    "childEPCs": "epc",
    "inputEPCList": "epc",
    "outputEPCList": "epc",
    "quantityList": "quantityElement",
    "childQuantityList": "quantityElement",
    "inputQuantityList": "quantityElement",
    "outputQuantityList": "quantityElement",
    "bizTransactionList": "bizTransaction",
    "sourceList": "source",
    "destinationList": "destination",
    "sensorElementList": "sensorElement",
}
"""Lists of the JSON binding, and what the XML binding calls each item."""

_OWN_VALUE = frozenset({"bizTransaction", "source", "destination"})


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """One field.

    Attributes:
        name: Bare for a standard field, ``{namespace}name`` for any other.
        value: Its text, as written; empty when it only has children.
        children: Fields within it, in the order of the source.
    """

    name: str
    value: str = ""
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class EventTree:
    """One event as a tree.

    Attributes:
        root: Its name is the event's type.
        ignored: Names of own fields that the document declares to be outside the hash.
    """

    root: Node
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Namespaces:
    """What names mean in one document.

    Attributes:
        prefixes: Prefix to namespace.
        terms: Whole names that the inline context defines, to their full address.
    """

    prefixes: Mapping[str, str] = field(default_factory=lambda: dict(_WELL_KNOWN))
    terms: Mapping[str, str] = field(default_factory=dict)

    def extended(self, context: object) -> Namespaces:
        """Return these namespaces with those of a JSON-LD `context` added; addresses in it are not followed."""
        prefixes, terms = dict(self.prefixes), dict(self.terms)
        for part in context if isinstance(context, list) else [context]:
            if not isinstance(part, dict):
                continue
            for name, meaning in part.items():
                address = meaning.get("@id") if isinstance(meaning, dict) else meaning
                if not isinstance(address, str) or ":" not in address or name.startswith("@"):
                    continue
                if address[-1:] in {"/", "#", ":"} or (":" not in name and name in self.prefixes):
                    prefixes[name] = _namespace(address)
                elif ":" not in name:
                    # A name without an ending mark may be meant as a prefix or as a term; either use is understood.
                    prefixes[name] = terms[name] = address
        return Namespaces(prefixes, terms)

    def name_of(self, key: str) -> str:
        """Return a JSON key as the tree's name for it."""
        if key in self.terms:
            return _split_address(self.terms[key])
        prefix, colon, local = key.partition(":")
        if not colon:
            return key
        if prefix in self.prefixes:
            return f"{{{self.prefixes[prefix]}}}{local}"
        return _split_address(key)


def _namespace(address: str) -> str:
    # The master data namespace ends in a colon as a JSON-LD prefix and in nothing as an XML namespace.
    return address.removesuffix(":") if address == "urn:epcglobal:cbv:mda:" else address


def _split_address(address: str) -> str:
    cut = max(address.rfind(mark) for mark in "/#:") + 1
    return f"{{{_namespace(address[:cut])}}}{address[cut:]}"


# --- JSON ------------------------------------------------------------------------------------------------------------


def events_of_json(document: Mapping[str, Any]) -> list[EventTree]:
    """Return the events of an EPCIS document, a query document or a bare event.

    Raises:
        RemoteError: There is no list of events where one belongs, or it is nested too deep.
    """
    names = Namespaces().extended(document.get("@context"))
    ignored = ignored_names(document, names)
    body = document.get("epcisBody")
    if body is None:
        return [json_event_tree(document, Namespaces(), ignored)]
    return [json_event_tree(event, names, ignored) for event in _json_events(body)]


def ignored_names(document: Mapping[str, Any], names: Namespaces) -> frozenset[str]:
    """Return the own fields of events that a document declares to be a repository's notes, outside the hash.

    The declaration is a document field of any namespace called ``ignoreFields``; a standard field is never ignored.
    """
    listed = (
        name
        for key, value in document.items()
        if names.name_of(key).endswith("}" + _IGNORE_FIELDS) and isinstance(value, list)
        for name in value
        if isinstance(name, str)
    )
    return frozenset(name for name in map(names.name_of, listed) if name.startswith("{"))


def _json_events(body: object) -> list[Mapping[str, Any]]:
    if isinstance(body, dict) and "queryResults" in body:
        results = body["queryResults"]
        body = results.get("resultsBody") if isinstance(results, dict) else None
    if isinstance(body, dict):
        events = body.get("eventList", [body["event"]] if "event" in body else None)
        if isinstance(events, list) and all(isinstance(event, dict) for event in events):
            return events
    raise RemoteError("epcisBody: no list of events")


def json_event_tree(event: Mapping[str, Any], names: Namespaces, ignored: frozenset[str] = frozenset()) -> EventTree:
    """Return one JSON event as a tree.

    Args:
        event: The event's object; its own ``@context`` is added to `names`.
        names: What the document's context says.
        ignored: Own fields outside the hash.

    Raises:
        RemoteError: The event has no type, or is nested too deep.
    """
    kind = event.get("type")
    if not isinstance(kind, str):
        raise RemoteError("type: missing or not text")
    inner = names.extended(event["@context"]) if "@context" in event else names
    for start in _EPCIS_TYPES:
        kind = kind.removeprefix(start)
    kind = inner.name_of(kind) if ":" in kind else kind
    fields = {key: value for key, value in event.items() if key not in {"type", "@context"}}
    return EventTree(Node(kind, children=tuple(_json_children(fields, kind, inner, 1))), ignored)


def _json_children(fields: Mapping[str, Any], parent: str, names: Namespaces, depth: int) -> Iterable[Node]:
    for key, value in fields.items():
        name = names.name_of(key)
        if name == _RDFS_COMMENT or value is None:
            continue
        item_name = _ITEM_NAMES.get(name)
        if item_name is not None and isinstance(value, list):
            items = tuple(_json_node(item_name, item, name, names, depth + 1) for item in value)
            yield Node(name, children=items)
            continue
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                yield _json_node(name, item, parent, names, depth + 1)


def _json_node(name: str, value: object, parent: str, names: Namespaces, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise RemoteError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        text = ""
        if name in _OWN_VALUE:
            text = _json_text(value.get(name, ""))
            value = {key: item for key, item in value.items() if key != name}
        return Node(name, text, tuple(_json_children(value, name, names, depth)))
    if isinstance(value, list):
        inner = tuple(_json_node(name, item, parent, names, depth + 1) for item in value)
        return Node(name, children=inner)
    field_name = f"{parent}.type" if name == "type" else name
    return Node(name, expand_word(field_name, _json_text(value)))


def _json_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


# --- XML -------------------------------------------------------------------------------------------------------------


def events_of_xml(text: str | bytes) -> list[EventTree]:
    """Return the events of an EPCIS document or query document in XML.

    Document types and entities are refused outright: EPCIS uses none, and they are how XML readers are attacked.

    Raises:
        RemoteError: Not well-formed, with a document type, nested too deep, or without a list of events.
    """
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise RemoteError(f"not XML Hanlu reads: {error!r:.200}") from None
    listed = root.find(".//EventList")
    if listed is None:
        raise RemoteError("EventList: missing")
    ignored = frozenset(
        child.tag
        for element in root
        if element.tag.endswith("}" + _IGNORE_FIELDS)
        for child in element
        if child.tag.startswith("{")
    )
    wrapped = Node("", children=tuple(_xml_children(listed, 1)))
    return [EventTree(node, ignored) for node in wrapped.children]


def _xml_children(element: Element, depth: int) -> Iterable[Node]:
    if depth > MAX_DEPTH:
        raise RemoteError(f"nested deeper than {MAX_DEPTH}")
    for child in element:
        if child.tag == _RDFS_COMMENT:
            continue
        if child.tag in _WRAPPERS:
            yield from _xml_children(child, depth + 1)
            continue
        attributes = [Node(name, value) for name, value in child.items() if not name.startswith(_XSI)]
        children = (*attributes, *_xml_children(child, depth + 1))
        yield Node(child.tag, (child.text or "").strip(), tuple(children))
