"""SenML packs to readings and back, JSON and CBOR.

Pure: bytes in, values out. A record that cannot become a reading is returned as `Rejected` beside the good ones, so
that one broken sensor never takes its neighbours along. Texts (`vs`, `vd`) are not measurements: refused as such.

One label is our own: `hq`, the quality of the record as the edge judged it (0 good, the default; 1 uncertain; 2 bad).
Whoever does not know it leaves it out unharmed (RFC 8428 4.4).

Nearly every pack has one shape: numbers at absolute times, base fields in the first record alone. `plain_json` and
`plain_cbor` read that shape several times as fast, into columns; of any other they say nothing, and the decoders of
every shape are asked. Where they do answer, both answer the same.
Source: RFC 8428 (4.1 base fields, 4.2 regular fields, 4.5.3 resolved time, 4.5.4 names, 5 JSON, 6 CBOR labels).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, NamedTuple

import cbor2
import msgspec

from hanlu.core.limits import MAX_RECORDS
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason, Rejected

__all__ = [
    "RELATIVE_BEFORE_S",
    "Columns",
    "Pack",
    "decode_cbor",
    "decode_json",
    "encode_json",
    "is_name",
    "plain_cbor",
    "plain_json",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
RELATIVE_BEFORE_S: Final = 2**28
"""Times below are relative to now (RFC 8428 4.5.3)."""

_CBOR_LABELS: Final = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
_KNOWN: Final = frozenset({*_CBOR_LABELS.values(), "hq"})
_QUALITIES: Final = tuple(Quality)


class _Record(msgspec.Struct):
    bn: str = ""
    bt: float = 0.0
    bu: str = ""
    bv: float | None = None
    bs: float | None = None
    bver: int = 10
    n: str = ""
    u: str = ""
    v: float | None = None
    vs: str | None = None
    vb: bool | None = None
    vd: str | None = None
    s: float | None = None
    t: float = 0.0
    ut: float = 0.0
    hq: int = 0


_decode = msgspec.json.Decoder(list[_Record]).decode


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    v: float
    n: str = ""
    u: str = ""
    t: float = 0.0
    bn: str = ""
    bt: float = 0.0
    bu: str = ""
    hq: int = 0


_decode_plain = msgspec.json.Decoder(list[_Plain]).decode

_BN, _BT, _BU, _N, _U, _V, _T = -2, -3, -4, 0, 1, 2, 6
_PLAIN_FIRST: Final = frozenset({_BN, _BT, _BU, _N, _U, _V, _T})
_PLAIN_LATER: Final = frozenset({_N, _U, _V, _T})
_LATEST_S: Final = 1e11
"""Seconds since 1970 beyond which a time is none."""
_EXACT: Final = 2**53
"""Below it every whole number is a float."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A resolved pack: the readings in order, and what was refused of it.

    `len(readings) + len(rejected)` equals the number of records that claimed a value.
    """

    readings: tuple[Reading, ...]
    rejected: tuple[Rejected, ...]


class Columns(NamedTuple):
    """A pack of the plain shape, resolved: parallel columns in the order of the records.

    Attributes:
        names: base name and name put together; whether they are SenML names was not looked at.
        units: SenML units, "" where a record carries none.
        observed_ms: Unix milliseconds UTC.
        values: finite.
        qualities: as the edge judged; None when all are good.
    """

    names: list[str]
    units: list[str]
    observed_ms: list[int]
    values: list[float]
    qualities: list[int] | None = None


def is_name(text: str) -> bool:
    """Tell whether `text` may name a measurement (RFC 8428 4.5.1)."""
    return _NAME.fullmatch(text) is not None


def plain_json(raw: bytes) -> Columns | None:
    """Return the pack in `raw` (UTF-8 JSON) when it has the plain shape; None says nothing about what it is."""
    try:
        records = _decode_plain(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not records or len(records) > MAX_RECORDS:
        return None
    first = records[0]
    base_name, base_time, base_unit = first.bn, first.bt, first.bu
    if len(records) > 1:
        for record in records[1:]:
            if record.bn or record.bt or record.bu:
                return None
    seconds = [base_time + r.t for r in records]
    if not (min(seconds) >= RELATIVE_BEFORE_S and max(seconds) <= _LATEST_S):
        return None
    qualities = [r.hq for r in records]
    if not 0 <= min(qualities) <= max(qualities) < len(_QUALITIES):
        return None
    return Columns(
        [base_name + r.n for r in records] if base_name else [r.n for r in records],
        [r.u or base_unit for r in records],
        [int(second * 1000 + 0.5) for second in seconds],
        [r.v + 0.0 for r in records],  # -0 becomes 0
        qualities if any(qualities) else None,
    )


def plain_cbor(raw: bytes) -> Columns | None:
    """Return the pack in `raw` (CBOR) when it has the plain shape; None says nothing about what it is."""
    stream = BytesIO(raw)
    try:
        items = cbor2.load(stream)
    except (cbor2.CBORDecodeError, ValueError, RecursionError, OverflowError, TypeError):
        return None
    if stream.read(1) or type(items) is not list or not 0 < len(items) <= MAX_RECORDS:
        return None
    columns = Columns([], [], [], [])
    first = items[0]
    if type(first) is not dict:
        return None
    base_name, base_time, base_unit = first.get(_BN, ""), first.get(_BT, 0.0), first.get(_BU, "")
    allowed = _PLAIN_FIRST
    if type(base_name) is not str or not _is_number(base_time) or type(base_unit) is not str:
        return None
    for item in items:
        if type(item) is not dict or not item.keys() <= allowed:
            return None
        allowed = _PLAIN_LATER
        name, unit, value, ahead = item.get(_N, ""), item.get(_U, ""), item.get(_V, ""), item.get(_T, 0.0)
        if type(name) is not str or type(unit) is not str or not _is_number(value) or not _is_number(ahead):
            return None
        seconds = base_time + ahead
        if not RELATIVE_BEFORE_S <= seconds <= _LATEST_S:
            return None
        columns.names.append(base_name + name)
        columns.units.append(unit or base_unit)
        columns.observed_ms.append(int(seconds * 1000 + 0.5))
        columns.values.append(value + 0.0)
    return columns


def _is_number(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and -_EXACT < value < _EXACT)


def decode_json(raw: bytes, now_ms: int) -> Pack | Rejected:
    """Return the pack in `raw` (UTF-8 JSON), relative times resolved against `now_ms`."""
    if b'_"' in raw and (refused := _must_understand(raw)):
        return refused
    try:
        try:
            records = _decode(raw)
        except msgspec.DecodeError:
            # Numbers such as 1e999 are JSON but no float; the slower parser takes them as infinite, so that only
            # the record that holds one is refused. It also says better what else is wrong.
            records = msgspec.convert(json.loads(raw, parse_constant=_no_constant), list[_Record])
    except msgspec.ValidationError as error:
        return Rejected(Reason.FOREIGN_SCHEMA, f"not a SenML pack: {error}")
    except (ValueError, RecursionError) as error:
        return Rejected(Reason.MALFORMED, f"not JSON: {error}")
    return _resolve(records, now_ms)


def decode_cbor(raw: bytes, now_ms: int) -> Pack | Rejected:
    """Return the pack in `raw` (CBOR), relative times resolved against `now_ms`."""
    stream = BytesIO(raw)
    try:
        items = cbor2.load(stream)
    except (cbor2.CBORDecodeError, ValueError, RecursionError, OverflowError, TypeError) as error:
        return Rejected(Reason.MALFORMED, f"not CBOR: {error}")
    if stream.read(1):
        return Rejected(Reason.MALFORMED, "bytes after the CBOR pack")
    try:
        named = [{_CBOR_LABELS.get(k, k): v for k, v in item.items()} for item in items]
        unknown = {k for item in named for k in item if isinstance(k, str) and k.endswith("_")}
        if unknown:
            return Rejected(Reason.FOREIGN_SCHEMA, f"labels that must be understood: {sorted(unknown)}")
        clean = [{k: v for k, v in item.items() if k in _KNOWN} for item in named]
        return _resolve(msgspec.convert(clean, list[_Record]), now_ms)
    except (AttributeError, TypeError, msgspec.ValidationError) as error:
        return Rejected(Reason.FOREIGN_SCHEMA, f"not a SenML pack: {error}")


def encode_json(readings: Iterable[Reading], base_name: str = "") -> bytes:
    """Return a compact JSON pack of `readings`; names must start with `base_name`, which is factored out.

    Booleans travel as numbers: the channel, not the wire, knows what they mean.
    """
    records: list[dict[str, Any]] = []
    base_ms = None
    for reading in readings:
        record: dict[str, Any] = {}
        if base_ms is None:
            base_ms = reading.observed_ms
            if base_name:
                record["bn"] = base_name
            record["bt"] = _seconds(base_ms)
        record["n"] = reading.name[len(base_name) :]
        if reading.unit:
            record["u"] = reading.unit
        if reading.observed_ms != base_ms:
            record["t"] = _seconds(reading.observed_ms - base_ms)
        record["v"] = reading.value
        if reading.quality:
            record["hq"] = int(reading.quality)
        records.append(record)
    return json.dumps(records, separators=(",", ":"), allow_nan=False).encode()


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _seconds(ms: int) -> float | int:
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def _shown(number: int) -> str:
    """Return a whole number in words; one of CBOR may be so long that Python refuses to write it in digits."""
    return str(number) if abs(number) < _EXACT else f"of {number.bit_length()} bits"


def _must_understand(raw: bytes) -> Rejected | None:
    """Refuse labels ending in "_" (RFC 8428 4.4), found only on the rare pack that contains `_"`."""
    try:
        items = json.loads(raw)
        labels = {key for item in items if isinstance(item, dict) for key in item if key.endswith("_")}
    except (ValueError, TypeError, RecursionError):
        return None  # the main decoder says better what is wrong
    return Rejected(Reason.FOREIGN_SCHEMA, f"labels that must be understood: {sorted(labels)}") if labels else None


def _resolve(records: Sequence[_Record], now_ms: int) -> Pack | Rejected:
    if len(records) > MAX_RECORDS:
        return Rejected(Reason.OVERSIZED, f"{len(records)} records, at most {MAX_RECORDS} in a pack")
    base_name, base_time, base_unit = "", 0.0, ""
    base_value: float | None = None
    readings: list[Reading] = []
    rejected: list[Rejected] = []
    for position, record in enumerate(records):
        if record.bver > 10:
            return Rejected(Reason.FOREIGN_SCHEMA, f"SenML version {_shown(record.bver)}, only 10 is known")
        base_name = record.bn or base_name
        base_time = record.bt or base_time
        base_unit = record.bu or base_unit
        base_value = record.bv if record.bv is not None else base_value
        outcome = _reading(record, base_name, base_time, base_unit, base_value, now_ms)
        if isinstance(outcome, Reading):
            readings.append(outcome)
        elif outcome is not None:
            rejected.append(Rejected(outcome.reason, f"record {position}: {outcome.detail}"))
    if not readings and not rejected:
        return Rejected(Reason.FOREIGN_SCHEMA, "the pack holds no value")
    return Pack(tuple(readings), tuple(rejected))


def _reading(
    record: _Record, base_name: str, base_time: float, base_unit: str, base_value: float | None, now_ms: int
) -> Reading | Rejected | None:
    name = base_name + record.n
    if record.v is not None:
        value = record.v + (base_value or 0.0)
    elif record.vb is not None:
        value = 1.0 if record.vb else 0.0
    elif record.vs is not None or record.vd is not None:
        return Rejected(Reason.NOT_NUMERIC, f"{name[:80]!r} carries text or data, not a measurement")
    elif record.n and base_value is not None:
        value = base_value
    elif record.s is not None:
        return Rejected(Reason.NOT_NUMERIC, f"{name[:80]!r} carries only a sum")
    else:
        return None
    if not is_name(name):
        return Rejected(Reason.MALFORMED, f"{name[:80]!r} is not a SenML name")
    if not math.isfinite(value):
        return Rejected(Reason.NOT_FINITE, f"{name[:80]!r} is {value}")
    if not 0 <= record.hq < len(_QUALITIES):
        return Rejected(Reason.MALFORMED, f"{name[:80]!r} has quality {_shown(record.hq)}, known are 0 to 2")
    seconds = base_time + record.t
    if not math.isfinite(seconds) or abs(seconds) > _LATEST_S:
        return Rejected(Reason.IMPOSSIBLE_TIME, f"{name[:80]!r} at {seconds} s")
    observed_ms = math.floor(seconds * 1000 + 0.5)
    if seconds < RELATIVE_BEFORE_S:
        observed_ms += now_ms
    return Reading(name, record.u or base_unit, observed_ms, value, _QUALITIES[record.hq])
