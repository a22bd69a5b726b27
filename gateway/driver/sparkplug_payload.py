"""Sparkplug B payloads to values; pure.

Read by the `protobuf` package, whose parser is compiled, fast and hardened against hostile bytes, with a descriptor
made here of the published field numbers and of nothing we do not read: what is not described is skipped, as protobuf
has it. Texts, data sets and templates are described as bytes: on the wire they are a length and that many bytes, and
whether a text is UTF-8 is looked at here.
Source: Sparkplug 3.0, 6.4 (payload components: field numbers, datatypes, quality codes), 6.4.26 (Payload).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from hanlu.core.reading import Quality
from hanlu.core.rejected import Reason, Rejected

__all__ = ["BD_SEQ", "REBIRTH", "Datatype", "Metric", "Payload", "decode_payload", "encode_rebirth", "value_of"]

REBIRTH: Final = "Node Control/Rebirth"
BD_SEQ: Final = "bdSeq"
MAX_METRICS: Final = 20_000
"""Metrics in one payload at most."""
_LATEST_MS: Final = 253_402_300_799_999
"""End of the year 9999: later timestamps are no times."""


class Datatype(IntEnum):
    """Codes of the types that can be numbers; all others are not measured."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11


_BITS: Final = {
    Datatype.INT8: 8, Datatype.INT16: 16, Datatype.INT32: 32, Datatype.INT64: 64,
    Datatype.UINT8: 8, Datatype.UINT16: 16, Datatype.UINT32: 32, Datatype.UINT64: 64,
}  # fmt: skip
_SIGNED: Final = frozenset({Datatype.INT8, Datatype.INT16, Datatype.INT32, Datatype.INT64})
_QUALITIES: Final = {0: Quality.BAD, 192: Quality.GOOD, 500: Quality.UNCERTAIN}
"""Property `Quality`: bad, good, stale."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it came.

    Attributes:
        name: empty where only the alias was sent.
        alias: or None.
        timestamp_ms: Unix milliseconds, or None.
        datatype: its code; 0: not sent.
        historical: not a current value.
        null: explicitly without a value.
        integer: raw value of an integer field, unsigned as on the wire, or None.
        real: value of a float or double field, or None.
        boolean: value of a boolean field, or None.
        quality: of the property `Quality`.
        unit: of the property `engUnit`, which many makers send; empty: none.
    """

    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int = 0
    historical: bool = False
    null: bool = False
    integer: int | None = None
    real: float | None = None
    boolean: bool | None = None
    quality: Quality = Quality.GOOD
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload.

    Attributes:
        timestamp_ms: when it was sent, Unix milliseconds, or None.
        seq: 0 to 255, or None.
        metrics: in the order sent.
    """

    timestamp_ms: int | None
    seq: int | None
    metrics: tuple[Metric, ...]

    @property
    def bd_seq(self) -> int | None:
        """Return the number that ties a death to its birth, or None."""
        return next((each.integer for each in self.metrics if each.name == BD_SEQ), None)


def decode_payload(raw: bytes) -> Payload | Rejected:
    """Return the payload in `raw`."""
    message = _Payload()
    try:
        message.ParseFromString(raw)
        if len(message.metrics) > MAX_METRICS:
            return Rejected(Reason.OVERSIZED, f"{len(message.metrics)} metrics, at most {MAX_METRICS}")
        metrics = tuple(_metric(each) for each in message.metrics)
    except (DecodeError, UnicodeDecodeError) as error:
        return Rejected(Reason.MALFORMED, f"no Sparkplug payload: {error}")
    seq = message.seq if message.HasField("seq") else None
    if seq is not None and seq > 255:
        return Rejected(Reason.FOREIGN_SCHEMA, f"sequence number {seq}, at most 255")
    return Payload(_time(message), seq, metrics)


def value_of(metric: Metric, datatype: int) -> float | None:
    """Return a metric's value as a number by its type; None: it has none, or one that is no finite number.

    Signed integers travel as two's complement in unsigned fields, some senders widen them: the type's own bits count.
    """
    if metric.null:
        return None
    if metric.boolean is not None:
        return float(metric.boolean)
    if metric.real is not None:
        return metric.real if math.isfinite(metric.real) else None
    if metric.integer is None or datatype not in _BITS:
        return float(metric.integer != 0) if metric.integer is not None and datatype == Datatype.BOOLEAN else None
    bits = _BITS[Datatype(datatype)]
    raw = metric.integer & ((1 << bits) - 1)
    if datatype in _SIGNED and raw >> (bits - 1):
        raw -= 1 << bits
    return float(raw)


def encode_rebirth(now_ms: int) -> bytes:
    """Return the command that asks an edge node for its births; without a sequence number, as commands are."""
    message = _Payload(timestamp=now_ms)
    message.metrics.add(name=REBIRTH.encode(), timestamp=now_ms, datatype=int(Datatype.BOOLEAN), boolean_value=True)
    raw: bytes = message.SerializeToString()
    return raw


def _metric(raw: Any) -> Metric:
    quality, unit = _properties(raw.properties) if raw.HasField("properties") else (Quality.GOOD, "")
    integer = raw.int_value if raw.HasField("int_value") else raw.long_value if raw.HasField("long_value") else None
    real = (
        raw.float_value if raw.HasField("float_value") else raw.double_value if raw.HasField("double_value") else None
    )
    return Metric(
        name=raw.name.decode(),
        alias=raw.alias if raw.HasField("alias") else None,
        timestamp_ms=_time(raw),
        datatype=raw.datatype,
        historical=raw.is_historical,
        null=raw.is_null,
        integer=integer,
        real=real,
        boolean=raw.boolean_value if raw.HasField("boolean_value") else None,
        quality=quality,
        unit=unit,
    )


def _properties(raw: Any) -> tuple[Quality, str]:
    quality, unit = Quality.GOOD, ""
    for key, value in zip(raw.keys, raw.values, strict=False):  # arrays of different length are the sender's mistake
        if key == b"Quality" and not value.is_null:
            quality = _QUALITIES.get(value.int_value if value.HasField("int_value") else value.long_value, Quality.GOOD)
        elif key == b"engUnit":
            unit = value.string_value.decode()
    return quality, unit


def _time(raw: Any) -> int | None:
    return int(raw.timestamp) if raw.HasField("timestamp") and raw.timestamp <= _LATEST_MS else None


def _message_classes() -> dict[str, Any]:
    """Build the message classes of what we read."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="hanlu/sparkplug_b.proto", package="hanlu.sparkplug_b")
    file.syntax = "proto2"
    tables: dict[str, list[tuple[str, int, int | str, bool]]] = {
        "PropertyValue": [
            ("is_null", 2, kinds.TYPE_BOOL, False),
            ("int_value", 3, kinds.TYPE_UINT32, False),
            ("long_value", 4, kinds.TYPE_UINT64, False),
            ("string_value", 8, kinds.TYPE_BYTES, False),
        ],
        "PropertySet": [
            ("keys", 1, kinds.TYPE_BYTES, True),
            ("values", 2, "PropertyValue", True),
        ],
        "Metric": [
            ("name", 1, kinds.TYPE_BYTES, False),
            ("alias", 2, kinds.TYPE_UINT64, False),
            ("timestamp", 3, kinds.TYPE_UINT64, False),
            ("datatype", 4, kinds.TYPE_UINT32, False),
            ("is_historical", 5, kinds.TYPE_BOOL, False),
            ("is_null", 7, kinds.TYPE_BOOL, False),
            ("properties", 9, "PropertySet", False),
            ("int_value", 10, kinds.TYPE_UINT32, False),
            ("long_value", 11, kinds.TYPE_UINT64, False),
            ("float_value", 12, kinds.TYPE_FLOAT, False),
            ("double_value", 13, kinds.TYPE_DOUBLE, False),
            ("boolean_value", 14, kinds.TYPE_BOOL, False),
            ("string_value", 15, kinds.TYPE_BYTES, False),
            ("bytes_value", 16, kinds.TYPE_BYTES, False),
            ("dataset_value", 17, kinds.TYPE_BYTES, False),
            ("template_value", 18, kinds.TYPE_BYTES, False),
        ],
        "Payload": [
            ("timestamp", 1, kinds.TYPE_UINT64, False),
            ("metrics", 2, "Metric", True),
            ("seq", 3, kinds.TYPE_UINT64, False),
        ],
    }
    for name, fields in tables.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            entry = message.field.add(name=field, number=number)
            entry.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if isinstance(kind, str):
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".hanlu.sparkplug_b.{kind}"
            else:
                entry.type = kind  # type: ignore[assignment]  # the stub's enum is an int when it runs
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"hanlu.sparkplug_b.{name}"))
        for name in tables
    }


_Payload: Final[Any] = _message_classes()["Payload"]
