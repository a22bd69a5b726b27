"""The page on which calibrations are seen and recorded: what is due first stands first.

Entries are append-only; the latest of a channel holds. Recording one ends the channel's calibration alarm at the
engine's next look.

Source: GB 31605-2020 (monitoring devices are calibrated periodically, and that is recorded).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from psycopg.rows import class_row
from starlette.responses import RedirectResponse, Response

from hanlu.alerts import operate
from hanlu.alerts.desk import Desk
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import Connection, translated
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["CalibrationNow", "add_calibration_page", "fault_of"]

CHANNELS_PER_PAGE: Final = 50
SOON_DAYS: Final = 30
"""Days before the date from which a channel is marked; as the shipped rule."""
MOST_YEARS: Final = 10
"""A date further ahead is a slip of the hand."""
CERTIFICATE_LENGTH: Final = 120

_QUERIES: Final = load_queries("hanlu.alerts")
_CHINA: Final = timedelta(hours=8)

Page = Annotated[int, Query(ge=1, le=10_000)]
ChannelId = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
ZoneCode = Annotated[str | None, Query(max_length=80)]


@dataclass(frozen=True, slots=True)
class CalibrationNow:
    """A channel with its latest calibration entry; the fields from `due_on` on are None where there is none."""

    channel_id: int
    channel: str
    metric: str
    device: str
    zone: str
    zone_zh: str
    zone_en: str
    site: str
    site_zh: str
    site_en: str
    due_on: date | None
    certificate: str | None
    actor: str | None
    recorded_ms: int | None

    def zone_name(self, lang: str) -> str:
        """Return the zone's name."""
        return self.zone_zh if lang == "zh" else self.zone_en

    def site_name(self, lang: str) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en

    def mark(self, today: date) -> str:
        """Return "over", "soon" or "ok" by the date, "none" where there is none."""
        if self.due_on is None:
            return "none"
        if self.due_on <= today:
            return "over"
        return "soon" if self.due_on - today <= timedelta(days=SOON_DAYS) else "ok"


def fault_of(due: str, certificate: str, today: date) -> str:
    """Return what is wrong with an entry: "date", "past", "far", "certificate"; "" for nothing."""
    try:
        due_on = date.fromisoformat(due)
    except ValueError:
        return "date"
    if due_on <= today:
        return "past"
    if due_on.year - today.year > MOST_YEARS:
        return "far"
    return "" if certificate else "certificate"


def add_calibration_page(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the page and its form to the console's routes."""
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/calibration")
    def calibration(
        request: Request,
        person: Person = operator,
        channel: ChannelId = None,
        zone: ZoneCode = None,
        page: Page = 1,
        done: ChannelId = None,
    ) -> Response:
        return _page(request, web, desk, person, channel, zone, page, {"done": done})

    @routes.post("/console/calibration/{channel_id}")
    def record(
        request: Request,
        channel_id: int,
        person: Person = operator,
        due_on: Annotated[str, Form(max_length=20)] = "",
        certificate: Annotated[str, Form(max_length=CERTIFICATE_LENGTH)] = "",
    ) -> Response:
        due, certificate = due_on.strip(), certificate.strip()
        if fault := fault_of(due, certificate, _today(web)):
            unsaved = {"fault": fault, "typed_due": due, "typed_certificate": certificate}
            return _page(request, web, desk, person, channel_id, None, 1, unsaved, status=422)
        with translated(), web.pool.connection() as connection:
            _one(connection, person, channel_id)
            operate.record_calibration(
                connection, channel_id, due_on=date.fromisoformat(due), certificate=certificate, actor=person.login
            )
        web.audit(
            person.person_id, "alerts.calibration.record", str(channel_id), {"due_on": due, "certificate": certificate}
        )
        return RedirectResponse(f"/console/calibration?channel={channel_id}&done={channel_id}", 303)


def _page(
    request: Request,
    web: RoomWeb,
    desk: Desk,
    person: Person,
    channel_id: int | None,
    zone: str | None,
    page: int,
    more: Mapping[str, object],
    *,
    status: int = 200,
) -> Response:
    with translated(), web.pool.connection() as connection:
        offset = (page - 1) * CHANNELS_PER_PAGE
        found = _read(connection, person, channel_id, zone, CHANNELS_PER_PAGE + 1, offset)
    if channel_id is not None and not found:
        raise NotFoundError(f"there is no channel {channel_id}")
    with desk.reading(person) as (_, _, frame):
        pass
    today = _today(web)
    context = {
        "channels": found[:CHANNELS_PER_PAGE],
        "channel_id": channel_id,
        "zone": zone or "",
        "page": page,
        "more": len(found) > CHANNELS_PER_PAGE,
        "today": today,
        "tomorrow": today + timedelta(days=1),
        "latest": f"{today.year + MOST_YEARS}-12-31",
        "certificate_length": CERTIFICATE_LENGTH,
        "done": None,
        "fault": "",
    }
    return desk.render(request, "alerts/calibration.html", {**frame, **context, **more}, status=status)


def _read(
    connection: Connection, person: Person, channel_id: int | None, zone: str | None, limit: int, offset: int
) -> list[CalibrationNow]:
    values = {"scope": person.scope, "channel_id": channel_id, "zone": zone or None, "limit": limit, "offset": offset}
    with connection.cursor(row_factory=class_row(CalibrationNow)) as cursor:
        return cursor.execute(_QUERIES["calibration_list"], values).fetchall()


def _one(connection: Connection, person: Person, channel_id: int) -> CalibrationNow:
    """Return a channel of the person's subtree.

    Raises:
        NotFoundError: there is none.
    """
    found = _read(connection, person, channel_id, None, 1, 0)
    if not found:
        raise NotFoundError(f"there is no channel {channel_id}")
    return found[0]


def _today(web: RoomWeb) -> date:
    """Return China's date."""
    return (datetime.fromtimestamp(web.clock.now_ms() / 1000, UTC) + _CHINA).date()
