"""Capture: EPCIS documents become events, their projections and their places in the queue of the log, all or nothing.

One transaction holds an event, what it is about, the projections it changes and its entries in `trace.unsequenced`: a
reader never sees one without the others. An event that is known already (same CBV hash, same kind of statement) counts
once and is no fault. Errors are values: a document that breaks the standard is answered with the list of its problems.

Source: EPCIS 2.0, section 12 (capture interface): behaviour `rollback` (all events or none) and `proceed` (each for
itself).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from hanlu.core.clock import from_ms
from hanlu.core.errors import HanluError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.config import CaptureConfig, CurveConfig
from hanlu.trace.epcis.canonical import canonical_bytes
from hanlu.trace.epcis.captured import CapturedEvent
from hanlu.trace.epcis.checker import Problem
from hanlu.trace.epcis.document import CaptureLimits, ReadDocument, parse_document
from hanlu.trace.log.leaf import jcs_digest
from hanlu.trace.project import capture_lock, project

__all__ = ["Behaviour", "Captured", "LimitError", "capture_document", "capture_events"]

_SQL = load_queries("hanlu.trace")

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # the escape itself, not the text backslash-u-0000

MAX_NAME_BYTES = 1024
"""Longest name of a thing or place, bytes of UTF-8: two of them must fit one entry of an index."""

Behaviour = Literal["rollback", "proceed"]
NOTIFY = "hanlu_event"
"""Channel that wakes the sequencer."""


class LimitError(HanluError):
    """The document holds more than is taken at once."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What became of a document.

    Attributes:
        hashes: CBV hashes of the events stored now, in the order of the document.
        known: CBV hashes of those that were there already.
        problems: What is wrong with the rest.
    """

    hashes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def success(self) -> bool:
        """Whether every event of the document is stored."""
        return not self.problems


def capture_document(
    connection: Connection,
    body: bytes,
    *,
    source: str,
    evidence: int,
    now_ms: int,
    capture: CaptureConfig,
    curve: CurveConfig,
    behaviour: Behaviour = "rollback",
) -> Captured:
    """Read a document and store its events.

    Args:
        connection: Outside a transaction each unit is one of its own; inside one, a savepoint of it.
        body: EPCIS 2.0 JSON, UTF-8: a document, a query document or a bare event.
        source: How it came: ``gateway:<code>`` or ``rest:<login>``.
        evidence: 1 when a gateway's signature was checked, else 0.
        now_ms: The time of recording, Unix milliseconds UTC.
        capture: Limits.
        curve: How curves are cut.
        behaviour: rollback stores nothing when anything is wrong; proceed stores each good event for itself.

    Raises:
        LimitError: Too many bytes or events.
        psycopg.Error: The database refuses or is away; nothing of the unit in hand is stored.
    """
    if len(body) > capture.max_body_bytes:
        raise LimitError(f"{len(body)} bytes, more than the {capture.max_body_bytes} taken at once")
    # The reader counts with one to spare, so that too many events is told apart from a broken document.
    read = parse_document(body, CaptureLimits(max_bytes=capture.max_body_bytes, max_events=capture.max_body_bytes))
    read = _storable(read)
    if len(read.events) + len({problem.path.partition("]")[0] for problem in read.problems}) > capture.max_events:
        raise LimitError(f"more events than the {capture.max_events} taken at once")
    if read.problems and behaviour == "rollback":
        return Captured(problems=read.problems)
    units = [read.events] if behaviour == "rollback" else [(event,) for event in read.events]
    hashes: list[str] = []
    known: list[str] = []
    for unit in units:
        stored = capture_events(connection, unit, source=source, evidence=evidence, now_ms=now_ms, curve=curve)
        hashes += [event.hash for event, fresh in zip(unit, stored, strict=True) if fresh]
        known += [event.hash for event, fresh in zip(unit, stored, strict=True) if not fresh]
    return Captured(tuple(hashes), tuple(known), read.problems)


def _storable(read: ReadDocument) -> ReadDocument:
    """Refuse what the standard allows and the database cannot keep."""
    good, problems = [], list(read.problems)
    for number, event in enumerate(read.events):
        problem = _unstorable(event)
        if problem is None:
            good.append(event)
        else:
            problems.append(Problem(f"event[{number}]", problem))
    return ReadDocument(tuple(good), tuple(problems))


def _unstorable(event: CapturedEvent) -> str | None:
    if _NUL.search(canonical_bytes(event.document)):
        return "holds the character U+0000"
    places = (event.read_point, event.biz_location, event.transformation_id)
    names = [name for thing in event.things for name in (thing.uri, thing.lot_uri)]
    names += [name for name in places if name is not None]
    if any(len(name.encode()) > MAX_NAME_BYTES for name in names):
        return f"names a thing or place with more than {MAX_NAME_BYTES} bytes"
    return None


def capture_events(
    connection: Connection,
    events: Sequence[CapturedEvent],
    *,
    source: str,
    evidence: int,
    now_ms: int,
    curve: CurveConfig,
) -> list[bool]:
    """Store valid events in one transaction.

    Args:
        connection: As for `capture_document`.
        events: Valid events.
        source: How they came.
        evidence: 1 when a gateway's signature was checked, else 0.
        now_ms: The time of recording, Unix milliseconds UTC.
        curve: How curves are cut.

    Returns:
        For each event whether it is new.
    """
    with connection.transaction():
        capture_lock(connection)
        numbers = [_insert(connection, event.recorded(now_ms), source, evidence, now_ms) for event in events]
        fresh = [number for number in numbers if number is not None]
        project(connection, fresh, curve, now_ms)
        if fresh:
            connection.execute(f"NOTIFY {NOTIFY}")
    return [number is not None for number in numbers]


def _insert(connection: Connection, event: CapturedEvent, source: str, evidence: int, now_ms: int) -> int | None:
    """Store one event with its things and queue entries; return its number, or None when it is known."""
    canonical = canonical_bytes(event.document)
    row = _one(
        connection,
        "event_insert",
        event_hash=event.hash,
        jcs_sha256=bytes.fromhex(jcs_digest(event.document).removeprefix("sha256:")),
        event_type=event.type,
        action=event.action,
        event_time=from_ms(event.event_time),
        event_offset=event.offset,
        record_time=from_ms(now_ms),
        biz_step=event.biz_step,
        disposition=event.disposition,
        read_point=event.read_point,
        biz_location=event.biz_location,
        transformation_id=event.transformation_id,
        declared_error=event.declares_error,
        source=source,
        evidence=evidence,
        document=Jsonb(json.loads(canonical)),  # what the bytes say: integers beyond 2**53 are doubles there
        canonical=canonical,
    )
    if row is None:
        return None
    number: int = row["event_id"]
    things = event.things
    connection.execute(
        _SQL["things_insert"],
        {
            "event_id": number,
            "roles": _column(thing.role for thing in things),
            "uris": _column(thing.uri for thing in things),
            "lot_uris": _column(thing.lot_uri for thing in things),
            "quantities": _column(thing.quantity for thing in things),
            "uoms": _column(thing.uom for thing in things),
        },
    )
    return number


def _one(connection: Connection, name: str, **values: Any) -> dict[str, Any] | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchone()


def _column(values: Iterable[Any]) -> list[Any]:
    return list(values)
