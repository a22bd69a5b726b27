"""SenML packs to readings and back, JSON and CBOR.

Pure: bytes in, values out. A record that cannot become a reading is returned as `Rejected` beside the good ones, so
that one broken sensor never takes its neighbours along. Texts (`vs`, `vd`) are not measurements: refused as such.

One label is our own: `hq`, the quality of the record as the edge judged it (0 good, the default; 1 uncertain; 2 bad).
Whoever does not know it leaves it out unharmed (RFC 8428 4.4).
Source: RFC 8428 (4.1 base fields, 4.2 regular fields, 4.5.3 resolved time, 4.5.4 names, 5 JSON, 6 CBOR labels).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import cbor2
import msgspec

from hanlu.core.limits import MAX_RECORDS
from hanlu.core.reading import Quality, Reading
from hanlu.core.rejected import Reason, Rejected

__all__ = ["RELATIVE_BEFORE_S", "Pack", "decode_cbor", "decode_json", "encode_json"]

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


@dataclass(frozen=True, slots=True)
class Pack:
    """A resolved pack: the readings in order, and what was refused of it.

    `len(readings) + len(rejected)` equals the number of records that claimed a value.
    """

    readings: tuple[Reading, ...]
    rejected: tuple[Rejected, ...]


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


def _must_understand(raw: bytes) -> Rejected | None:
    """Refuse labels ending in "_" (RFC 8428 4.4), found only on the rare pack that contains `_"`."""
    try:
        items = json.loads(raw)
        labels = {key for item in items for key in item if key.endswith("_")}
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
            return Rejected(Reason.FOREIGN_SCHEMA, f"SenML version {record.bver}, only 10 is known")
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
    if not _NAME.fullmatch(name):
        return Rejected(Reason.MALFORMED, f"{name[:80]!r} is not a SenML name")
    if not math.isfinite(value):
        return Rejected(Reason.NOT_FINITE, f"{name[:80]!r} is {value}")
    if not 0 <= record.hq < len(_QUALITIES):
        return Rejected(Reason.MALFORMED, f"{name[:80]!r} has quality {record.hq}, known are 0 to 2")
    seconds = base_time + record.t
    if not math.isfinite(seconds) or abs(seconds) > 1e11:
        return Rejected(Reason.IMPOSSIBLE_TIME, f"{name[:80]!r} at {seconds} s")
    observed_ms = math.floor(seconds * 1000 + 0.5)
    if seconds < RELATIVE_BEFORE_S:
        observed_ms += now_ms
    return Reading(name, record.u or base_unit, observed_ms, value, _QUALITIES[record.hq])
