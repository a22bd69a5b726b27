"""Every limit of the wire, by name and with its unit. Room-specific limits stand in the rooms' settings."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CODE_PATTERN",
    "EARLIEST_OBSERVED_MS",
    "MAX_FUTURE_MS",
    "MAX_LINE_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_RECORDS",
    "PARTITIONS",
    "PHYSICAL_RANGE",
]

PARTITIONS: Final = 64
"""Number of fixed partitions a gateway may belong to; ingest workers own sets of them."""

MAX_MESSAGE_BYTES: Final = 256 * 1024
"""Largest MQTT payload accepted, bytes."""

MAX_LINE_BYTES: Final = 64 * 1024
"""Largest line a device may send to its gateway, bytes."""

MAX_RECORDS: Final = 5_000
"""Most SenML records in one pack."""

EARLIEST_OBSERVED_MS: Final = 1_262_304_000_000
"""2010-01-01T00:00:00Z: a device that says less has no clock (1970 and 2000 are power-on dates)."""

MAX_FUTURE_MS: Final = 5 * 60 * 1000
"""How far ahead of reception an observation may be stamped, milliseconds."""

CODE_PATTERN: Final = r"[a-z0-9][a-z0-9-]{0,39}"
"""Shape of the codes of gateways, devices and sites: safe in topics, files and URLs."""

PHYSICAL_RANGE: Final[dict[str, tuple[float, float]]] = {
    "Cel": (-90.0, 150.0),
    "%RH": (0.0, 100.0),
    "lat": (-90.0, 90.0),
    "lon": (-180.0, 180.0),
    "%EL": (0.0, 100.0),
    "kg": (-1.0, 200_000.0),
    "W": (-1.0, 10_000_000.0),
    "l": (0.0, 100_000.0),
    "l/s": (-1000.0, 1000.0),
    "m/s": (-500.0, 500.0),
}
"""Values outside cannot come from a working instrument of that SenML unit (RFC 8428 12.1); inclusive."""
