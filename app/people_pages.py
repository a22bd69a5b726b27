"""The people page of administrators: who may sign in, adding somebody, barring somebody, a new password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from hanlu.app.auth import Auth
from hanlu.app.pages import HtmlPages
from hanlu.core.errors import ConflictError, UsageError
from hanlu.registry.access import Person, Role
from hanlu.registry.people import Credential, NewPerson, People
from hanlu.registry.store import Registry

__all__ = ["people_router"]


def people_router(pages: HtmlPages, auth: Auth, people: People, registry: Registry) -> APIRouter:
    """Return the routes below `/admin/people`. A new password is in the answer that made it and nowhere else."""
    router = APIRouter(prefix="/admin/people")
    admin = Depends(auth.require(Role.ADMIN))

    def page(
        request: Request, by: Person, *, made: Credential | None = None, error: str = "", status: int = 200
    ) -> Response:
        context = {
            "people": people.list(by.scope),
            "organisations": registry.organisations(by.scope),
            "levels": {each.level: each for each in registry.level_names()},
            "roles": [role.value for role in Role],
            "made": made,
            "error": error,
        }
        return pages.render(request, "people.html", context, status=status)

    @router.get("")
    def listing(request: Request, by: Person = admin) -> Response:
        return page(request, by)

    @router.post("")
    def add(
        request: Request,
        login: Annotated[str, Form()] = "",
        display_name: Annotated[str, Form()] = "",
        organisation: Annotated[str, Form()] = "",
        roles: Annotated[list[Role] | None, Form()] = None,
        by: Person = admin,
    ) -> Response:
        new = NewPerson(login.strip().lower(), display_name, frozenset(roles or ()), organisation)
        try:
            made = people.add(by, new)
        except UsageError:
            return page(request, by, error="unfit", status=422)
        except ConflictError:
            return page(request, by, error="taken", status=409)
        return page(request, by, made=made)

    @router.post("/{person_id}/password")
    def reset(request: Request, person_id: int, by: Person = admin) -> Response:
        return page(request, by, made=people.reset_password(by, person_id))

    @router.post("/{person_id}/disabled")
    def bar(person_id: int, disabled: Annotated[bool, Form()], by: Person = admin) -> Response:
        people.set_disabled(by, person_id, disabled)
        return RedirectResponse("/admin/people", status_code=303)

    return router
