"""The alarm list and one alarm with its journal; what people do there is alarm_actions.py's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from markupsafe import Markup
from starlette.responses import Response

from hanlu.alerts.alarm import ProcessState
from hanlu.alerts.desk import Desk
from hanlu.alerts.kind import Kind
from hanlu.alerts.lines import Line, Slim, Tab, Wanted, arrange, tally
from hanlu.alerts.read import Read
from hanlu.alerts.trend import pictures, read_trend
from hanlu.alerts.views import Alarm
from hanlu.alerts.wording import metric_name, unit_label, words
from hanlu.core.curve import Lang, Span
from hanlu.core.errors import NotFoundError
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["Shown", "add_alarm_pages", "alarm_page"]

PER_PAGE: Final = 50
FLOOD_SHOWN: Final = 20
"""So many lines of a flood are on the page; the rest is a link to the site's own list."""
UNDER_SHOWN: Final = 5
"""So many earlier or explained alarms are shown under a line."""
EARLIER_SHOWN: Final = 10
_AROUND_MS: Final = 2 * 3_600_000
_MOST_SPAN_MS: Final = 14 * 24 * 3_600_000

_Priority = Annotated[str, Query(pattern="^[123]?$")]
_Process = Annotated[str, Query(pattern="^(|" + "|".join(each for each in ProcessState if each != "NORMAL") + ")$")]
_Kind = Annotated[str, Query(pattern="^(|" + "|".join(Kind) + ")$")]


@dataclass(frozen=True, slots=True)
class Shown:
    """A line with its alarms read in full.

    Attributes:
        alarm: the one it shows.
        older: earlier occurrences of the same point, `older_more` of them not shown.
        explained: what it explains, `explained_more` of them not shown.
        flood: lines of a flood, `flood_more` of them not shown.
        size: points that cry in the flood.
        priorities: of the flood's lines, how many.
        waiting: alarms of the flood that wait for a person.
    """

    alarm: Alarm
    older: tuple[Alarm, ...] = ()
    older_more: int = 0
    explained: tuple[Alarm, ...] = ()
    explained_more: int = 0
    flood: tuple[Shown, ...] = ()
    flood_more: int = 0
    size: int = 0
    priorities: Mapping[int, int] | None = None
    waiting: int = 0


def add_alarm_pages(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the pages to the console's routes."""
    _add_list(routes, web, desk)
    _add_alarm(routes, web, desk)


def _add_list(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/alarms")
    def alarms(
        request: Request,
        person: Person = operator,
        state: Annotated[str, Query(pattern="^(" + "|".join(Tab) + ")$")] = "open",
        site: Annotated[str, Query(max_length=80)] = "",
        priority: _Priority = "",
        process: _Process = "",
        kind: _Kind = "",
        flat: Annotated[str, Query(pattern="^1?$")] = "",
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
        done: Annotated[int | None, Query(ge=0, le=10_000)] = None,
        changed: Annotated[str, Query(pattern=r"^[\d.]{0,400}$")] = "",
    ) -> Response:
        tab = Tab(state)
        wanted = Wanted(tab, site.strip(), int(priority) if priority else None, process, kind, bool(flat))
        with desk.reading(person) as (read, _, frame):
            slim = desk.lines(read, person.scope)
            tabs, per_site = tally(slim, wanted)
            start = (page - 1) * PER_PAGE
            if tab is Tab.ALL:
                found = read.alarms(
                    site=wanted.site or None, kind=kind or None, priority=wanted.priority, by_time=True,
                    limit=PER_PAGE + 1, offset=start,
                )  # fmt: skip
                lines, more = [Shown(each) for each in found[:PER_PAGE]], len(found) > PER_PAGE
            else:
                arranged = arrange(slim, wanted)
                lines, more = shown(read, arranged[start : start + PER_PAGE]), len(arranged) > start + PER_PAGE
            quiet = [] if tab in (Tab.OPEN, Tab.ALL) else read.quiet()
            missed = read.alarms_by_id([int(each) for each in changed.split(".") if each])
            context = {"counts": read.counts(), "sites": read.sites(desk.SITES_LISTED + 1)}
        asked = {"state": state, "site": wanted.site, "priority": priority, "process": process, "kind": kind}
        kept = {key: value for key, value in asked.items() if value and (key, value) != ("state", "open")}
        context |= {
            "lines": lines,
            "more": more,
            "page": page,
            "tab": tab,
            "tabs": tabs,
            "per_site": per_site,
            "wanted": wanted,
            "filtered": bool(wanted.site or priority or process or kind),
            "quiet": [each for each in quiet if _TAB_OF_QUIET.get(each.state) is tab and _at(each, wanted.site)],
            "done": done,
            "missed": missed,
            "address": lambda **other: _address(kept | {"flat": flat} | other),
            "back": _address(kept | {"flat": flat, "page": "" if page == 1 else page}),
            "processes": [each for each in ProcessState if each is not ProcessState.NORMAL],
            "kinds": list(Kind),
        }
        return desk.render(request, "alerts/alarms.html", frame | context)


_TAB_OF_QUIET: Final = {"SHELVED": Tab.SHELVED, "OUT_OF_SERVICE": Tab.OUT, "SUPPRESSED_BY_DESIGN": Tab.HELD}


def _at(quiet: Any, site: str) -> bool:
    return not site or site == quiet.site or site.lower() in f"{quiet.site_zh} {quiet.site_en}".lower()


def _address(asked: Mapping[str, object]) -> str:
    query = urlencode({key: value for key, value in asked.items() if value not in ("", None)})
    return "/console/alarms" + (f"?{query}" if query else "")


def shown(read: Read, lines: Sequence[Line]) -> list[Shown]:
    """Return lines with what a page shows of them read in full, in one statement."""
    ids: set[int] = set()

    for line in lines:
        ids.add(line.head.alarm_id)
        ids.update(each.alarm_id for each in (*line.older[:UNDER_SHOWN], *line.explained[:UNDER_SHOWN]))
        ids.update(each.head.alarm_id for each in line.flood[:FLOOD_SHOWN])
    known = {each.alarm_id: each for each in read.alarms_by_id(sorted(ids))}
    return [_shown(line, known) for line in lines if line.head.alarm_id in known]


def _shown(line: Line, known: Mapping[int, Alarm]) -> Shown:
    def of(alarms: Iterable[Slim]) -> tuple[Alarm, ...]:
        return tuple(known[each.alarm_id] for each in alarms if each.alarm_id in known)

    older, explained = of(line.older[:UNDER_SHOWN]), of(line.explained[:UNDER_SHOWN])
    members = tuple(_shown(each, known) for each in line.flood[:FLOOD_SHOWN] if each.head.alarm_id in known)
    return Shown(
        known[line.head.alarm_id],
        older,
        len(line.older) - len(older),
        explained,
        len(line.explained) - len(explained),
        members,
        len(line.flood) - len(members),
        len(line.flood),
        Counter(each.head.priority for each in line.flood),
        sum(each.calls for each in line),
    )


def _add_alarm(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/alarms/{alarm_id}")
    def alarm(request: Request, alarm_id: int, person: Person = operator) -> Response:
        return alarm_page(request, web, desk, person, alarm_id)


def alarm_page(
    request: Request,
    web: RoomWeb,
    desk: Desk,
    person: Person,
    alarm_id: int,
    *,
    refused: str = "",
    note: str = "",
    status: int = 200,
) -> Response:
    """Return an alarm's page.

    Args:
        request: to be answered.
        web: of the room.
        desk: reads and renders.
        person: who asks.
        alarm_id: which.
        refused: "" or why what the person just tried was not done: "conflict", "changed" or "second".
        note: what the person had written then, so that it is not lost.
        status: of the answer.

    Raises:
        NotFoundError: there is no such alarm in the person's subtree.
    """
    lang: Lang = "zh" if web.pages.language(request) == "zh" else "en"
    with desk.reading(person) as (read, now_ms, frame):
        found = read.alarm(alarm_id)
        if found is None:
            raise NotFoundError(f"there is no alarm {alarm_id}")
        context: dict[str, Any] = {
            "alarm": found,
            "journal": read.journal(alarm_id),
            "picture": _picture(read, found, lang, now_ms),
            "explained": read.explained(alarm_id, UNDER_SHOWN),
            "earlier": read.earlier(alarm_id, EARLIER_SHOWN),
            "quiet": [] if found.channel_id is None else read.quiet([found.zone]),
            "told": read.notifications(alarm_id),
            "refused": refused,
            "unsaved_note": note,
            "path_of_alarm": f"/console/alarms/{alarm_id}",
        }
    return desk.render(request, "alerts/alarm.html", frame | context, status=status)


def _picture(read: Read, alarm: Alarm, lang: Lang, now_ms: int) -> Markup | None:
    """Return the curve from two hours before the alarm to two hours after it."""
    if alarm.channel_id is None:
        return None
    zone = read.zones([alarm.zone], now_ms, sparks=False)
    channel = next((each for one in zone for each in one.channels if each.channel_id == alarm.channel_id), None)
    if channel is None or channel.is_switch:
        # A door's or the mains' own alarm: the room's air shows what came of it.
        channel = next((one.main for one in zone if not one.main.is_switch), None)
    if channel is None:
        return None
    now_ms = channel.end_ms(now_ms)
    start, end = alarm.span(now_ms)
    right = min(min(end, start + _MOST_SPAN_MS) + _AROUND_MS, max(now_ms, alarm.raised_ms))
    span = Span(start - _AROUND_MS, right)
    others = [each for each in zone[0].channels if each.channel_id != channel.channel_id]
    trend = read_trend(read, channel, others, span, [alarm], now_ms)
    html = pictures(
        trend,
        title=metric_name(channel.metric, lang),
        unit=unit_label(channel.unit),
        lang=lang,
        words=words(lang),
    )
    return Markup(html)  # noqa: S704 - core.curve escapes every word
