"""The pages on which one rule is written: new, edited, copied for a room, switched off for a room, withdrawn.

Nothing is written from a form that has a fault, nor over a version its author has not seen. A person changes only what
reaches no further than their own part of the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.desk import GROUPS, RuleReader, framed
from hanlu.alerts.rules.editor import NOTE_LENGTH, Editor
from hanlu.core.errors import NotFoundError
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_edit_pages"]

Word = Annotated[str, Query(max_length=120)]
Note = Annotated[str, Form(max_length=NOTE_LENGTH)]
Seen = Annotated[int, Form(ge=0)]


async def _fields(request: Request) -> Mapping[str, str]:
    """Return the form's fields; of one that stands twice the last, so that a ticked box wins over its hidden no."""
    return {name: value for name, value in (await request.form()).multi_items() if isinstance(value, str)}


Fields = Annotated[Mapping[str, str], Depends(_fields)]


def add_edit_pages(routes: APIRouter, web: RoomWeb, desk: Desk, reader: RuleReader) -> None:
    """Add the pages to the console's routes; before the page of one rule, whose address would take theirs."""
    admin = Depends(web.require(Role.ADMIN))
    editor = Editor(web, desk, reader)

    @routes.get("/console/rules/new")
    def new(request: Request, person: Person = admin, kind: Word = "", copy: Word = "", zone: Word = "") -> Response:
        if copy:
            return editor.copy(request, person, copy, zone)
        if kind in set(Kind):
            return editor.new(request, person, Kind(kind))
        return desk.render(request, "alerts/rules_kind.html", framed(desk, person) | {"groups": GROUPS})

    @routes.post("/console/rules")
    def create(request: Request, fields: Fields, person: Person = admin) -> Response:
        kind = fields.get("kind", "")
        if kind not in set(Kind):
            raise NotFoundError(f"there is no kind {kind}")
        return editor.save(request, person, Kind(kind), fields)

    @routes.get("/console/rules/{code}/edit")
    def edit(request: Request, code: str, person: Person = admin) -> Response:
        return editor.edit(request, person, code)

    @routes.post("/console/rules/{code}")
    def change(request: Request, code: str, seen: Seen, fields: Fields, person: Person = admin) -> Response:
        kind = editor.readable(editor.picture(person), code)[0].kind
        return editor.save(request, person, kind, fields, code=code, seen=seen)

    @routes.post("/console/rules/{code}/off")
    def off(code: str, zone: Annotated[str, Form(max_length=120)], person: Person = admin) -> Response:
        return editor.off(person, code, zone)

    @routes.post("/console/rules/{code}/withdraw")
    def take_out(code: str, seen: Seen, person: Person = admin, note: Note = "") -> Response:
        return editor.withdraw(person, code, seen, note.strip())

    @routes.post("/console/rules/{code}/restore")
    def restore(code: str, seen: Seen, version: Annotated[int, Form(ge=1)], person: Person = admin) -> Response:
        return editor.restore(person, code, seen, version)
