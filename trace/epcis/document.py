"""Reading an EPCIS 2.0 JSON document: every event becomes a frozen value, every fault a problem with its path.

Events are taken one by one, so that a caller may keep the good ones (``proceed``) or none (``rollback``). An event is
handed on with its document's context inside it, and without the fields the document declares to be a repository's own
notes, so that it can be shown, hashed and checked alone.

Source: EPCIS 2.0, section 7.4 (event types), 10 (JSON binding); EPCIS 2.0 REST binding, POST /capture and POST /events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hanlu.trace.epcis.canonical import canonical_bytes
from hanlu.trace.epcis.captured import CapturedEvent, captured_event
from hanlu.trace.epcis.checker import Checker, Problem
from hanlu.trace.epcis.event_tree import Namespaces, ignored_names
from hanlu.trace.epcis.hash_values import parse_instant
from hanlu.trace.epcis.rules import EVENT_TYPES, check_event
from hanlu.trace.log.strict_json import parse_json

__all__ = ["CaptureLimits", "ReadDocument", "parse_document", "read_document"]

EPCIS_CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
"""Address of the JSON-LD context put into an event that came without any."""

_CONTEXT_STARTS = ("https://ref.gs1.org/standards/epcis/", "https://gs1.github.io/EPCIS/")
_DOCUMENT_FIELDS = frozenset(
    {
        "@context",
        "id",
        "type",
        "schemaVersion",
        "creationDate",
        "instanceIdentifier",
        "sender",
        "receiver",
        "epcisHeader",
        "epcisBody",
    }
)


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """How much one document may hold; advertised to clients and enforced.

    Attributes:
        max_bytes: Size of the document, bytes.
        max_events: Events in it.
        max_depth: Nesting of objects and lists.
    """

    max_bytes: int = 4 * 1024 * 1024
    max_events: int = 2000
    max_depth: int = 48


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """What became of a document.

    Attributes:
        events: The valid events, in their order.
        problems: Everything that is wrong; empty for a document that is right.
    """

    events: tuple[CapturedEvent, ...]
    problems: tuple[Problem, ...]


def parse_document(data: bytes, limits: CaptureLimits | None = None) -> ReadDocument:
    """Read a document from its bytes.

    Args:
        data: JSON in UTF-8.
        limits: How much is accepted; the defaults without it.

    Returns:
        The valid events and the problems; bytes that are no JSON are one problem.
    """
    bounds = limits or CaptureLimits()
    try:
        document = parse_json(data, max_bytes=bounds.max_bytes, max_depth=bounds.max_depth)
    except ValueError as error:
        return _refused("", str(error))
    return read_document(document, bounds)


def _refused(path: str, message: str) -> ReadDocument:
    return ReadDocument((), (Problem(path, message),))


def read_document(document: object, limits: CaptureLimits | None = None) -> ReadDocument:
    """Read an EPCISDocument, an EPCISQueryDocument or a bare event.

    Args:
        document: What `json.loads` made of it.
        limits: How much is accepted; the defaults without it.

    Returns:
        The valid events and the problems.
    """
    bounds = limits or CaptureLimits()
    if not isinstance(document, dict):
        return _refused("", "must be an object")
    if _is_deeper(document, bounds.max_depth):
        return _refused("", f"nested deeper than {bounds.max_depth}")
    try:
        canonical_bytes(document)
    except ValueError as error:
        return _refused("", str(error))
    checker = Checker(Namespaces().extended(document.get("@context")))
    kind = document.get("type")
    if isinstance(kind, str) and kind in EVENT_TYPES:
        return _read_events([("event", document)], None, checker)
    if kind not in ("EPCISDocument", "EPCISQueryDocument"):
        return _refused("type", "must be EPCISDocument, EPCISQueryDocument or an event type" if kind else "missing")
    listed = _check_document(checker, document, is_query=kind == "EPCISQueryDocument")
    if listed is None:
        return ReadDocument((), tuple(checker.problems))
    path, events = listed
    if len(events) > bounds.max_events:
        return _refused(path, f"{len(events)} events, more than the {bounds.max_events} accepted")
    numbered = [(f"{path}[{place}]", event) for place, event in enumerate(events)]
    return _read_events(numbered, document.get("@context"), checker, ignored_names(document, checker.names))


def _is_deeper(document: object, most: int) -> bool:
    """Tell whether objects and lists are nested more than `most` deep; without recursion."""
    level = [document]
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)


def _check_document(checker: Checker, document: dict[str, Any], *, is_query: bool) -> tuple[str, list[Any]] | None:
    """Check what surrounds the events; return their list with its path, or None where there is none."""
    _check_context(checker, document)
    for name in ("schemaVersion", "creationDate"):
        if name not in document and not is_query:
            checker.bad(name, "missing")
    version = document.get("schemaVersion", "2.0")
    if not isinstance(version, str) or not (version == "2" or version.startswith("2.")):
        checker.bad("schemaVersion", "must be 2.0")
    created = document.get("creationDate")
    if created is not None and (not isinstance(created, str) or parse_instant(created) is None):
        checker.bad("creationDate", "must be a time with date, seconds and zone")
    for name in document:
        if name not in _DOCUMENT_FIELDS:
            checker.own_field(name, name)
    steps = ("epcisBody", "queryResults", "resultsBody") if is_query else ("epcisBody",)
    body: Any = document
    path = ""
    for step in steps:
        path = f"{path}.{step}" if path else step
        body = body.get(step)
        if not isinstance(body, dict):
            checker.bad(path, "missing" if body is None else "must be an object")
            return None
    if is_query and not isinstance(document["epcisBody"]["queryResults"].get("queryName"), str):
        checker.bad("epcisBody.queryResults.queryName", "missing or not text")
    events = body.get("eventList")
    if not isinstance(events, list):
        checker.bad(f"{path}.eventList", "missing" if events is None else "must be a list")
        return None
    return f"{path}.eventList", events


def _check_context(checker: Checker, holder: Mapping[str, Any]) -> None:
    context = holder.get("@context")
    parts = context if isinstance(context, list) else [context]
    if not all(isinstance(part, str | dict) for part in parts):
        checker.bad("@context", "missing" if context is None else "must be a list of addresses and objects")
    elif not any(isinstance(part, str) and part.startswith(_CONTEXT_STARTS) for part in parts):
        checker.bad("@context", "does not name the EPCIS context")


def _read_events(
    events: list[tuple[str, Any]], context: object, checker: Checker, ignored: frozenset[str] = frozenset()
) -> ReadDocument:
    good = []
    outer = checker.names
    for path, event in events:
        own = event.get("@context") if isinstance(event, dict) else None
        checker.names = outer.extended(own)
        if not check_event(checker, event, path):
            continue
        kept = {name: value for name, value in event.items() if checker.names.name_of(name) not in ignored}
        good.append(captured_event(_with_context(kept, context), checker.names))
    return ReadDocument(tuple(good), tuple(checker.problems))


def _with_context(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return the event with the document's context before its own."""
    outer = context if isinstance(context, list) else [context] if context is not None else []
    own = event.get("@context")
    inner = own if isinstance(own, list) else [own] if own is not None else []
    joined = [*outer, *(part for part in inner if part not in outer)]
    return {"@context": joined or [EPCIS_CONTEXT], **{name: event[name] for name in event if name != "@context"}}
