"""The data-quality page: each gateway's last day and week, those that deserve a look first."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.quality import Window
from hanlu.core.clock import from_ms
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_quality_page"]

GATEWAYS_PER_PAGE: Final = 50


def add_quality_page(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the data-quality page to the console's routes."""
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/quality")
    def quality(
        request: Request, person: Person = operator, page: Annotated[int, Query(ge=1, le=10_000)] = 1
    ) -> Response:
        with desk.reading(person) as (read, _, frame):
            window = Window.before(from_ms(web.clock.now_ms()))
            found = read.quality(window, GATEWAYS_PER_PAGE + 1, (page - 1) * GATEWAYS_PER_PAGE)
            counts = read.counts()
        context = {
            "gateways": found[:GATEWAYS_PER_PAGE],
            "window": window,
            "page": page,
            "more": len(found) > GATEWAYS_PER_PAGE,
            "counts": counts,
        }
        return desk.render(request, "alerts/quality.html", frame | context)
