"""Many rules at once: choose them, say what changes, look at what that means, write it with one note.

With zones chosen the rules themselves stay as they are, and each gets an exception for each zone. All of it is written
in one transaction: either every rule changes or none, and none that somebody else has changed since the preview.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.rules.check import Fault, check_rule
from hanlu.alerts.rules.compare import Change, What, differences
from hanlu.alerts.rules.desk import Picture, RuleReader, framed
from hanlu.alerts.rules.editor import NOTE_LENGTH, forbid
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.override import override_data
from hanlu.alerts.rules.say import field_name, field_value
from hanlu.alerts.rules.store import write_rule
from hanlu.core.errors import ConflictError
from hanlu.db.pool import translated
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_bulk_pages", "bulk_changes"]

MOST: Final = 200
"""Most rules written at once; beyond, a file is the better tool."""

_NUMBERS: Final = {"on_delay_s": int, "off_delay_s": int, "deadband": float, "setpoint": float}
"""Parameters that can be changed on many rules, where a rule has them."""


async def _form(request: Request) -> FormData:
    return await request.form()


def add_bulk_pages(routes: APIRouter, web: RoomWeb, desk: Desk, reader: RuleReader) -> None:
    """Add the page to the console's routes; before the page of one rule, whose address would take its."""
    admin = Depends(web.require(Role.ADMIN))
    bulk = _Bulk(web, desk, reader)

    @routes.get("/console/rules/bulk")
    def start(request: Request, person: Person = admin, code: Annotated[list[str] | None, Query()] = None) -> Response:
        return bulk.page(request, person, bulk.picture(person), (code or [])[:MOST])

    @routes.post("/console/rules/bulk")
    def change(request: Request, form: Annotated[FormData, Depends(_form)], person: Person = admin) -> Response:
        return bulk.change(request, person, form)


class _Bulk:
    """Answers the form."""

    def __init__(self, web: RoomWeb, desk: Desk, reader: RuleReader) -> None:
        """Use the pool and renderer of `web`."""
        self._web = web
        self._desk = desk
        self._reader = reader

    def picture(self, person: Person) -> Picture:
        """Return the rules as the person sees them."""
        with translated(), self._web.pool.connection() as connection:
            return self._reader.picture(connection, person)

    def page(
        self,
        request: Request,
        person: Person,
        picture: Picture,
        codes: Sequence[str],
        *,
        status: int = 200,
        **more: Any,
    ) -> Response:
        """Return the form, and below it the preview where there is one."""
        lang = self._web.pages.language(request)
        chosen = [picture.rules[code] for code in codes if code in picture.rules]
        context: dict[str, Any] = {
            "chosen": chosen,
            "zones": sorted({zone for each in chosen for zone in picture.zones_of(each.rule)}),
            "picked": [],
            "values": {},
            "faults": [],
            "changes": None,
            "conflict": False,
            "has": {name: any(hasattr(each.rule.parameters, name) for each in chosen) for name in _NUMBERS},
            "field_name": lambda name: field_name(name, lang),
            "field_value": lambda name, value: field_value(name, value, lang),
        }
        frame = framed(self._desk, person)
        return self._desk.render(request, "alerts/rules_bulk.html", frame | context | more, status=status)

    def change(self, request: Request, person: Person, form: FormData) -> Response:
        """Show what would change; write it when the preview was seen and still stands."""
        picture, lang = self.picture(person), self._web.pages.language(request)
        codes, zones = ([str(each) for each in form.getlist(name)][:MOST] for name in ("code", "zone"))
        values = {name: str(form.get(name, "")).strip() for name in ("priority", "enabled", "unit", "note", *_NUMBERS)}
        shown: dict[str, Any] = {"picked": zones, "values": values}
        changes, faults = bulk_changes(picture, codes, zones, values)
        if len(changes) > MOST:
            faults.append(("", Fault("code", "too_many", str(MOST))))
        if not changes and not faults:
            faults.append(("", Fault("code", "nothing")))
        if faults:
            told = [(code, field_name(fault.field, lang), fault.text(lang)) for code, fault in faults]
            return self.page(request, person, picture, codes, faults=told, status=422, **shown)
        for each in changes:
            assert each.rule is not None
            forbid(picture, each.rule, person)
        shown["changes"] = changes
        if form.get("act") != "write":
            return self.page(request, person, picture, codes, **shown)
        try:
            self._write(person, changes, form, values["note"][:NOTE_LENGTH])
        except ConflictError:
            return self.page(request, person, picture, codes, conflict=True, status=409, **shown)
        return RedirectResponse(f"/console/rules?done={len(changes)}", status_code=303)

    def _write(self, person: Person, changes: Sequence[Change], form: FormData, note: str) -> None:
        """Write all of it, or nothing.

        Raises:
            ConflictError: a rule has another version than the preview showed.
        """
        if any(str(form.get(f"seen.{each.code}", "")) != str(each.seen) for each in changes):
            raise ConflictError("a rule has changed since the preview")
        with translated(), self._web.pool.connection() as connection, connection.transaction():
            for each in changes:
                assert each.rule is not None
                write_rule(connection, each.rule, seen=each.seen, author=person.login, note=note)
        for each in changes:
            detail = {"version": each.seen + 1, "note": note, "bulk": len(changes)}
            self._web.audit(person.person_id, "alerts.rule.write", each.code, detail)


def bulk_changes(
    picture: Picture, codes: Sequence[str], zones: Sequence[str], values: Mapping[str, str]
) -> tuple[list[Change], list[tuple[str, Fault]]]:
    """Return what a bulk edit would write, and what is wrong with it: (code, fault).

    Args:
        picture: the rules in force.
        codes: of the rules chosen.
        zones: to make exceptions for; none to change the rules themselves.
        values: what was typed: priority, enabled and parameters; "" leaves a field as it is.
    """
    changes: list[Change] = []
    faults: list[tuple[str, Fault]] = []
    for code in codes:
        if code not in picture.rules:
            faults.append((code, Fault("code", "gone", code)))
            continue
        rule = picture.rules[code].rule
        for zone in zones or [""]:
            data = _data(picture, rule, zone, values)
            checked = check_rule(data)
            if isinstance(checked, list):
                faults += [(data["code"], fault) for fault in checked]
            elif (change := _change(picture, rule, checked)) is not None:
                changes.append(change)
    return changes, faults


def _data(picture: Picture, rule: Rule, zone: str, values: Mapping[str, str]) -> dict[str, Any]:
    data = rule.model_dump(mode="json", exclude_none=True)
    if zone:
        made = override_data(rule, zone)
        known = picture.rules.get(made["code"])
        data = known.rule.model_dump(mode="json", exclude_none=True) if known is not None else made
    if values.get("priority"):
        data["priority"] = _read(int, values["priority"])
    if values.get("enabled") in {"true", "false"}:
        data["enabled"] = values["enabled"] == "true"
    parameters = dict(data["parameters"])
    for name, number in _NUMBERS.items():
        if values.get(name) and hasattr(rule.parameters, name):
            parameters[name] = _read(number, values[name])
    if values.get("setpoint") and hasattr(rule.parameters, "setpoint"):
        parameters |= {"unit": values.get("unit") or parameters.get("unit")}
        parameters.pop("beyond", None)
    data["parameters"] = {name: value for name, value in parameters.items() if value is not None}
    return data


def _change(picture: Picture, general: Rule, wanted: Rule) -> Change | None:
    """Return what writing a rule means; None when it says what it says already."""
    stored = picture.stored.get(wanted.code)
    if stored is None or stored.withdrawn or stored.rule is None:
        seen = 0 if stored is None else stored.version
        told = ("title_zh", "title_en", "code")
        fields = tuple(each for each in differences(general, wanted) if each.field not in told)
        return Change(What.NEW, wanted.code, seen, wanted, fields)
    fields = differences(stored.rule, wanted)
    return Change(What.CHANGED, wanted.code, stored.version, wanted, fields) if fields else None


def _read(number: type[int | float], text: str) -> int | float | str:
    try:
        return number(text)
    except ValueError:
        return text
