"""The page of the alarm load, the lists behind its figures, and both as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.shift.charts import bars, split
from hanlu.alerts.shift.figures import Figure, Now, alarms_behind, figures
from hanlu.alerts.shift.kpi import Load, Period
from hanlu.alerts.shift.period import BUCKET_MS, PERIODS, period_until
from hanlu.alerts.shift.read import Line, Place, ShiftRead, find_place, places, put_staffing, staffing
from hanlu.alerts.wording import words
from hanlu.core.clock import from_ms
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import translated
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_load_pages"]

PER_PAGE: Final = 50
PLACES_LISTED: Final = 200
CSV_ROWS: Final = 100_000
TARGET_PER_HOUR: Final = 5
"""Calls an hour for one operator that are still good (EEMUA 191): the line in the picture."""
SPLIT_AIMED_AT: Final = (0.05, 0.15, 0.80)

_COLUMNS: Final = (
    "alarm", "called", "raised", "returned", "acknowledged", "priority", "kind", "site", "zone", "metric", "state",
    "suppression", "held_because",
)  # fmt: skip

SpanName = Annotated[str, Query(pattern="^(today|7d|30d)$")]
PlaceParameter = Annotated[str, Query(max_length=80)]
Operators = Annotated[int | None, Query(ge=1, le=500)]
PageNumber = Annotated[int, Query(ge=1, le=10_000)]


@dataclass(frozen=True, slots=True)
class _Told:
    """Everything read for one page."""

    place: Place
    period: Period
    operators: int
    staffed: int
    load: Load
    now: Now
    held: Mapping[str, int]

    @property
    def figures(self) -> list[Figure]:
        return figures(self.load, self.now, self.held)


def add_load_pages(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the pages to the console's routes."""
    _add_load(routes, web, desk)
    _add_list(routes, web, desk)
    _add_staffing(routes, web)


def _tell(web: RoomWeb, person: Person, span: str, place: str, operators: int | None) -> _Told:
    with translated(), web.pool.connection() as connection:
        now_ms = web.clock.now_ms()
        where = find_place(connection, person.scope, place)
        staffed = staffing(connection, where)
        period = period_until(span, now_ms)
        read = ShiftRead(connection, where)
        people = operators or staffed
        return _Told(where, period, people, staffed, read.load(period, people), read.now(now_ms), read.held(period))


def _add_load(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/load")
    def load(
        request: Request,
        person: Person = operator,
        span: SpanName = "today",
        place: PlaceParameter = "",
        operators: Operators = None,
    ) -> Response:
        lang = web.pages.language(request)
        with desk.reading(person) as (_, _, frame):
            pass
        told = _tell(web, person, span, place, operators)
        with translated(), web.pool.connection() as connection:
            listed = places(connection, person.scope, PLACES_LISTED + 1)
            read = ShiftRead(connection, told.place)
            latest = {call.point: call.alarm_id for call in told.load.calls}
            worst = sorted(told.load.chattering.items(), key=lambda each: -each[1])[:20]
            shown = [point for point, _ in [*told.load.top, *worst]]
            lines = {each.alarm_id: each for each in read.lines([latest[point] for point in shown])}
        points = {point: lines[latest[point]] for point in shown if latest[point] in lines}
        query = {"span": span, "place": place, "operators": told.operators}
        context: dict[str, Any] = {
            "told": told,
            "figures": {each.key: each for each in told.figures},
            "span_name": span,
            "spans": list(PERIODS),
            "place_name": place,
            "places": listed[:PLACES_LISTED],
            "top": [(points[point], point, calls) for point, calls in told.load.top if point in points],
            "chattering": [(points[point], point, calls) for point, calls in worst if point in points],
            "held": told.held,
            "query": lambda **more: urlencode({**query, **more}),
            "bars": _bars(told, span, lang),
            "split": _split(told, lang),
            "bucket_hours": BUCKET_MS[span] // 3_600_000,
            "buckets": [
                (told.period.from_ms + number * BUCKET_MS[span], count)
                for number, count in enumerate(told.load.buckets(BUCKET_MS[span]))
            ],
        }
        return desk.render(request, "alerts/shift_load.html", frame | context)

    @routes.get("/console/load.csv")
    def load_csv(
        request: Request,
        person: Person = operator,
        span: SpanName = "today",
        place: PlaceParameter = "",
        operators: Operators = None,
    ) -> Response:
        say = words(web.pages.language(request))
        told = _tell(web, person, span, place, operators)
        rows: list[Sequence[object]] = [
            (each.key, say(f"shift.figure.{each.key}"), "" if each.value is None else each.value, each.unit,
             each.target_text, say(f"shift.verdict.{each.verdict}"), say(f"shift.how.{each.key}"))
            for each in told.figures
        ]  # fmt: skip
        rows += [
            (f"held.{reason}", _held_word(say, reason), count, "", "", "", "") for reason, count in told.held.items()
        ]
        head = [("from", _instant(told.period.from_ms)), ("to", _instant(told.period.to_ms)),
                ("operators", told.operators)]  # fmt: skip
        columns = ("figure", "name", "value", "unit", "target", "verdict", "definition")
        return _csv(f"hanlu-load-{span}.csv", [*head, (), columns, *rows])


def _add_list(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/load/alarms")
    def behind(
        request: Request,
        person: Person = operator,
        figure: Annotated[str, Query(max_length=200)] = "called",
        span: SpanName = "today",
        place: PlaceParameter = "",
        operators: Operators = None,
        page: PageNumber = 1,
    ) -> Response:
        with desk.reading(person) as (_, _, frame):
            pass
        told = _tell(web, person, span, place, operators)
        with translated(), web.pool.connection() as connection:
            read = ShiftRead(connection, told.place)
            quiet = read.quiet_points() if figure in ("shelved", "out_of_service") else None
            ids = [] if quiet is not None else _ids(read, told, figure)
            lines = read.lines(ids[(page - 1) * PER_PAGE : page * PER_PAGE])
        state = {"shelved": "SHELVED", "out_of_service": "OUT_OF_SERVICE"}.get(figure)
        query = {"figure": figure, "span": span, "place": place, "operators": told.operators}
        context: dict[str, Any] = {
            "told": told,
            "figure": figure,
            "title": _title(words(web.pages.language(request)), figure),
            "of_now": figure in ("standing", "waiting", "stale", "shelved", "out_of_service"),
            "quiet": None if quiet is None else [each for each in quiet if each.state == state],
            "lines": lines,
            "total": len(ids),
            "page": page,
            "more": len(ids) > page * PER_PAGE,
            "held": told.held if figure == "held" else {},
            "query": lambda **more: urlencode({**query, **more}),
        }
        return desk.render(request, "alerts/shift_load_list.html", frame | context)

    @routes.get("/console/load/alarms.csv")
    def behind_csv(
        request: Request,
        person: Person = operator,
        figure: Annotated[str, Query(max_length=200)] = "called",
        span: SpanName = "today",
        place: PlaceParameter = "",
        operators: Operators = None,
    ) -> Response:
        lang = web.pages.language(request)
        told = _tell(web, person, span, place, operators)
        with translated(), web.pool.connection() as connection:
            read = ShiftRead(connection, told.place)
            lines = read.lines(_ids(read, told, figure)[:CSV_ROWS])
        return _csv(f"hanlu-load-{span}-alarms.csv", [_COLUMNS, *(_row(each, lang) for each in lines)])


def _add_staffing(routes: APIRouter, web: RoomWeb) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.post("/console/load/operators")
    def staffed(
        person: Person = operator,
        operators: Annotated[int, Form(ge=1, le=500)] = 1,
        span: Annotated[str, Form(pattern="^(today|7d|30d)$")] = "today",
        place: Annotated[str, Form(max_length=80)] = "",
    ) -> Response:
        with translated(), web.pool.connection() as connection:
            where = find_place(connection, person.scope, place)
            put_staffing(connection, where, operators, person.login)
        web.audit(person.person_id, "alerts.staffing.put", where.organisation_path, {"operators": operators})
        return RedirectResponse(f"/console/load?{urlencode({'span': span, 'place': place})}", status_code=303)


def _ids(read: ShiftRead, told: _Told, figure: str) -> list[int]:
    if figure == "held":
        return [key for reason in told.held for key in read.held_alarms(told.period, reason)]
    if figure.startswith("held="):
        return read.held_alarms(told.period, figure.removeprefix("held="))
    found = alarms_behind(figure, told.load, told.now)
    if found is None:
        raise NotFoundError(f"there is no list {figure!r}")
    return found


def _title(say: Any, figure: str) -> str:
    if figure.startswith("held="):
        return f"{say('shift.figure.held')}: {_held_word(say, figure.removeprefix('held='))}"
    key = {"called": "calls", "flood": "floods", "acknowledged": "acknowledged_p95"}.get(figure, figure)
    return str(say("shift.list.point" if figure.startswith("point=") else f"shift.figure.{key}"))


def _held_word(say: Any, reason: str) -> str:
    """Return why an alarm was held in words; what a person gave as reason stands as it is."""
    for key in (f"alerts.hold.{reason}", f"shift.held.{reason}"):
        try:
            return str(say(key))
        except KeyError:
            continue
    return reason


def _bars(told: _Told, span: str, lang: str) -> Markup:
    say = words(lang)
    svg = bars(
        told.load, BUCKET_MS[span], TARGET_PER_HOUR, title=say("shift.chart.calls"), target=say("shift.chart.target")
    )
    return Markup(svg)  # noqa: S704 - shift.charts escapes every word


def _split(told: _Told, lang: str) -> Markup:
    say = words(lang)
    shares = [told.load.priority_share(priority) or 0.0 for priority in (1, 2, 3)]
    names = (say("shift.chart.is"), say("shift.chart.aim"))
    svg = split(shares, SPLIT_AIMED_AT, title=say("shift.chart.split"), names=names)
    return Markup(svg)  # noqa: S704 - shift.charts escapes every word


def _row(line: Line, lang: str) -> tuple[object, ...]:
    return (
        line.alarm_id, _instant(line.called_ms), _instant(line.raised_ms), _instant(line.returned_ms),
        _instant(line.acknowledged_ms), line.priority, line.kind, line.site_name(lang), line.zone_name(lang),
        line.metric, line.process_state, line.suppression_state, line.hold_reason or "",
    )  # fmt: skip


def _instant(ms: int | None) -> str:
    """Return an instant as ISO 8601 in China Standard Time, "" for none."""
    return "" if ms is None else f"{from_ms(ms) + timedelta(hours=8):%Y-%m-%dT%H:%M:%S}+08:00"


def _csv(name: str, rows: Iterable[Sequence[object]]) -> Response:
    """Return a table as a download; the mark at the beginning lets spreadsheets read the characters."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([_safe(cell) for cell in row])
    return Response(
        "\ufeff" + text.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _safe(cell: object) -> object:
    """Keep text from being taken for a formula (OWASP, CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
