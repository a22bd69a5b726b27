"""The pages of the handover: write and sign, read and take over, correct, search. All work without a script."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.shift.handover import (
    BODY_LENGTH,
    REMARK_LENGTH,
    facts_of,
    find_note,
    find_site,
    notes,
    sign,
    sites,
    take_over,
)
from hanlu.core.errors import ConflictError
from hanlu.db.pool import translated
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_handover_pages"]

PER_PAGE: Final = 20
SITES_LISTED: Final = 500

SiteCode = Annotated[str, Query(max_length=80)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


def add_handover_pages(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the pages to the console's routes."""
    _add_desk(routes, web, desk)
    _add_note(routes, web, desk)


def _add_desk(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/handover")
    def handover(
        request: Request,
        person: Person = operator,
        site: SiteCode = "",
        corrects: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        q: Annotated[str, Query(max_length=100)] = "",
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        return _desk_page(request, web, desk, person, site=site, corrects=corrects, q=q, page=page)

    @routes.post("/console/handover")
    def signed(
        request: Request,
        site: Annotated[str, Form(max_length=80)],
        person: Person = operator,
        # A little more than a note may have: a longer one is answered by the page, with the text still in it.
        body: Annotated[str, Form(max_length=4 * BODY_LENGTH)] = "",
        corrects: Annotated[str, Form(pattern="^[0-9]{0,18}$")] = "",
    ) -> Response:
        old = int(corrects) if corrects else None
        if not body.strip() or len(body.strip().replace("\r\n", "\n")) > BODY_LENGTH:
            return _desk_page(request, web, desk, person, site=site, corrects=old, unsaved=body, trouble="empty_text")
        try:
            with translated(), web.pool.connection() as connection:
                where = find_site(connection, person.scope, site)
                number = sign(connection, where, body, person.login, web.clock.now_ms(), corrects=old)
        except ConflictError:
            return _desk_page(
                request, web, desk, person, site=site, corrects=old, unsaved=body, trouble="conflict.corrected"
            )
        web.audit(person.person_id, "alerts.handover.sign", str(number), {"site": site, "corrects": old})
        return RedirectResponse(f"/console/handover/{number}", status_code=303)


def _add_note(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/handover/{number}")
    def note(request: Request, number: Number, person: Person = operator) -> Response:
        return _note_page(request, web, desk, person, number)

    @routes.post("/console/handover/{number}/take")
    def taken(
        request: Request,
        number: Number,
        person: Person = operator,
        remark: Annotated[str, Form(max_length=REMARK_LENGTH)] = "",
    ) -> Response:
        with translated(), web.pool.connection() as connection:
            found = find_note(connection, person.scope, number)
            try:
                take_over(connection, found, person.login, remark, web.clock.now_ms())
            except ConflictError:
                trouble = "conflict.own" if found.signed_by == person.login else "conflict.taken"
            else:
                trouble = ""
        if trouble:
            return _note_page(request, web, desk, person, number, trouble=trouble)
        web.audit(person.person_id, "alerts.handover.take", str(number), {"site": found.site})
        return RedirectResponse(f"/console/handover/{number}", status_code=303)


def _desk_page(
    request: Request, web: RoomWeb, desk: Desk, person: Person, *, site: str, corrects: int | None = None, q: str = "",
    page: int = 1, unsaved: str = "", trouble: str = "",
) -> Response:  # fmt: skip
    with desk.reading(person) as (_, now_ms, frame):
        pass
    with translated(), web.pool.connection() as connection:
        listed = sites(connection, person.scope, SITES_LISTED)
        code = site or (listed[0][0] if len(listed) == 1 else "")
        where = find_site(connection, person.scope, code) if code else None
        old = find_note(connection, person.scope, corrects) if corrects else None
        found = notes(
            connection, person.scope, site=code or None, words=q.strip() or None, limit=PER_PAGE + 1,
            offset=(page - 1) * PER_PAGE,
        )  # fmt: skip
        context: dict[str, Any] = {
            "sites": listed,
            "where": where,
            "facts": None if where is None else facts_of(connection, where, now_ms),
            "old": old,
            "unsaved": unsaved or (old.body if old else ""),
            "trouble": trouble,
            "body_length": BODY_LENGTH,
            "notes": found[:PER_PAGE],
            "q": q,
            "page": page,
            "more": len(found) > PER_PAGE,
            "page_url": f"/console/handover?{urlencode({'site': code, 'q': q})}&",
        }
    status = 409 if trouble.startswith("conflict") else 422 if trouble else 200
    return desk.render(request, "alerts/shift_handover.html", frame | context, status=status)


def _note_page(
    request: Request, web: RoomWeb, desk: Desk, person: Person, number: int, *, trouble: str = ""
) -> Response:
    with desk.reading(person) as (_, _, frame):
        pass
    with translated(), web.pool.connection() as connection:
        found = find_note(connection, person.scope, number)
    context = {"note": found, "facts": found.open, "trouble": trouble, "remark_length": REMARK_LENGTH}
    return desk.render(request, "alerts/shift_handover_note.html", frame | context, status=409 if trouble else 200)
