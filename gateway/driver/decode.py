"""One line of a device to values; pure.

A line is a JSON object with exactly one of `senml`, `epcis`, `lost`, and optionally `id` (echoed in the answer) and
`replay`. Records of a pack that cannot be readings do not spoil the line: they become declared losses under the reason
they were refused for, so that every value a device claimed is accounted for. Where every record has a time of its own,
such a loss names its pack: sent again after an answer that got lost, the same bytes are the same loss.
Source: RFC 8428 (SenML), EPCIS 2.0 section 9 (JSON documents).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.senml import RELATIVE_BEFORE_S, Pack, decode_json
from hanlu.core.wire.documents import Loss

__all__ = ["BadLine", "Line", "decode_line"]

_MAX_NAME, _MAX_UNIT = 120, 16
"""Longest channel name and unit, characters; with them a full message stays below MAX_MESSAGE_BYTES."""
_MAX_DETAIL: Final = 1_000
"""Characters of refusals quoted in a declared loss."""


@dataclass(frozen=True, slots=True)
class Line:
    """A sound line.

    Attributes:
        id: what the device wants echoed, or None.
        readings: in the device's order.
        losses: declared by the device, or made of refused records.
        event: an EPCIS document, the bytes as sent.
        replayed: the device says this is recorded data played again.
    """

    id: int | None
    readings: tuple[Reading, ...] = ()
    losses: tuple[Loss, ...] = ()
    event: bytes | None = None
    replayed: bool = False

    @property
    def count(self) -> int:
        """Return the readings this line accounts for, lost ones included."""
        return len(self.readings) + sum(loss.count for loss in self.losses)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be taken.

    Attributes:
        id: the line's id where it could be read.
        why: the reason.
    """

    id: int | None
    why: Rejected


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    senml: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    epcis: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    lost: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: int | None = None
    replay: bool = False


class _Times(msgspec.Struct):
    bt: float = 0.0
    t: float = 0.0


class _Document(msgspec.Struct):
    type: str = ""


_decode_wire = msgspec.json.Decoder(_Wire).decode
_decode_times = msgspec.json.Decoder(list[_Times]).decode
_decode_document = msgspec.json.Decoder(_Document).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


def decode_line(raw: bytes, now_ms: int) -> Line | BadLine:
    """Return what `raw` (one line, UTF-8 JSON, no newline) says; relative times count from `now_ms`."""
    try:
        wire = _decode_wire(raw)
    except msgspec.ValidationError as error:
        return BadLine(_find_id(raw), Rejected(Reason.FOREIGN_SCHEMA, f"not a line of this protocol: {error}"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return BadLine(None, Rejected(Reason.MALFORMED, f"not JSON: {error}"))
    outcome = _content(wire, now_ms)
    return BadLine(wire.id, outcome) if isinstance(outcome, Rejected) else outcome


def _content(wire: _Wire, now_ms: int) -> Line | Rejected:
    given = [part for part in (wire.senml, wire.epcis, wire.lost) if part is not msgspec.UNSET]
    if len(given) != 1:
        return Rejected(Reason.FOREIGN_SCHEMA, "a line has exactly one of senml, epcis, lost")
    part = bytes(given[0])
    if wire.senml is not msgspec.UNSET:
        pack = decode_json(part, now_ms)
        return pack if isinstance(pack, Rejected) else _readings(pack, part, wire)
    if wire.epcis is not msgspec.UNSET:
        return _event(part, wire)
    try:
        return Line(wire.id, losses=(Loss.model_validate_json(part),), replayed=wire.replay)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return Rejected(Reason.FOREIGN_SCHEMA, f"not a declared loss: {first['loc']}: {first['msg']}")


def _event(part: bytes, wire: _Wire) -> Line | Rejected:
    """Check only that it is an EPCIS document: the schema is the platform's to judge, and it keeps what it refuses."""
    try:
        kind = _decode_document(part).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejected(Reason.FOREIGN_SCHEMA, f"not an EPCIS document: {error}")
    if kind != "EPCISDocument":
        return Rejected(Reason.FOREIGN_SCHEMA, f"not an EPCIS document: type is {kind[:40]!r}")
    return Line(wire.id, event=part, replayed=wire.replay)


def _readings(pack: Pack, part: bytes, wire: _Wire) -> Line:
    good: list[Reading] = []
    refused: defaultdict[Reason, list[str]] = defaultdict(list)
    for rejected in pack.rejected:
        refused[rejected.reason].append(rejected.detail)
    for reading in pack.readings:
        if len(reading.name) > _MAX_NAME or not _is_unit(reading.unit):
            refused[Reason.MALFORMED].append(f"no name or unit of ours: {reading.name[:40]!r} {reading.unit[:20]!r}")
        else:
            good.append(reading)
    source = _source(part) if refused else ""
    losses = tuple(
        Loss(reason=reason.value, count=len(details), detail="; ".join(details)[:_MAX_DETAIL], source=source)
        for reason, details in refused.items()
    )
    return Line(wire.id, tuple(good), losses, replayed=wire.replay)


def _source(part: bytes) -> str:
    """Return a name for the pack by its bytes; none where a record's time is relative to now (RFC 8428 4.5.3)."""
    base = 0.0
    try:
        for record in _decode_times(part):
            base = record.bt or base
            if base + record.t < RELATIVE_BEFORE_S:
                return ""
    except msgspec.DecodeError:  # a number no float can hold: told every time rather than once too little
        return ""
    return f"senml:{hashlib.sha256(part).hexdigest()[:32]}"


def _is_unit(unit: str) -> bool:
    """SenML units are short printable ASCII (RFC 8428 12.1)."""
    return len(unit) <= _MAX_UNIT and unit.isascii() and unit.isprintable()


def _find_id(raw: bytes) -> int | None:
    try:
        found = _decode_any(raw).get("id")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if type(found) is int else None
