"""What operators do on the console's pages: forms that work without a script, each audited under the person's name.

Every form names the version or the state it saw; what has changed in the meantime is told, never overwritten. A form
sends people back to where they came from within the console, nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypedDict
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from hanlu.alerts import operate
from hanlu.alerts.alarm_pages import alarm_page
from hanlu.alerts.desk import SHELF_MINUTES, SHELF_REASONS, Desk
from hanlu.alerts.operate import NOTE_LENGTH, Point
from hanlu.alerts.read import Read
from hanlu.alerts.views import Alarm
from hanlu.core.errors import ConflictError, NotFoundError, PermissionDeniedError, UsageError
from hanlu.db.pool import Connection, translated
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_alarm_actions"]

MOST_AT_ONCE: Final = 500
"""Most alarms acknowledged by one form."""
_MINUTE_MS: Final = 60_000
_CHANGED_TOLD: Final = 20

Note = Annotated[str, Form(max_length=NOTE_LENGTH)]
Back = Annotated[str, Form(max_length=300)]
Version = Annotated[int, Form(ge=1)]
Minutes = Annotated[int, Form(json_schema_extra={"enum": list(SHELF_MINUTES)})]
_ACTS = "^(shelve|remove_from_service|room_empty)$"
_ENDS: Final = {
    "SHELVED": ("alerts.point.unshelve", operate.unshelve),
    "OUT_OF_SERVICE": ("alerts.point.return_to_service", operate.return_to_service),
    "SUPPRESSED_BY_DESIGN": ("alerts.point.unsuppress", operate.unsuppress),
}


def add_alarm_actions(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the actions to the console's routes."""
    _add_bulk(routes, web)
    _add_acknowledge(routes, web, desk)
    _add_reset_and_assign(routes, web, desk)
    _add_quiet(routes, web, desk)


def _add_bulk(routes: APIRouter, web: RoomWeb) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.post("/console/alarms/acknowledge")
    def several(
        person: Person = operator,
        alarm: Annotated[list[str] | None, Form(max_length=MOST_AT_ONCE)] = None,
        note: Note = "",
        back: Back = "",
    ) -> Response:
        named = dict(_alarm_and_version(each) for each in alarm or ())
        note = note.strip()
        done: Sequence[object] = ()
        changed: Sequence[object] = ()
        with translated(), web.pool.connection() as connection:
            seen = {each.alarm_id for each in Read(connection, person.scope).alarms_by_id(list(named))}
            if missing := set(named) - seen:
                raise NotFoundError(f"there is no alarm {min(missing)}")
            if named:
                now_ms = web.clock.now_ms()
                done, changed = operate.acknowledge_many(connection, list(named.items()), person.login, note, now_ms)
        for alarm_id in done:
            detail = {"version": named[int(str(alarm_id))], "note": note, "together": len(done)}
            web.audit(person.person_id, "alerts.alarm.acknowledge", str(alarm_id), detail)
        told = {"done": len(done), "changed": ".".join(str(each) for each in changed[:_CHANGED_TOLD])}
        return _to(back, "/console/alarms", **told)


def _add_acknowledge(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.post("/console/alarms/{alarm_id}/acknowledge")
    def seen(
        request: Request,
        alarm_id: int,
        version: Version,
        person: Person = operator,
        note: Note = "",
        back: Back = "",
    ) -> Response:
        note = note.strip()
        try:
            with translated(), web.pool.connection() as connection:
                _alarm(connection, person, alarm_id)
                operate.acknowledge(connection, alarm_id, version, person.login, note, web.clock.now_ms())
        except ConflictError:
            return alarm_page(request, web, desk, person, alarm_id, refused="conflict", note=note, status=409)
        web.audit(person.person_id, "alerts.alarm.acknowledge", str(alarm_id), {"version": version, "note": note})
        return _to(back, f"/console/alarms/{alarm_id}")


def _add_reset_and_assign(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.post("/console/alarms/{alarm_id}/reset")
    def reset(
        request: Request, alarm_id: int, version: Version, person: Person = operator, note: Note = "", back: Back = ""
    ) -> Response:
        note = note.strip()
        try:
            with translated(), web.pool.connection() as connection:
                _alarm(connection, person, alarm_id)
                operate.reset(connection, alarm_id, version, person.login, note, web.clock.now_ms())
        except ConflictError:
            return alarm_page(request, web, desk, person, alarm_id, refused="changed", note=note, status=409)
        except PermissionDeniedError:
            return alarm_page(request, web, desk, person, alarm_id, refused="second", note=note, status=403)
        web.audit(person.person_id, "alerts.alarm.reset", str(alarm_id), {"version": version, "note": note})
        return _to(back, f"/console/alarms/{alarm_id}")

    @routes.post("/console/alarms/{alarm_id}/assign")
    def assign(
        request: Request,
        alarm_id: int,
        version: Version,
        person: Person = operator,
        who: Annotated[str, Form(pattern="^(me|nobody)$")] = "me",
        back: Back = "",
    ) -> Response:
        assignee = person.login if who == "me" else ""
        try:
            with translated(), web.pool.connection() as connection:
                _alarm(connection, person, alarm_id)
                operate.assign(connection, alarm_id, version, assignee, person.login, web.clock.now_ms())
        except ConflictError:
            return alarm_page(request, web, desk, person, alarm_id, refused="changed", status=409)
        web.audit(person.person_id, "alerts.alarm.assign", str(alarm_id), {"version": version, "assignee": assignee})
        return _to(back, f"/console/alarms/{alarm_id}")


def _add_quiet(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.post("/console/alarms/{alarm_id}/quiet")
    def quiet_alarm(
        request: Request,
        alarm_id: int,
        person: Person = operator,
        act: Annotated[str, Form(pattern=_ACTS)] = "shelve",
        of: Annotated[str, Form(pattern="^(alarm|zone)$")] = "alarm",
        minutes: Minutes = 60,
        reason: Annotated[str, Form(max_length=40)] = "",
        note: Note = "",
        back: Back = "",
    ) -> Response:
        try:
            with translated(), web.pool.connection() as connection:
                found = _alarm(connection, person, alarm_id)
                points = _points(connection, person, web, found.zone) if of == "zone" else _own_point(found)
                done = _keep_quiet(connection, web, person, points, act, minutes, reason, note.strip())
        except ConflictError:
            return alarm_page(request, web, desk, person, alarm_id, refused="changed", note=note, status=409)
        _audit_quiet(web, person, done, act, minutes, reason, note.strip())
        return _to(back, f"/console/alarms/{alarm_id}")

    @routes.post("/console/zone/{code}/quiet")
    def quiet_zone(
        code: str,
        person: Person = operator,
        act: Annotated[str, Form(pattern=_ACTS)] = "shelve",
        minutes: Minutes = 60,
        reason: Annotated[str, Form(max_length=40)] = "",
        note: Note = "",
        back: Back = "",
    ) -> Response:
        with translated(), web.pool.connection() as connection:
            points = _points(connection, person, web, code)
            done = _keep_quiet(connection, web, person, points, act, minutes, reason, note.strip())
        _audit_quiet(web, person, done, act, minutes, reason, note.strip())
        return _to(back, f"/console/zone/{code}")

    @routes.post("/console/quiet/end")
    def end(
        person: Person = operator,
        state: Annotated[str, Form(pattern="^(SHELVED|OUT_OF_SERVICE|SUPPRESSED_BY_DESIGN)$")] = "SHELVED",
        points: Annotated[str, Form(max_length=20_000, pattern=r"^\d{1,9}:(\*|\w+)(,\d{1,9}:(\*|\w+))*$")] = "",
        note: Note = "",
        back: Back = "",
    ) -> Response:
        named = [(int(channel), kind) for channel, _, kind in (each.partition(":") for each in points.split(","))]
        action, do = _ENDS[state]
        with translated(), web.pool.connection() as connection:
            theirs = {point for each in Read(connection, person.scope).quiet() for point in each.points}
            mine = [each for each in named if each in theirs]
            if not mine:  # somebody was quicker, or it ended by itself: what the person wanted is so
                return _to(back, "/console/alarms?state=shelved")
            done, _ = do(connection, mine, note=note.strip(), actor=person.login, at_ms=web.clock.now_ms())
        for channel_id, kind in (point for point in done if isinstance(point, tuple)):
            web.audit(person.person_id, action, f"{channel_id}/{kind}", {"note": note.strip()})
        return _to(back, "/console/alarms?state=shelved")


def _keep_quiet(
    connection: Connection,
    web: RoomWeb,
    person: Person,
    points: Sequence[Point],
    act: str,
    minutes: int,
    reason: str,
    note: str,
) -> Sequence[object]:
    now_ms = web.clock.now_ms()
    who = _Who(note=note, actor=person.login, at_ms=now_ms)
    if act != "room_empty" and reason not in SHELF_REASONS:
        raise UsageError("choose why from the list")
    if act == "shelve":
        if minutes not in SHELF_MINUTES:
            raise UsageError("choose how long from the list")
        until_ms = now_ms + minutes * _MINUTE_MS
        done, _ = operate.shelve(connection, points, until_ms=until_ms, reason=reason, **who)
    elif act == "remove_from_service":
        done, _ = operate.remove_from_service(connection, points, reason=reason, **who)
    else:
        done, _ = operate.suppress(connection, points, **who)
    return done


def _audit_quiet(
    web: RoomWeb, person: Person, done: Sequence[object], act: str, minutes: int, reason: str, note: str
) -> None:
    """Write the audit of what is done and kept by now; before, the engine would wait for every line of it."""
    detail = {"reason": reason, "note": note} | ({"minutes": minutes} if act == "shelve" else {})
    for channel_id, kind in (point for point in done if isinstance(point, tuple)):
        web.audit(person.person_id, f"alerts.point.{act}", f"{channel_id}/{kind}", detail)


class _Who(TypedDict):
    note: str
    actor: str
    at_ms: int


def _alarm(connection: Connection, person: Person, alarm_id: int) -> Alarm:
    found = Read(connection, person.scope).alarm(alarm_id)
    if found is None:
        raise NotFoundError(f"there is no alarm {alarm_id}")
    return found


def _own_point(alarm: Alarm) -> list[Point]:
    if alarm.channel_id is None:
        raise UsageError("an alarm about goods cannot be shelved: change the stock or the rule")
    return [(alarm.channel_id, alarm.kind)]


def _points(connection: Connection, person: Person, web: RoomWeb, code: str) -> list[Point]:
    """Return every channel of a zone the person may see."""
    found = Read(connection, person.scope).zones([code], web.clock.now_ms(), sparks=False)
    if not found:
        raise NotFoundError(f"there is no zone {code}")
    return [(each.channel_id, "*") for each in found[0].channels]


def _alarm_and_version(text: str) -> tuple[int, int]:
    alarm_id, _, version = text.partition(":")
    if not (alarm_id.isdecimal() and version.isdecimal() and len(alarm_id) < 19 and len(version) < 10):
        raise UsageError("an alarm is named by its number and version, as the page does")
    return int(alarm_id), int(version)


def _to(back: str, otherwise: str, **told: object) -> Response:
    """Send the browser on, within the console only: a form must not send people elsewhere."""
    target = back if back.startswith("/console") and "\\" not in back else otherwise
    if told:
        parts = urlsplit(target)
        kept = [(key, value) for key, value in parse_qsl(parts.query) if key not in told]
        target = f"{parts.path}?{urlencode([*kept, *((key, value) for key, value in told.items() if value != '')])}"
    return RedirectResponse(target, status_code=303)
