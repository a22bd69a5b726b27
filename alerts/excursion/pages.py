"""The excursions in the console: the list, one with its curve, lots and corrections, and the report to print."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.excursion.read import MOST_LOTS, STATES, Detail, Reader
from hanlu.alerts.excursion.say import Say
from hanlu.alerts.wording import metric_name, unit_label, words
from hanlu.core.clock import to_ms
from hanlu.core.curve import Lang, Mark, Span, Strip, curve
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import translated
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_excursion_pages"]

PER_PAGE: Final = 50
_CHINA: Final = timezone(timedelta(hours=8))
State = Annotated[str, Query(pattern=f"^({'|'.join(STATES)})$")]
Day = Annotated[str, Query(max_length=10)]
Number = Annotated[int, Path(ge=1, lt=2**63)]


def add_excursion_pages(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the pages to the console's routes."""
    _add_list(routes, web, desk)
    _add_report(routes, web)
    _add_detail(routes, web, desk)
    _add_way_from_alarm(routes, web)


def _add_list(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/excursions")
    def excursions(
        request: Request,
        person: Person = operator,
        site: Annotated[str, Query(max_length=80)] = "",
        state: State = "all",
        begin: Annotated[str, Query(max_length=10, alias="from")] = "",
        end: Annotated[str, Query(max_length=10, alias="to")] = "",
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        from_at_ms, begin_bad = _midnight(begin, 0)
        to_at_ms, end_bad = _midnight(end, 1)
        with desk.reading(person) as (read, _, frame), translated(), web.pool.connection() as connection:
            found = Reader(connection, person.scope).excursions(
                site=site or None, from_at_ms=from_at_ms, to_at_ms=to_at_ms, state=state,
                limit=PER_PAGE + 1, offset=(page - 1) * PER_PAGE,
            )  # fmt: skip
            sites = read.sites(desk.SITES_LISTED + 1)
        kept = {"site": site, "state": state, "from": begin, "to": end}
        context = {
            "excursions": found[:PER_PAGE],
            "more": len(found) > PER_PAGE,
            "page": page,
            "page_url": f"/console/excursions?{urlencode({k: v for k, v in kept.items() if v})}",
            "sites": sites,
            "site": site,
            "state": state,
            "states": STATES,
            "begin": begin,
            "end": end,
            "filtered": bool(site or begin or end or state != "all"),
            "bad_date": begin_bad or end_bad,
            "say": Say(web.pages.language(request)),
        }
        return desk.render(
            request, "alerts/excursions.html", frame | context, status=422 if context["bad_date"] else 200
        )


def _add_detail(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/excursions/{excursion_id}")
    def excursion(request: Request, excursion_id: Number, person: Person = operator) -> Response:
        lang = _lang(web, request)
        with desk.reading(person) as (_, now_ms, frame), translated(), web.pool.connection() as connection:
            reader = Reader(connection, person.scope)
            into = reader.number(excursion_id=excursion_id)
            if into is not None and into != excursion_id:
                return RedirectResponse(f"/console/excursions/{into}", status_code=307)
            detail = reader.detail(excursion_id)
        context = {
            "detail": detail,
            "one": detail.excursion,
            "say": Say(lang),
            "picture": _pictures(detail, lang, now_ms),
            "most_lots": MOST_LOTS,
        }
        return desk.render(request, "alerts/excursion.html", frame | context)


def _add_report(routes: APIRouter, web: RoomWeb) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    # Before the page of an excursion, whose address would take "7.pdf" for a number.
    @routes.get("/console/excursions/{excursion_id}.pdf")
    def report(request: Request, excursion_id: Number, person: Person = operator) -> Response:
        from hanlu.alerts.excursion.report import report_pdf

        lang = _lang(web, request)
        with translated(), web.pool.connection() as connection:
            detail = Reader(connection, person.scope).detail(excursion_id)
        web.audit(person.person_id, "alerts.excursion.report", str(excursion_id), {"version": detail.excursion.version})
        return Response(
            report_pdf(detail, lang, web.clock.now_ms()),
            media_type="application/pdf",
            headers={"Content-Disposition": f'inline; filename="hanlu-excursion-{excursion_id}-{lang}.pdf"'},
        )


def _add_way_from_alarm(routes: APIRouter, web: RoomWeb) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/alarms/{alarm_id}/excursion")
    def excursion_of_alarm(alarm_id: Number, person: Person = operator) -> Response:
        with translated(), web.pool.connection() as connection:
            number = Reader(connection, person.scope).number(alarm_id=alarm_id)
        if number is None:
            raise NotFoundError(f"alarm {alarm_id} has no excursion")
        return RedirectResponse(f"/console/excursions/{number}", status_code=307)


def _lang(web: RoomWeb, request: Request) -> Lang:
    return "zh" if web.pages.language(request) == "zh" else "en"


def _midnight(day: str, days: int) -> tuple[int | None, bool]:
    """Return the beginning of a day of China time, so many days later, and whether the day cannot be read."""
    if not day:
        return None, False
    try:
        moment = datetime.combine(date.fromisoformat(day), datetime.min.time(), tzinfo=_CHINA) + timedelta(days=days)
        return to_ms(moment), False
    except (ValueError, OverflowError):
        return None, True


def _pictures(detail: Detail, lang: Lang, now_ms: int) -> Markup | None:
    """Return the curve for a desk's width and for a phone's; None without readings."""
    one, drawn, word = detail.excursion, detail.curve, words(lang)
    if not drawn.samples:
        return None
    right = min(drawn.span.to_ms, max(now_ms, drawn.samples[-1].at_ms))

    def made(width: int, height: int) -> str:
        return curve(
            drawn.samples, gap_ms=drawn.gap_ms, title=metric_name(one.metric, lang), unit=unit_label(one.unit),
            lang=lang,
            low=None if one.upward else one.limit_value, high=one.limit_value if one.upward else None,
            from_ms=drawn.span.from_ms, to_ms=right,
            marks=[Mark(each.raised_ms, word(f"alerts.kind.{each.kind}"), "alarm") for each in detail.alarms],
            shades=[Span(one.from_ms, one.to_ms or right)],
            strips=[
                Strip(word(f"alerts.strip.{metric}"), spans, metric.replace("_", "-"))
                for metric, spans in drawn.switches
            ],
            width=width, height=height,
        )  # fmt: skip

    html = f'<div class="only-wide">{made(1140, 280)}</div><div class="only-narrow">{made(350, 220)}</div>'
    return Markup(html)  # noqa: S704 - core.curve escapes every word
