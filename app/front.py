"""The front page: what is here, three doors, and the county in numbers; and finding a page by what a label says."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from psycopg.rows import dict_row
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from hanlu.app.auth import Auth
from hanlu.app.pages import HtmlPages
from hanlu.app.wording import fmt_time
from hanlu.core.clock import Clock, from_ms
from hanlu.core.errors import TransientError
from hanlu.db.pool import Pool, translated
from hanlu.db.queries import load_queries
from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError, parse_digital_link

__all__ = ["Summary", "SummaryReader", "front_router", "link_path"]

MAX_CODE: Final = 500
"""Longest text taken from the code field, characters."""

SUMMARY_KEPT_S: Final = 2.0
"""How long the numbers are shown before they are counted again, seconds, however many people look."""

_QUERIES = load_queries("hanlu.app")
_ELEMENT = re.compile(r"\((\d{2,4})\)([^()]{1,90})")
_LOT = re.compile(r"[!\"%&'()*+,\-./0-9:;<=>?A-Z_a-z]{1,20}")  # AI (10): GS1 General Specifications 7.11, set 82


@dataclass(frozen=True, slots=True)
class Choice:
    """A lot: the path of its page, and its product's names."""

    path: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The county in numbers, and a lot to begin with.

    Attributes:
        sites: registered.
        channels: registered.
        channels_live: of them those that reported within their no-data time.
        readings: stored since the beginning.
        alarms: active now, acknowledged or not.
        records: size of the signed log.
        anchored_at: when its checkpoint last reached the chain, None for never.
        lot: one whose way from its origins to a buyer can be looked at, None while there is none.
    """

    sites: int
    channels: int
    channels_live: int
    readings: int
    alarms: int
    records: int
    anchored_at: datetime | None
    lot: Choice | None


class SummaryReader:
    """Counts the county, at most once in `SUMMARY_KEPT_S` seconds."""

    def __init__(self, alerts: Pool, trace: Pool, clock: Clock) -> None:
        """Count through the pools of two rooms, each seeing its own."""
        self._alerts = alerts
        self._trace = trace
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: Summary | None = None
        self._kept_at = 0.0

    def read(self) -> Summary | None:
        """Return the numbers; None while the database is away: the front page opens all the same."""
        with self._lock:
            if self._kept is None or self._clock.monotonic() - self._kept_at >= SUMMARY_KEPT_S:
                try:
                    self._kept = self._count()
                except TransientError:
                    self._kept = None
                self._kept_at = self._clock.monotonic()
            return self._kept

    def _count(self) -> Summary:
        now = from_ms(self._clock.now_ms())
        values: dict[str, Any] = {}
        for pool, query in ((self._alerts, "summary_of_telemetry"), (self._trace, "summary_of_trace")):
            with translated(), pool.connection() as connection, connection.cursor(row_factory=dict_row) as rows:
                values |= rows.execute(_QUERIES[query], {"now": now}).fetchone() or {}
        with translated(), self._trace.connection() as connection:
            row = connection.execute(_QUERIES["lot_to_try"]).fetchone()
        lot = None if row is None else Choice(parse_digital_link(row[0]).at(""), row[1], row[2])
        return Summary(**values, lot=lot)


def link_path(text: str) -> str | None:
    """Return the address on this site of what a label says; None when it says nothing we can read.

    Args:
        text: the address from the QR code, its path alone, or a GS1 element string such as `(01)0690…(10)TAO-1`.
    """
    text = text.strip()
    try:
        elements = _ELEMENT.findall(text)
        if elements and "".join(f"({ai}){value}" for ai, value in elements) == text:
            (key, value), *qualifiers = elements
            return DigitalLink(key, value, tuple(qualifiers)).at("")
        if "/" in text:
            whole = text if "://" in text else f"https://label.invalid/{text.lstrip('/')}"
            return parse_digital_link(whole).at("")
    except DigitalLinkError:
        return None
    return None


def front_router(pages: HtmlPages, auth: Auth, summary: SummaryReader, trace: Pool) -> APIRouter:
    """Return the routes `/`, `/summary.json` and `/find`."""
    router = APIRouter()

    @router.get("/")
    async def front(request: Request) -> Response:
        await auth.person(request)
        numbers = await run_in_threadpool(summary.read)
        return await run_in_threadpool(
            pages.render, request, "front.html", {"numbers": numbers, "asked": "", "choices": []}
        )

    @router.get("/summary.json")
    async def summary_json() -> Response:
        numbers = await run_in_threadpool(summary.read)
        if numbers is None:
            raise TransientError
        return JSONResponse(_as_json(numbers))

    @router.get("/find")
    def find(request: Request, code: str = "") -> Response:
        asked = code.strip()[:MAX_CODE]
        path = link_path(asked)
        choices = [] if path else _choices(trace, asked)
        if path is None and len(choices) == 1:
            path = choices[0].path
        if path is not None:
            return RedirectResponse(path, status_code=303)
        context = {"numbers": summary.read(), "asked": asked, "choices": choices}
        return pages.render(request, "front.html", context, status=300 if choices else 404)

    return router


def _choices(trace: Pool, lot: str) -> list[Choice]:
    """Return the products that have a lot of this number: several growers may well have counted to the same one."""
    if not _LOT.fullmatch(lot):
        return []
    with translated(), trace.connection() as connection:
        rows = connection.execute(_QUERIES["products_of_lot"], {"lot": quote(lot, safe="")}).fetchall()
    links = ((DigitalLink("01", gtin, (("10", lot),)), zh, en) for gtin, zh, en in rows)
    return [Choice(link.at(""), zh, en) for link, zh, en in links]


def _as_json(numbers: Summary) -> Mapping[str, int | str]:
    return {
        "sites": numbers.sites,
        "channels": numbers.channels,
        "channels_live": numbers.channels_live,
        "readings": numbers.readings,
        "alarms": numbers.alarms,
        "records": numbers.records,
        "anchored_at": fmt_time(numbers.anchored_at),
    }
