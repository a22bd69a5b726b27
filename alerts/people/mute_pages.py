"""Mutes: what nobody is told of for a while, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from psycopg.rows import dict_row
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.people.fault import FormError
from hanlu.alerts.people.manage import NewMute, add_mute, end_mute
from hanlu.alerts.people.office import Form, Office, form_of, one, sentence
from hanlu.alerts.people.workdays import CHINA
from hanlu.core.clock import from_ms, to_ms
from hanlu.core.errors import NotFoundError, UsageError
from hanlu.db.queries import load_queries
from hanlu.registry.access import Person, Role

__all__ = ["add_mute_pages"]

_PAGE = "/console/people/mutes"
_QUERIES = load_queries("hanlu.alerts.people")
_HOUR_MS = 3_600_000


def add_mute_pages(routes: APIRouter, office: Office) -> None:
    """Add the pages; an operator may mute, for it is on record with the reason and ends by itself."""
    operator = Depends(office.web.require(Role.OPERATOR))
    fields = Depends(form_of)

    def page(request: Request, person: Person, status: int = 200, **more: Any) -> Response:
        with office.view(person) as (view, frame):
            with view.connection.cursor(row_factory=dict_row) as cursor:
                scope = {"scope": person.scope}
                values = scope | {"now": from_ms(view.now_ms)}
                mutes = cursor.execute(_QUERIES["page_mutes"], values).fetchall()
                sites = cursor.execute(_QUERIES["page_sites"], scope).fetchall()
            context = {
                "mutes": mutes,
                "sites": sites,
                "nodes": view.nodes,
                "form": {"begins": _local(view.now_ms), "ends": _local(view.now_ms + 2 * _HOUR_MS), "reason": ""},
                "error": "",
            }
        return office.desk.render(request, "alerts/people_mutes.html", frame | context | more, status=status)

    @routes.get(_PAGE)
    def mutes(request: Request, person: Person = operator) -> Response:
        return page(request, person)

    @routes.post(_PAGE)
    def begin(request: Request, person: Person = operator, form: Form = fields) -> Response:
        try:
            with office.view(person) as (view, _):
                kind, _, code = one(form, "where").partition(":")
                if kind == "site":
                    sites = view.connection.execute(_QUERIES["page_sites"], {"scope": person.scope}).fetchall()
                    site = next((each for each in sites if each[2] == code), None)
                    if site is None:
                        raise NotFoundError(f"there is no site {code}")
                    organisation_id, site_id = site[1], site[0]
                else:
                    organisation_id, site_id = view.node(code).organisation_id, None
            mute = NewMute(
                organisation_id,
                site_id,
                tuple(int(each) for each in form.get("priority", ()) if each in {"1", "2", "3"}),
                _instant(one(form, "begins")),
                _instant(one(form, "ends")),
                one(form, "reason"),
            )
            with office.connection() as connection:
                mute_id = add_mute(connection, mute, person.login)
        except UsageError as error:
            shown = {name: one(form, name) for name in ("begins", "ends", "reason")}
            return page(request, person, 422, error=sentence(error, office.web.pages.language(request)), form=shown)
        office.audit(person, "mute.begin", str(mute_id), reason=mute.reason)
        return RedirectResponse(_PAGE, status_code=303)

    @routes.post(_PAGE + "/{mute_id}/end")
    def end(mute_id: int, person: Person = operator) -> Response:
        with office.view(person) as (view, _):
            found = next((each for each in view.directory.mutes if each.mute_id == mute_id), None)
            if found is None or not view.mine(found.organisation_id):
                raise NotFoundError("there is no such mute, or it is over already")
        with office.connection() as connection:
            end_mute(connection, found.organisation_id, mute_id, person.login, office.web.clock.now_ms())
        office.audit(person, "mute.end", str(mute_id))
        return RedirectResponse(_PAGE, status_code=303)


def _local(ms: int) -> str:
    """Return an instant as a field for date and time wants it, China time."""
    return f"{from_ms(ms).astimezone(CHINA):%Y-%m-%dT%H:%M}"


def _instant(text: str) -> int:
    try:
        return to_ms(datetime.fromisoformat(text).replace(tzinfo=CHINA))
    except ValueError:
        raise FormError("mute_times") from None
