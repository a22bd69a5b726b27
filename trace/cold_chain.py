"""The cold chain of a lot: where it stood (events) joined with what was measured there (readings)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from hanlu.core.clock import from_ms, to_ms
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries
from hanlu.trace.curve import Curve, Limits, Point, build_curve, thinned
from hanlu.trace.epcis.digital_link import DigitalLinkError, parse_digital_link
from hanlu.trace.places import Place, load_names

__all__ = ["ChannelCurve", "ColdChain", "Stay", "cold_chain"]

_SQL = load_queries("hanlu.trace")

DEFAULT_POINTS = 400
"""Points of a channel's picture in all its stays together."""


@dataclass(frozen=True, slots=True)
class ChannelCurve:
    """What one thermometer measured during one stay.

    Attributes:
        channel: ``gateway/device/metric``.
        metric: air_temperature or product_temperature.
        unit: SenML unit, Cel.
        zone_zh: Chinese name of the zone.
        zone_en: English name of the zone.
        limits: The product's limits, else the channel's own.
        curve: Segments, gaps and figures; the figures are of all readings, the segments may be thinned.
    """

    channel: str
    metric: str
    unit: str
    zone_zh: str
    zone_en: str
    limits: Limits
    curve: Curve


@dataclass(frozen=True, slots=True)
class Stay:
    """The lot stood at a place.

    Attributes:
        place: Where.
        from_ms: Since when, Unix milliseconds UTC.
        to_ms: Until when; None while it is still there.
        event_hash: The event that began it.
        channels: Thermometers of the place; empty where it has none.
    """

    place: Place
    from_ms: int
    to_ms: int | None
    event_hash: str
    channels: tuple[ChannelCurve, ...]


@dataclass(frozen=True, slots=True)
class ColdChain:
    """All stays of a lot, oldest first.

    Attributes:
        lot_uri: Whose.
        stays: Oldest first.
    """

    lot_uri: str
    stays: tuple[Stay, ...]


def cold_chain(connection: Connection, lot_uri: str, now_ms: int, points: int = DEFAULT_POINTS) -> ColdChain:
    """Return where the lot stood and what was measured there.

    Args:
        connection: Any connection of the room.
        lot_uri: Canonical Digital Link of the lot; an unknown one has no stays.
        now_ms: The time, Unix milliseconds UTC: the end of a stay that goes on.
        points: About how many points each channel's stays together may have.
    """
    stays = _rows(connection, "lot_stays", lot_uri=lot_uri)
    if not stays:
        return ColdChain(lot_uri, ())
    product = _product_limits(connection, lot_uri)
    names = load_names(connection, places=[row["location"] for row in stays])
    measured = _rows(connection, "lot_curves", lot_uri=lot_uri, now=from_ms(now_ms))
    total = max(1, sum(len(row["instants"] or ()) for row in measured))
    found = []
    for row in stays:
        begin, end = to_ms(row["from_at"]), None if row["to_at"] is None else to_ms(row["to_at"])
        place = names.place(row["location"])
        assert place is not None  # a stay has a location
        here = [each for each in measured if (each["from_at"], each["location"]) == (row["from_at"], row["location"])]
        channels = tuple(_channel(each, begin, now_ms if end is None else end, product, points, total) for each in here)
        found.append(Stay(place, begin, end, row["event_hash"], channels))
    return ColdChain(lot_uri, tuple(found))


def _rows(connection: Connection, name: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row, binary=True) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()


def _product_limits(connection: Connection, lot_uri: str) -> dict[str, Limits]:
    try:
        link = parse_digital_link(lot_uri)
    except DigitalLinkError:
        return {}
    if link.key != "01":
        return {}
    rows = _rows(connection, "product_limits", gtin=link.value)
    return {row["metric"]: Limits(row["low"], row["high"], row["code"]) for row in rows}


def _channel(
    row: dict[str, Any], from_ms_: int, to_ms_: int, product: dict[str, Limits], points: int, total: int
) -> ChannelCurve:
    own = Limits(row["low"], row["high"], row["limit_profile"] or "")
    limits = product.get(row["metric"], own)
    readings: list[Point] = list(zip(row["instants"] or (), row["figures"] or (), strict=True))
    curve = build_curve(readings, from_ms_, max(from_ms_, to_ms_), row["no_data_s"], limits)
    share = max(16, points * len(readings) // total)
    drawn = Curve(thinned(curve.segments, share), curve.gaps, curve.figures)
    return ChannelCurve(
        row["channel"],
        row["metric"],
        row["unit"],
        row["zone_zh"] or "",
        row["zone_en"] or "",
        limits,
        drawn,
    )
