"""What the pages that write rules do: read a form, find what is wrong with it, write a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.assign import Versioned
from hanlu.alerts.rules.check import Fault, check_rule
from hanlu.alerts.rules.desk import Picture, RuleReader, framed
from hanlu.alerts.rules.form import (
    Input,
    applies_inputs,
    parameter_inputs,
    rationalization_inputs,
    typed,
    values_of,
)
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.override import override_data
from hanlu.alerts.rules.say import field_hint, field_name, sentence
from hanlu.alerts.rules.store import history, withdraw, write_rule
from hanlu.alerts.rules.survey import clashes, strangers, survey
from hanlu.core.errors import ConflictError, NotFoundError, PermissionDeniedError
from hanlu.db.pool import translated
from hanlu.registry.access import Person
from hanlu.registry.web import RoomWeb

__all__ = ["NOTE_LENGTH", "Editor", "forbid"]

NOTE_LENGTH: Final = 300
_CHANNELS_SHOWN: Final = 60
_LOOSE: Final = frozenset({"applies.metric", "applies.device_kind"})
"""Names that nothing may bear yet: a rule may be there before its first device."""


def forbid(picture: Picture, rule: Rule, person: Person) -> None:
    """Refuse a change that reaches further than the person's part of the tree.

    Raises:
        PermissionDeniedError: it does.
    """
    if not picture.may_edit(rule, person):
        raise PermissionDeniedError("app.role")


class Editor:
    """Answers the forms that write one rule."""

    def __init__(self, web: RoomWeb, desk: Desk, reader: RuleReader) -> None:
        """Use the pool and renderer of `web`."""
        self._web = web
        self._desk = desk
        self._reader = reader

    def picture(self, person: Person) -> Picture:
        """Return the rules as the person sees them."""
        with translated(), self._web.pool.connection() as connection:
            return self._reader.picture(connection, person)

    def readable(self, picture: Picture, code: str) -> tuple[Rule, int]:
        """Return a rule and its newest version.

        Raises:
            NotFoundError: there is none the person may see, or this version of Hanlu cannot read it.
        """
        stored = picture.one(code)
        if stored.rule is None:
            raise NotFoundError(f"rule {code} cannot be read")
        return stored.rule, stored.version

    def form(
        self,
        request: Request,
        person: Person,
        picture: Picture,
        kind: Kind,
        values: Mapping[str, str],
        *,
        status: int = 200,
        **more: Any,
    ) -> Response:
        """Return the form of a rule of a kind, filled with `values`."""
        lang = self._web.pages.language(request)
        context: dict[str, Any] = {
            "kind": kind.value,
            "values": values,
            "applies": applies_inputs(kind),
            "parameters": parameter_inputs(kind),
            "rationalization": rationalization_inputs(),
            "names": picture.names,
            "faults": {},
            "seen": 0,
            "code": "",
            "note": "",
            "conflict": None,
            "preview": None,
            "copied": None,
            "field_label": lambda name: field_name(name, lang, with_unit=True),
            "field_hint": lambda each: field_hint(each.label, lang),
        }
        frame = framed(self._desk, person)
        return self._desk.render(request, "alerts/rules_edit.html", frame | context | more, status=status)

    def new(self, request: Request, person: Person, kind: Kind) -> Response:
        """Return an empty form."""
        defaults = {each.name: _default(each) for each in parameter_inputs(kind)}
        return self.form(request, person, self.picture(person), kind, {"enabled": "true", **defaults})

    def copy(self, request: Request, person: Person, code: str, zone: str) -> Response:
        """Return the form of a rule's exception for a zone, or the page that asks which zone."""
        picture = self.picture(person)
        general, _ = self.readable(picture, code)
        if not zone:
            context = framed(self._desk, person) | {"rule": general, "zones": picture.zones_of(general)}
            return self._desk.render(request, "alerts/rules_room.html", context)
        data = override_data(general, zone)
        known = picture.stored.get(data["code"])
        if known is not None and not known.withdrawn:
            return RedirectResponse(f"/console/rules/{data['code']}/edit", status_code=303)
        checked = check_rule(data)
        values = values_of(checked) if isinstance(checked, Rule) else {}
        return self.form(request, person, picture, general.kind, values, copied=general)

    def edit(self, request: Request, person: Person, code: str) -> Response:
        """Return the form of a rule that is there."""
        picture = self.picture(person)
        rule, version = self.readable(picture, code)
        forbid(picture, rule, person)
        return self.form(request, person, picture, rule.kind, values_of(rule), code=code, seen=version)

    def save(
        self, request: Request, person: Person, kind: Kind, fields: Mapping[str, str], *, code: str = "", seen: int = 0
    ) -> Response:
        """Check what was typed and write it, or show the form again with what is wrong.

        Args:
            request: being answered.
            person: who typed it.
            kind: of the rule.
            fields: of the form.
            code: of the rule that is there; "" for a new one.
            seen: its version when the form was made.
        """
        picture = self.picture(person)
        if code:
            forbid(picture, self.readable(picture, code)[0], person)
            fields = {**fields, "code": code}
        note = fields.get("note", "").strip()[:NOTE_LENGTH]
        shown: dict[str, Any] = {"code": code, "seen": seen, "note": note}
        checked = check_rule(typed(kind, fields))
        faults = checked if isinstance(checked, list) else _faults(checked, picture)
        if isinstance(checked, list) or faults:
            return self.form(request, person, picture, kind, fields, faults=_by_field(faults), status=422, **shown)
        forbid(picture, checked, person)
        if fields.get("act") == "preview":
            shown["preview"] = _preview(checked, picture, self._web.pages.language(request))
            return self.form(request, person, picture, kind, fields, **shown)
        try:
            version = self.write(person, checked, seen, note)
        except ConflictError:
            if code:
                shown["conflict"] = self.picture(person).one(code)
            else:
                shown["faults"] = {"code": Fault("code", "taken", checked.code)}
            return self.form(request, person, picture, kind, fields, status=409, **shown)
        return RedirectResponse(f"/console/rules/{checked.code}?done={'saved' if version else ''}", status_code=303)

    def off(self, person: Person, code: str, zone: str) -> Response:
        """Switch a rule's kind off in one room, by an exception of its own."""
        picture = self.picture(person)
        general, _ = self.readable(picture, code)
        if zone not in picture.names.zones:
            raise NotFoundError(f"there is no zone {zone}")
        checked = check_rule(override_data(general, zone, enabled=False))
        assert isinstance(checked, Rule)
        forbid(picture, checked, person)
        known = picture.stored.get(checked.code)
        self.write(person, checked, 0 if known is None else known.version, "")
        return RedirectResponse(f"/console/rules/{checked.code}?done=off", status_code=303)

    def withdraw(self, person: Person, code: str, seen: int, note: str) -> Response:
        """Take a rule out of force."""
        picture = self.picture(person)
        stored = picture.one(code)
        if stored.rule is not None:
            forbid(picture, stored.rule, person)
        elif not picture.whole:
            raise PermissionDeniedError("app.role")
        try:
            with translated(), self._web.pool.connection() as connection:
                version = withdraw(connection, code, seen=seen, author=person.login, note=note)
        except ConflictError:
            return RedirectResponse(f"/console/rules/{code}?done=conflict", status_code=303)
        self._web.audit(person.person_id, "alerts.rule.withdraw", code, {"version": version, "note": note})
        return RedirectResponse(f"/console/rules/{code}?done=withdrawn", status_code=303)

    def restore(self, person: Person, code: str, seen: int, version: int) -> Response:
        """Write what an earlier version said as a new version."""
        picture = self.picture(person)
        stored = picture.one(code)
        if stored.rule is None and not picture.whole:
            raise PermissionDeniedError("app.role")
        if stored.rule is not None and not stored.withdrawn:
            forbid(picture, stored.rule, person)  # what it replaces may reach further than what it said once
        with translated(), self._web.pool.connection() as connection:
            old = next((each for each in history(connection, code) if each.version == version), None)
        if old is None or old.rule is None:
            raise NotFoundError(f"rule {code} has no readable version {version}")
        forbid(picture, old.rule, person)
        try:
            self.write(person, old.rule, seen, f"= v{version}")
        except ConflictError:
            return RedirectResponse(f"/console/rules/{code}?done=conflict", status_code=303)
        return RedirectResponse(f"/console/rules/{code}?done=saved", status_code=303)

    def write(self, person: Person, rule: Rule, seen: int, note: str) -> int:
        """Write a version and the audit's line; return the version.

        Raises:
            ConflictError: somebody else has written one since `seen`.
        """
        with translated(), self._web.pool.connection() as connection:
            version = write_rule(connection, rule, seen=seen, author=person.login, note=note)
        self._web.audit(person.person_id, "alerts.rule.write", rule.code, {"version": version, "note": note})
        return version


def _default(each: Input) -> str:
    """Return what an empty form says in an input."""
    if each.default is None:
        return ""
    if each.sort == "flag":
        return "true" if each.default else "false"
    return f"{each.default:g}" if each.sort == "number" else str(each.default)


def _faults(rule: Rule, picture: Picture) -> list[Fault]:
    """Return what the registry and the other rules have against a rule."""
    found = [fault for fault in strangers(rule, picture.names) if fault.field not in _LOOSE]
    others = [each.rule for code, each in picture.rules.items() if code != rule.code]
    for code, fault in clashes([*others, rule]):
        if code == rule.code:
            found.append(fault)
        elif fault.reason == "same_place" and fault.detail == rule.code:
            found.append(Fault("applies", "same_place", code))
        elif rule.code in fault.detail:
            found.append(Fault("parameters.setpoint", fault.reason, f"{fault.detail} · {code}"))
    return found


def _by_field(faults: list[Fault]) -> dict[str, Fault]:
    """Return the first fault of each field."""
    found: dict[str, Fault] = {}
    for fault in faults:
        found.setdefault(fault.field, fault)
    return found


def _preview(rule: Rule, picture: Picture, lang: str) -> dict[str, Any]:
    """Return what would be different if the rule were written: in words, and on which channels."""
    rules = {**picture.rules, rule.code: Versioned(rule, 0)}
    after = survey(list(rules.values()), picture.facts.values())
    ids = {*after.holds.get(rule.code, ()), *after.off.get(rule.code, ())}
    return {
        "says": sentence(rule, lang),
        "channels": sorted(picture.facts[key].channel for key in ids)[:_CHANNELS_SHOWN],
        "count": len(ids),
        "problems": [
            spot.problem.text(lang) for spot in after.spots if rule.code in {spot.problem.code, spot.problem.other}
        ],
    }
