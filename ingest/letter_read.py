"""Reads dead letters for people: lists with filters, one with its bytes and what replays moved, counts."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from psycopg.rows import class_row

from hanlu.db.pool import Connection, translated
from hanlu.db.queries import load_queries

__all__ = ["LetterCount", "LetterRow", "Preview", "ReplayRow", "preview", "read_body", "read_codes", "read_counts",
           "read_letter", "read_letters", "read_replays"]  # fmt: skip

_QUERIES = load_queries("hanlu.ingest")
_Row = TypeVar("_Row")

PREVIEW_BYTES: Final = 2_048
"""Bytes of a body shown."""

_HEX_ROW: Final = 16
_PRINTED: Final = frozenset(string.printable.encode()) - frozenset(b"\t\r\n\x0b\x0c")


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter without its bytes; fields as in telemetry.dead_letter, instants in Unix milliseconds UTC."""

    dead_letter_id: int
    received_ms: int
    topic: str
    gateway: str | None
    reason: str
    detail: str
    reading_count: int
    times: int
    bytes: int
    attempts: int
    dropped: bool
    outcome: str | None
    resolved_ms: int | None
    tried_ms: int | None


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """What one attempt of a letter moved, readings; fields as in telemetry.replay."""

    attempt: int
    at_ms: int
    done_by: str
    stored: int
    duplicate: int
    lost: int
    revived: int


@dataclass(frozen=True, slots=True)
class LetterCount:
    """Dead letters of one gateway for one reason; fields as in telemetry.dead_letter_count."""

    gateway: str | None
    reason: str
    letters: int
    open_letters: int
    messages: int
    open_messages: int
    open_readings: int
    bytes: int
    dropped: int
    folded: int


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a body, made for reading.

    Attributes:
        text: when it is text, what it says; None otherwise.
        rows: offset, bytes in hexadecimal, and the printable ones as letters, sixteen a row.
        cut: bytes not shown.
    """

    text: str | None
    rows: tuple[tuple[str, str, str], ...]
    cut: int


def preview(body: bytes) -> Preview:
    """Return the beginning of `body` as text, where it is text, and as bytes; the page still has to escape it."""
    shown = body[:PREVIEW_BYTES]
    try:
        text: str | None = shown.decode("utf-8") if len(shown) == len(body) else shown.decode("utf-8", "ignore")
    except UnicodeDecodeError:
        text = None
    if text is not None and any(not sign.isprintable() and sign not in "\t\r\n" for sign in text):
        text = None
    rows = tuple(
        (
            f"{start:04x}",
            shown[start : start + _HEX_ROW].hex(" "),
            "".join(chr(each) if each in _PRINTED else "·" for each in shown[start : start + _HEX_ROW]),
        )
        for start in range(0, len(shown), _HEX_ROW)
    )
    return Preview(text, rows, len(body) - len(shown))


def read_letters(
    connection: Connection,
    most: int,
    *,
    gateway: str | None = None,
    reason: str | None = None,
    open_only: bool | None = None,
    before: int | None = None,
    codes: Sequence[str] | None = None,
) -> list[LetterRow]:
    """Return dead letters, the newest first.

    Args:
        connection: acting as hanlu_ingest.
        most: rows at most.
        gateway: code to keep to.
        reason: to keep to.
        open_only: True for open ones, False for resolved ones, None for both.
        before: leave out this letter and those after it.
        codes: gateways a person sees, None for everything, letters of no known gateway included.
    """
    return _all(
        connection, LetterRow, "list_letters", dead_letter_id=None, most=most, gateway=gateway, reason=reason,
        open=open_only, before=before, codes=None if codes is None else list(codes),
    )  # fmt: skip


def read_letter(connection: Connection, dead_letter_id: int, codes: Sequence[str] | None = None) -> LetterRow | None:
    """Return one letter, None when there is none or the person does not see its gateway."""
    found = _all(
        connection, LetterRow, "list_letters", dead_letter_id=dead_letter_id, most=1, gateway=None, reason=None,
        open=None, before=None, codes=None if codes is None else list(codes),
    )  # fmt: skip
    return found[0] if found else None


def read_body(connection: Connection, dead_letter_id: int) -> bytes:
    """Return a letter's bytes, empty when there is no such letter or they were dropped."""
    with translated():
        row = connection.execute(_QUERIES["letter_body"], {"dead_letter_id": dead_letter_id}).fetchone()
    return bytes(row[0]) if row else b""


def read_replays(connection: Connection, dead_letter_id: int) -> list[ReplayRow]:
    """Return what replays of a letter moved, in order."""
    return _all(connection, ReplayRow, "letter_replays", dead_letter_id=dead_letter_id)


def read_counts(connection: Connection, most: int, codes: Sequence[str] | None = None) -> list[LetterCount]:
    """Return counts by gateway and reason, those with most open messages first."""
    return _all(connection, LetterCount, "letter_counts", most=most, codes=None if codes is None else list(codes))


def read_codes(connection: Connection, scope: str) -> list[str] | None:
    """Return the codes of the gateways below `scope`; None for the root, from where everything is seen."""
    if scope.count("/") == 2:
        return None
    with translated():
        return [code for (code,) in connection.execute(_QUERIES["gateway_codes"], {"scope": scope})]


def _all(connection: Connection, of: type[_Row], query: str, **parameters: Any) -> list[_Row]:
    with translated(), connection.cursor(row_factory=class_row(of)) as cursor:
        return cursor.execute(_QUERIES[query], parameters).fetchall()
