"""Questions about events in the words of the EPCIS query interface: read, refuse, answer page by page.

Every parameter is understood or refused: a query that is silently wider than asked would pass as an answer. Lists are
separated by ``|``; CBV words come bare or as addresses; things come as Digital Links or EPC URNs and match exactly.

Source: EPCIS 2.0, section 8.2.7.1 (SimpleEventQuery), 12.6 (paging); openapi of the REST binding, GET /events.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import dict_row

from hanlu.core.clock import from_ms, to_ms
from hanlu.core.errors import UsageError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.epcis.canonical import thing_uri
from hanlu.trace.epcis.hash_values import parse_instant
from hanlu.trace.epcis.rules import EVENT_TYPES
from hanlu.trace.epcis.vocabulary import WORD_STEMS

__all__ = ["DEFAULT_PAGE", "MAX_PAGE", "EventPage", "EventQuery", "events_called", "events_page", "query_document"]

_SQL = load_queries("hanlu.trace")

DEFAULT_PAGE: Final = 30
"""Events in a page unless asked otherwise. Source: openapi of the REST binding, `perPage`."""

MAX_PAGE: Final = 1_000
"""Most events in a page."""

_CONTEXT = b"https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
_MATCH: Final[dict[str, tuple[str, ...]]] = {
    "MATCH_epc": ("epc", "child"),
    "MATCH_anyEPC": ("epc", "child", "parent", "input", "output"),
    "MATCH_epcClass": ("quantity", "child_quantity"),
    "MATCH_anyEPCClass": ("quantity", "child_quantity", "input_quantity", "output_quantity"),
}
_KNOWN = frozenset({"eventType", "EQ_bizStep", "GE_eventTime", "LT_eventTime", "perPage", "nextPageToken", *_MATCH})
_TOKEN = re.compile(rb"(-?\d{1,16})\.(\d{1,19})")
_EARLIEST = (-62_135_596_800_000, 0)


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What is asked for; None leaves a criterion open.

    Attributes:
        event_types: Types wanted.
        biz_steps: Bare CBV words or URIs.
        from_ms: Earliest eventTime, Unix milliseconds UTC.
        to_ms: First eventTime no longer wanted.
        things: Criteria that all must hold, each (roles, URIs): the event names one of the URIs in one of the roles.
        page: Most events in the answer.
        after: Place (eventTime in ms, number) after which to go on.
    """

    event_types: tuple[str, ...] | None = None
    biz_steps: tuple[str, ...] | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    things: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    page: int = DEFAULT_PAGE
    after: tuple[int, int] = _EARLIEST

    @classmethod
    def from_parameters(cls, given: Mapping[str, str]) -> EventQuery:
        """Read the parameters of a request.

        Raises:
            UsageError: A parameter is unknown or has a value it cannot have; the message names it.
        """
        unknown = sorted(set(given) - _KNOWN)
        if unknown:
            raise UsageError(f"{unknown[0]} is not a parameter this repository understands")
        types = _list(given, "eventType")
        wrong = [each for each in types or () if each not in EVENT_TYPES]
        if wrong:
            raise UsageError(f"eventType: {wrong[0]!r} is no event type")
        steps = _list(given, "EQ_bizStep")
        return cls(
            event_types=types,
            biz_steps=None if steps is None else tuple(each.removeprefix(WORD_STEMS["bizStep"]) for each in steps),
            from_ms=_instant(given, "GE_eventTime"),
            to_ms=_instant(given, "LT_eventTime"),
            things=tuple(
                (roles, tuple(thing_uri(each) for each in uris))
                for name, roles in _MATCH.items()
                if (uris := _list(given, name)) is not None
            ),
            page=_page(given.get("perPage")),
            after=_place(given.get("nextPageToken")),
        )


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events.

    Attributes:
        documents: Canonical bytes of each event, in the order of time.
        next_token: Where the next page begins; None on the last.
    """

    documents: tuple[bytes, ...]
    next_token: str | None


def _list(given: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    if name not in given:
        return None
    values = tuple(given[name].split("|"))
    if not all(values):
        raise UsageError(f"{name}: an entry is empty")
    return values


def _instant(given: Mapping[str, str], name: str) -> int | None:
    if name not in given:
        return None
    # A plus sign in a query string is often left bare and then arrives as a space.
    moment = parse_instant(given[name].replace(" ", "+"))
    if moment is None:
        raise UsageError(f"{name}: {given[name]!r} is no time with date, seconds and zone")
    return to_ms(datetime.fromisoformat(moment.isoformat()))


def _page(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise UsageError(f"perPage: {text!r} is not a number from 1 to {MAX_PAGE}")
    return int(text)


def _place(token: str | None) -> tuple[int, int]:
    if token is None:
        return _EARLIEST
    try:
        match = _TOKEN.fullmatch(base64.urlsafe_b64decode(token.encode("ascii") + b"=="))
    except (UnicodeEncodeError, binascii.Error):
        match = None
    if match is None:
        raise UsageError("nextPageToken: not a token this repository gave")
    return int(match[1]), int(match[2])


def _token(row: dict[str, Any]) -> str:
    text = f"{to_ms(row['event_time'])}.{row['event_id']}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _answer(rows: Sequence[dict[str, Any]], page: int) -> EventPage:
    shown = rows[:page]
    more = _token(shown[-1]) if len(rows) > page else None
    return EventPage(tuple(bytes(row["canonical"]) for row in shown), more)


def events_page(connection: Connection, query: EventQuery) -> EventPage:
    """Return one page of the events asked for, error declarations included, in the order of eventTime."""
    values: dict[str, Any] = {
        "event_types": None if query.event_types is None else list(query.event_types),
        "biz_steps": None if query.biz_steps is None else list(query.biz_steps),
        "from_time": None if query.from_ms is None else from_ms(query.from_ms),
        "to_time": None if query.to_ms is None else from_ms(query.to_ms),
        "after_time": from_ms(query.after[0]),
        "after_id": query.after[1],
        "most": query.page + 1,
    }
    name = "events_page"
    if query.things:
        name = "events_page_of_things"
        named = [
            (number, role, uri) for number, (roles, uris) in enumerate(query.things) for role in roles for uri in uris
        ]
        values["numbers"] = [number for number, _, _ in named]
        values["roles"] = [role for _, role, _ in named]
        values["uris"] = [uri for _, _, uri in named]
        values["criteria"] = len(query.things)
    with connection.cursor(row_factory=dict_row) as cursor:
        return _answer(cursor.execute(_SQL[name], values).fetchall(), query.page)


def events_called(connection: Connection, name: str) -> tuple[bytes, ...]:
    """Return the canonical bytes of the event with this eventID or hash, and of a declaration that shares it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["events_called"], {"name": name, "most": MAX_PAGE}).fetchall()
    return tuple(bytes(row["canonical"]) for row in rows)


def query_document(documents: Sequence[bytes], created_ms: int) -> bytes:
    """Return an EPCISQueryDocument around events as they are stored, byte for byte.

    Args:
        documents: Canonical bytes of the events.
        created_ms: The time, Unix milliseconds UTC.
    """
    created = from_ms(created_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
    return (
        b'{"@context":["'
        + _CONTEXT
        + b'"],"type":"EPCISQueryDocument","schemaVersion":"2.0","creationDate":"'
        + created
        + b'","epcisBody":{"queryResults":{"queryName":"SimpleEventQuery","resultsBody":{"eventList":['
        + b",".join(documents)
        + b"]}}}}"
    )
