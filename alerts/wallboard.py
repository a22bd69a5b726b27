"""The wallboard: the whole area on a screen on the wall, worst first, read from five metres by people who type nothing.

Age of the data and state of the link are always on it; a picture that is not live says so over everything else.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.views import Alarm, Standing, ZoneNow
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["MOST_TILES", "add_wallboard", "worst_first"]

MOST_TILES: Final = 240
"""More rooms than twenty screens of twelve nobody waits for: a wall shows a part of the tree, by `?site=`."""


def add_wallboard(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the page to the console's routes."""
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/wallboard")
    def wallboard(
        request: Request, person: Person = operator, site: Annotated[str, Query(max_length=80)] = ""
    ) -> Response:
        with desk.reading(person) as (read, now_ms, frame):
            codes = read.zone_codes(site.strip() or None)
            zones = read.zones(codes[:MOST_TILES], now_ms, sparks=False)
            context = {
                "zones": worst_first(zones),
                "counts": read.counts(),
                "left_out": max(0, len(codes) - MOST_TILES),
                "worst_of": _worst,
            }
        return desk.render(request, "alerts/wallboard.html", frame | context)


def worst_first(zones: list[ZoneNow]) -> list[ZoneNow]:
    """Return the zones, those that need a person first: by how they stand, by priority, the longest waiting first."""
    order = list(Standing)

    def rank(zone: ZoneNow) -> tuple[int, int, int, str, str]:
        worst = _worst(zone)
        place = order.index(zone.standing)
        if zone.standing is Standing.NORMAL and zone.pending:
            place = order.index(Standing.RETURNED)  # about to become an alarm: before what is merely old
        return (
            place,
            9 if worst is None else worst.priority,
            0 if worst is None else worst.exceeded_ms,
            zone.site.code,
            zone.zone.code,
        )

    return sorted(zones, key=rank)


def _worst(zone: ZoneNow) -> Alarm | None:
    """Return the alarm that the zone's tile tells of: the worst of those nobody keeps quiet."""
    order = list(Standing)
    loud = [each for each in zone.alarms if not each.is_quiet]
    return min(loud, key=lambda each: (order.index(each.standing), each.priority, -each.raised_ms), default=None)
