"""The page a link in a message opens: a headline, a button, and nobody signed in."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from hanlu.alerts.people.facts import Lang
from hanlu.alerts.people.links import Opened, open_link, use_link
from hanlu.alerts.people.office import Office
from hanlu.alerts.people.sender import LINK_PATH
from hanlu.alerts.people.text import headline

__all__ = ["add_link_pages"]

_STATUS: Final = {"unknown": 404, "expired": 410, "used": 410}
Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{20,64}$")]


def add_link_pages(routes: APIRouter, office: Office) -> None:
    """Add the page; the link itself is what lets one in."""

    def page(request: Request, opened: Opened) -> Response:
        lang: Lang = "en" if office.web.pages.language(request) == "en" else "zh"
        context = {
            "state": opened.state,
            "headlines": [headline(each, lang) for each in opened.alarms],
            "action": request.url.path,
        }
        answer = office.web.pages.render(
            request, "alerts/people_link.html", context, status=_STATUS.get(opened.state, 200)
        )
        # The address opens something: it goes nowhere else, and nobody keeps or indexes it.
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["X-Robots-Tag"] = "noindex, nofollow"
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @routes.get(LINK_PATH + "/{token}")
    def look(request: Request, token: Token) -> Response:
        with office.connection() as connection:
            opened = open_link(connection, token, office.web.clock.now_ms())
        return page(request, opened)

    @routes.post(LINK_PATH + "/{token}")
    def use(request: Request, token: Token) -> Response:
        with office.connection() as connection:
            opened = use_link(connection, token, office.web.clock.now_ms())
        if opened.state == "acknowledged":
            for each in opened.alarms:
                office.web.audit(None, "alerts.alarm.acknowledge_by_link", str(each.alarm_id), {})
        return page(request, opened)
