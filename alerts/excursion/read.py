"""What pages and report show of an excursion: rows as values, limited to a person's subtree by the statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from psycopg.rows import class_row, scalar_row

from hanlu.alerts.excursion.store import CELSIUS
from hanlu.alerts.views import Switch, on_spans
from hanlu.core.clock import from_ms
from hanlu.core.curve import Sample, Span
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["STATES", "Act", "AlarmOf", "Curve", "Detail", "Excursion", "Lot", "Profile", "Reader", "Version"]

STATES: Final = ("all", "standing", "ended", "unacknowledged", "corrected")
MOST_LOTS: Final = 500
_AROUND: Final = 0.35
_LEAST_AROUND_MS: Final = 3_600_000
_POINTS: Final = 400
_QUERIES = load_queries("hanlu.alerts.excursion")
_LOT = re.compile(r"/01/(?P<gtin>[0-9]{14})/10/(?P<lot>[^/?#]+)")
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Excursion:
    """An excursion with where it was; figures as in alerts.excursion, times in Unix milliseconds."""

    excursion_id: int
    channel_id: int
    side: str
    limit_value: float
    standing: bool
    unit: str
    gap_ms: int
    from_ms: int
    to_ms: int | None
    known_until_ms: int | None
    minutes: float | None
    unknown_minutes: float | None
    degree_minutes: float | None
    peak: float | None
    peak_ms: int | None
    mean: float | None
    kinetic: float | None
    kinetic_day: float | None
    known_day: float | None
    kinetic_month: float | None
    known_month: float | None
    readings: int
    digest: str | None
    windows_ms: int | None
    computed_ms: int
    version: int
    corrections: int
    organisation_zh: str
    organisation_en: str
    site: str
    site_zh: str
    site_en: str
    zone: str
    zone_zh: str
    zone_en: str
    channel: str
    metric: str
    period_s: float
    limit_profile: str | None
    locations: list[str]
    unacknowledged: bool | None
    held: bool | None
    lots: int

    @property
    def upward(self) -> bool:
        """Whether worse is above the limit."""
        return self.side == "high"

    @property
    def degree_unit(self) -> str:
        """Return the unit of degree-minutes, as people write it: differences of temperature are kelvin."""
        return "K·min" if self.unit == CELSIUS else f"{self.unit}·min"

    @property
    def end_ms(self) -> int:
        """Return where it ended, or until when it is known."""
        return self.to_ms or self.known_until_ms or self.from_ms

    def name(self, part: str, lang: str) -> str:
        """Return the name of "organisation", "site" or "zone" in `lang`."""
        return str(getattr(self, f"{part}_{lang}"))


@dataclass(frozen=True, slots=True)
class Profile:
    """The limits that were in force, and where they are from."""

    code: str
    source: str
    low: float | None
    high: float | None
    effective_from: date


@dataclass(frozen=True, slots=True)
class AlarmOf:
    """An alarm of the excursion, with the rule that raised it (None from before rules were data)."""

    alarm_id: int
    kind: str
    priority: int
    process_state: str
    limit_value: float
    hold_reason: str | None
    rule_code: str | None
    rule_version: int | None
    rule_zh: str | None
    rule_en: str | None
    raised_ms: int
    returned_ms: int | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did about an alarm, and wrote."""

    alarm_id: int
    at_ms: int
    event: str
    actor: str
    note: str


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot that stood there; `to_ms` is None while it does."""

    lot_uri: str
    from_ms: int
    to_ms: int | None
    product_zh: str | None
    product_en: str | None

    def product(self, lang: str) -> str:
        """Return what it is, "" where the registry does not know."""
        return (self.product_zh if lang == "zh" else self.product_en) or ""

    @property
    def code(self) -> str:
        """Return the lot's own code, or its whole identity where it has another form."""
        found = _LOT.search(self.lot_uri)
        return unquote(found["lot"]) if found else self.lot_uri


@dataclass(frozen=True, slots=True)
class Version:
    """One change of what was said."""

    version: int
    at_ms: int
    why: str
    before: dict[str, Any] | None
    after: dict[str, Any]

    def changes(self) -> list[tuple[str, Any, Any]]:
        """Return (figure, before, after) of what people are shown, where it differs."""
        before = self.before or {}
        return [
            (each, before.get(each), self.after.get(each))
            for each in _SHOWN
            if before.get(each) != self.after.get(each)
        ]


_SHOWN = (
    "from_ms", "to_ms", "minutes", "unknown_minutes", "degree_minutes", "peak", "kinetic", "kinetic_day",
    "kinetic_month", "limit_value", "readings",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Curve:
    """What is drawn: the curve, and when switches of the room were on."""

    span: Span
    samples: list[Sample]
    switches: list[tuple[str, list[Span]]]
    gap_ms: float


@dataclass(frozen=True, slots=True)
class Detail:
    """Everything a page or a report says of one excursion."""

    excursion: Excursion
    profile: Profile | None
    alarms: list[AlarmOf]
    acts: list[Act]
    lots: list[Lot]
    versions: list[Version]
    curve: Curve

    @property
    def corrections(self) -> list[Version]:
        """Return the changes of what had been reported, other than that it went on or ended."""
        return [each for each in self.versions if each.why in {"late_data", "joined", "merged"}]


class Reader:
    """The statements over one connection, for one person's subtree."""

    def __init__(self, connection: Connection, scope: str) -> None:
        """Read through `connection` (acting as hanlu_alerts) what lies under the path `scope`."""
        self._connection = connection
        self._scope = scope

    def excursions(
        self,
        *,
        site: str | None = None,
        from_at_ms: int | None = None,
        to_at_ms: int | None = None,
        state: str = "all",
        limit: int = 50,
        offset: int = 0,
    ) -> list[Excursion]:
        """Return excursions, the newest first.

        Args:
            site: code of a site, or a part of its name.
            from_at_ms: leave out those that ended before.
            to_at_ms: leave out those that began then or later.
            state: one of STATES.
            limit: most rows.
            offset: rows to skip.
        """
        return self._list(
            site=site, from_at=None if from_at_ms is None else from_ms(from_at_ms),
            to_at=None if to_at_ms is None else from_ms(to_at_ms), state=state, limit=limit, offset=offset,
        )  # fmt: skip

    def excursion(self, excursion_id: int) -> Excursion:
        """Return one excursion.

        Raises:
            NotFoundError: there is none in the subtree, or it was merged into another.
        """
        found = self._list(excursion_id=excursion_id, state="all", limit=1, offset=0)
        if not found:
            raise NotFoundError(f"there is no excursion {excursion_id}")
        return found[0]

    def number(self, *, alarm_id: int | None = None, excursion_id: int | None = None) -> int | None:
        """Return the excursion of an alarm, or the one another was merged into; None when there is none."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            parameters = {"alarm_id": alarm_id, "excursion_id": excursion_id, "scope": self._scope}
            number: int | None = cursor.execute(_QUERIES["excursion_number"], parameters).fetchone()
        return number

    def detail(self, excursion_id: int) -> Detail:
        """Return everything about one excursion; errors as `excursion`."""
        one = self.excursion(excursion_id)
        key = {"excursion_id": excursion_id}
        profiles = self._all(
            Profile, "excursion_profile", code=one.limit_profile, metric=one.metric, at=from_ms(one.from_ms)
        )
        lots = self._all(
            Lot, "excursion_lots", locations=one.locations, from_at=from_ms(one.from_ms),
            to_at=from_ms(one.end_ms) if one.known_until_ms or one.to_ms else None, limit=MOST_LOTS,
        )  # fmt: skip
        return Detail(
            one,
            profiles[0] if profiles else None,
            self._all(AlarmOf, "excursion_alarm_list", **key),
            self._all(Act, "excursion_acts", **key),
            lots,
            self._all(Version, "excursion_versions", **key),
            self._curve(one),
        )

    def _curve(self, one: Excursion) -> Curve:
        around = max(_LEAST_AROUND_MS, round((one.end_ms - one.from_ms) * _AROUND))
        span = Span(one.from_ms - around, one.end_ms + around)
        limits = {"channel_id": one.channel_id, "from_at": from_ms(span.from_ms), "to_at": from_ms(span.to_ms)}
        bucket = (span.to_ms - span.from_ms) / _POINTS
        # A bucket of a millisecond holds one reading: a short curve is drawn of the readings themselves.
        plain = bucket <= one.period_s * 1000
        series = limits | {
            "gap": timedelta(milliseconds=one.gap_ms), "bucket": timedelta(milliseconds=1 if plain else bucket),
        }  # fmt: skip
        samples = [
            Sample(at_ms, value, None if plain else low, None if plain else high, after_gap)
            for at_ms, value, low, high, after_gap in self._connection.execute(_QUERIES["excursion_series"], series)
        ]
        switches = []
        rows = self._connection.execute(_QUERIES["excursion_switches"], {"channel_id": one.channel_id}).fetchall()
        for channel_id, metric, period_s, gap_ms in rows:
            readings = self._pairs("excursion_switched", limits | {"channel_id": channel_id})
            switches.append((metric, list(on_spans(_switches(readings, gap_ms), round(period_s * 1000)))))
        return Curve(span, samples, switches, max(float(one.gap_ms), 2.5 * bucket))

    def _pairs(self, query: str, parameters: dict[str, Any]) -> list[tuple[int, float]]:
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(_QUERIES[query], parameters).fetchall()

    def _list(self, **wanted: Any) -> list[Excursion]:
        names = ("excursion_id", "site", "from_at", "to_at", "state", "limit", "offset")
        return self._all(Excursion, "excursion_list", **(dict.fromkeys(names) | wanted), scope=self._scope)

    def _all(self, of: type[_Row], query: str, **parameters: Any) -> list[_Row]:
        with self._connection.cursor(row_factory=class_row(of)) as cursor:
            return cursor.execute(_QUERIES[query], parameters).fetchall()


def _switches(readings: Sequence[tuple[int, float]], gap_ms: int) -> list[Switch]:
    rows = []
    for index, (at_ms, value) in enumerate(readings):
        before = readings[index - 1][0] if index else None
        after_gap = before is None or at_ms - before > gap_ms
        rows.append(Switch(at_ms, before, value >= 0.5, after_gap, index == len(readings) - 1))
    return rows
