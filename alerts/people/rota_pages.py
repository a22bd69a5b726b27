"""Who is on call now and next; rotas and their editor; holidays."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.people.fault import FormError
from hanlu.alerts.people.log_pages import count_untold
from hanlu.alerts.people.manage import delete_holiday, delete_rota, save_holiday, save_rota
from hanlu.alerts.people.office import Form, Office, View, codes, form_of, one, sentence
from hanlu.alerts.people.rota import Rota, stretches
from hanlu.alerts.people.workdays import CHINA, Workdays
from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.registry.access import Person, Role

__all__ = ["add_rota_pages"]

SHIFT_ROWS = 2
"""Empty rows an editor offers beside those there are."""
MOST_SHIFTS = 12
_PAGE = "/console/people/rotas"
_HOLIDAYS = "/console/people/holidays"
_COMING_DAYS = 60
Code = Annotated[str, Path(max_length=40)]


def add_rota_pages(routes: APIRouter, office: Office) -> None:
    """Add the pages."""
    _add_rotas(routes, office)
    _add_holidays(routes, office)


def _add_rotas(routes: APIRouter, office: Office) -> None:
    operator = Depends(office.web.require(Role.OPERATOR))
    admin = Depends(office.web.require(Role.ADMIN))
    fields = Depends(form_of)

    def editor(request: Request, person: Person, code: str, status: int = 200, **context: Any) -> Response:
        with office.view(person) as (view, frame):
            rota = _rota(view, code) if code else None
            shown = {
                "rota": rota,
                "version": view.version("rota", code),
                "nodes": view.nodes,
                "receivers": view.receivers,
                "form": _form(rota, view.now_ms),
                "error": "",
            }
        return office.desk.render(request, "alerts/people_rota.html", frame | shown | context, status=status)

    @routes.get("/console/people")
    def people(request: Request, person: Person = operator) -> Response:
        with office.view(person) as (view, frame):
            rotas = []
            for code, rota in view.directory.rotas.items():
                owner = view.owner("rota", code)
                if owner is not None and view.mine(owner):
                    coming = list(islice(stretches(rota, view.now_ms, view.directory.workdays), 4))
                    rotas.append((rota, view.node_by_id(owner), coming))
            named = {each.organisation_id for each in view.nodes if each.organisation_id in view.directory.policies}
            years = {from_ms(view.now_ms).astimezone(CHINA).year + offset for offset in (0, 1)}
            context = {
                "rotas": rotas,
                "receivers": view.directory.receivers,
                "has_policy": bool(named)
                or any(each.organisation_id in view.directory.policies for each in view.above),
                "untold": count_untold(view.connection, person.scope),
                "unknown_years": sorted(each for each in years if not Workdays.known(each)),
                "manage": view.may_manage(),
            }
        return office.desk.render(request, "alerts/people.html", frame | context)

    @routes.get(f"{_PAGE}/new")
    def new(request: Request, person: Person = admin) -> Response:
        return editor(request, person, "")

    @routes.get(_PAGE + "/{code}")
    def change(request: Request, code: Code, person: Person = admin) -> Response:
        return editor(request, person, code)

    @routes.post(_PAGE)
    def save(request: Request, person: Person = admin, form: Form = fields) -> Response:
        code, version = one(form, "code").lower(), int(one(form, "version", "0") or 0)
        try:
            rota = Rota.model_validate(_document(form))
            with office.view(person) as (view, _):
                owner = view.owner("rota", code) if version else view.node(one(form, "organisation")).organisation_id
                if owner is None or not view.mine(owner):
                    raise NotFoundError(f"there is no rota {code}")
                _known(view, {each for shift in rota.shifts for each in shift.members})
            with office.connection() as connection:
                save_rota(connection, owner, rota, version, person.login)
        except (ValidationError, UsageError, ConflictError) as error:
            words = sentence(error, office.web.pages.language(request))
            status = 409 if isinstance(error, ConflictError) else 422
            return editor(request, person, code if version else "", status, form=_again(form), error=words)
        office.audit(person, "rota.save", code, version=version + 1)
        return RedirectResponse("/console/people", status_code=303)

    @routes.post(_PAGE + "/{code}/delete")
    def delete(code: Code, person: Person = admin) -> Response:
        with office.view(person) as (view, _):
            _rota(view, code)
            owner = view.owner("rota", code)
        assert owner is not None
        with office.connection() as connection:
            delete_rota(connection, owner, code, person.login)
        office.audit(person, "rota.delete", code)
        return RedirectResponse("/console/people", status_code=303)


def _add_holidays(routes: APIRouter, office: Office) -> None:
    operator = Depends(office.web.require(Role.OPERATOR))
    admin = Depends(office.web.require(Role.ADMIN))
    fields = Depends(form_of)

    def page(request: Request, person: Person, error: str = "", status: int = 200) -> Response:
        with office.view(person) as (view, frame):
            workdays = view.directory.workdays
            today = from_ms(view.now_ms).astimezone(CHINA).date()
            days = [(day, workdays.day(day)) for day in (today + timedelta(days=each) for each in range(_COMING_DAYS))]
            context = {
                "overrides": sorted(workdays.overrides.items()),
                # What a weekday would not tell: days off in the week, working days at its end.
                "coming": [(day, each) for day, each in days if each.work != (day.isoweekday() < 6) or each.name],
                "unknown_years": [each for each in (today.year, today.year + 1) if not Workdays.known(each)],
                "manage": view.may_manage_calendar(),
                "error": error,
                "today": today,
            }
        return office.desk.render(request, "alerts/people_holidays.html", frame | context, status=status)

    @routes.get(_HOLIDAYS)
    def holidays(request: Request, person: Person = operator) -> Response:
        return page(request, person)

    @routes.post(_HOLIDAYS)
    def change(request: Request, person: Person = admin, form: Form = fields) -> Response:
        with office.view(person) as (view, _):
            allowed = view.may_manage_calendar()
        if not allowed:
            raise NotFoundError("the calendar is kept by the head of the organisation")
        try:
            day = date.fromisoformat(one(form, "day"))
        except ValueError:
            return page(request, person, "day", 422)
        with office.connection() as connection:
            if one(form, "act") == "delete":
                delete_holiday(connection, day, person.login)
            else:
                work = one(form, "work") == "1"
                save_holiday(connection, day, work=work, name=one(form, "name"), actor=person.login)
        office.audit(person, "holiday.change", day.isoformat(), act=one(form, "act", "save"))
        return RedirectResponse(_HOLIDAYS, status_code=303)


def _rota(view: View, code: str) -> Rota:
    owner = view.owner("rota", code)
    if owner is None or not view.mine(owner) or code not in view.directory.rotas:
        raise NotFoundError(f"there is no rota {code}")
    return view.directory.rotas[code]


def _known(view: View, named: set[str]) -> None:
    """Say so when a receiver is named that is not there for the person."""
    unknown = sorted(named - {each.code for each in view.receivers})
    if unknown:
        raise FormError("receiver", ", ".join(unknown))


def _document(form: Form) -> dict[str, Any]:
    shifts = []
    for number in range(MOST_SHIFTS):
        members = codes(form, f"s{number}_members")
        if not members:
            continue
        days = one(form, f"s{number}_days", "all")
        shifts.append(
            {
                "name": one(form, f"s{number}_name") or str(number + 1),
                "days": "".join(sorted(form.get(f"s{number}_weekday", ()))) or "all" if days == "weekdays" else days,
                "begins": one(form, f"s{number}_begins"),
                "ends": one(form, f"s{number}_ends"),
                "members": members,
            }
        )
    return {
        "code": one(form, "code").lower(),
        "name": one(form, "name"),
        "starts_on": one(form, "starts_on"),
        "turn_days": one(form, "turn_days", "7"),
        "handover": one(form, "handover", "08:00"),
        "shifts": shifts,
    }


def _form(rota: Rota | None, now_ms: int) -> dict[str, Any]:
    """Return an editor's fields; an empty one offers a day and a night shift."""
    if rota is None:
        today = from_ms(now_ms).astimezone(CHINA).date()
        rows = [_row("白班", "all", "08:00", "20:00", ""), _row("夜班", "all", "20:00", "08:00", "")]
        return {"organisation": "", "code": "", "name": "", "starts_on": today.isoformat(), "turn_days": "7",
                "handover": "08:00", "shifts": [*rows, _row("", "all", "08:00", "20:00", "")]}  # fmt: skip
    rows = [
        _row(each.name, each.days, f"{each.begins:%H:%M}", f"{each.ends:%H:%M}", " ".join(each.members))
        for each in rota.shifts
    ]
    rows += [_row("", "all", "08:00", "20:00", "") for _ in range(SHIFT_ROWS)]
    return {
        "code": rota.code,
        "name": rota.name,
        "starts_on": rota.starts_on.isoformat(),
        "turn_days": str(rota.turn_days),
        "handover": f"{rota.handover:%H:%M}",
        "shifts": rows[:MOST_SHIFTS],
    }


def _again(form: Form) -> dict[str, Any]:
    """Return the fields as they were sent, to be put right."""
    rows = []
    for number in range(MOST_SHIFTS):
        if f"s{number}_members" in form:
            days = one(form, f"s{number}_days", "all")
            weekdays = "".join(sorted(form.get(f"s{number}_weekday", ())))
            rows.append(
                _row(
                    one(form, f"s{number}_name"),
                    weekdays if days == "weekdays" else days,
                    one(form, f"s{number}_begins"),
                    one(form, f"s{number}_ends"),
                    one(form, f"s{number}_members"),
                )
            )
    names = ("organisation", "code", "name", "starts_on", "turn_days", "handover")
    return {name: one(form, name) for name in names} | {"shifts": rows}


def _row(name: str, days: str, begins: str, ends: str, members: str) -> dict[str, str]:
    return {"name": name, "days": days, "begins": begins, "ends": ends, "members": members}
