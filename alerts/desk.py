"""What every page of the console needs: a connection for the person's subtree, the time, and the frame around it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from hanlu.alerts.config import ConsoleConfig
from hanlu.alerts.lines import Slim, order_key
from hanlu.alerts.read import Read
from hanlu.alerts.sentence import headline, note_text
from hanlu.alerts.stream import head
from hanlu.alerts.wording import hold_name, live_words, metric_name, reason_name, span_text, time_left
from hanlu.db.pool import Connection, translated
from hanlu.registry.access import Person
from hanlu.registry.web import RoomWeb

__all__ = ["SHELF_MINUTES", "SHELF_REASONS", "Desk"]

SHELF_MINUTES: Final = (15, 30, 60, 120, 240, 480)
"""How long an alarm can be shelved, minutes: a shift at most, so that the next one decides anew."""

SHELF_REASONS: Final = ("repair", "loading", "cleaning", "sensor", "known", "test", "other")
"""Why; words in i18n.json under `alerts.shelve.reason`."""

_KEPT_S: Final = 2.0
_SCOPES_KEPT: Final = 64
_BETWEEN_ROWS: Final = "\x1e"


class Desk:
    """Opens reads and renders pages."""

    SITES_LISTED = 60
    """Up to so many sites are listed in the filter; beyond, one types a code or a part of the name."""

    def __init__(self, web: RoomWeb, config: ConsoleConfig) -> None:
        """Use the pool, the clock and the renderer of `web`."""
        self._web = web
        self._config = config
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[int, float, Sequence[Slim]]] = {}

    @contextmanager
    def reading(self, person: Person) -> Iterator[tuple[Read, int, dict[str, Any]]]:
        """Yield the statements for the person's subtree, the platform's time, and the frame of a page.

        The frame carries where the feeds ended *before* anything else was read: the page's stream begins there, so
        that nothing falls between the page and its stream.
        """
        with translated(), self._web.pool.connection() as connection:
            now_ms = self._web.clock.now_ms()
            frame = {
                "position": str(head(connection)),
                "now_ms": now_ms,
                "uplot": self._config.uplot,
                "stream_zone": "",
                "tick_ms": round(self._config.stream_tick_s * 1000),
                "person": person,
            }
            yield Read(connection, person.scope), now_ms, frame

    def lines(self, read: Read, scope: str) -> Sequence[Slim]:
        """Return every open alarm of a subtree, slim; kept for the moment, since in a flood everybody asks at once.

        What is kept is as old as `_KEPT_S` at most and older than no journal entry that this connection can see, but
        for one that was begun before another one and committed after it; the stream tells that one too.
        """
        newest, now_s = read.newest_entry(), self._web.clock.monotonic()
        with self._lock:
            kept = self._kept.get(scope)
        if kept is not None and kept[0] == newest and now_s - kept[1] < _KEPT_S:
            return kept[2]
        found = read.lines()
        with self._lock:
            if len(self._kept) >= _SCOPES_KEPT:
                self._kept.clear()
            self._kept[scope] = (newest, now_s, found)
        return found

    def rows(self, connection: Connection, ids: Sequence[int], lang: str) -> Mapping[int, str]:
        """Return alarms as lines of the list, for whoever may see them: made once, told to many.

        Args:
            connection: acting as hanlu_alerts.
            ids: of alarms.
            lang: "zh" or "en".
        """
        nobody = Request({"type": "http", "method": "GET", "path": "/console/alarms", "headers": [],
                          "query_string": f"lang={lang}".encode()})  # fmt: skip
        found = Read(connection, "/").alarms_by_id(ids)
        context = {"alarms": found, "now_ms": self._web.clock.now_ms()}
        text = bytes(self.render(nobody, "alerts/rows.html", context).body).decode()
        return dict(zip([each.alarm_id for each in found], text.split(_BETWEEN_ROWS), strict=False))

    def render(self, request: Request, template: str, context: Mapping[str, Any], *, status: int = 200) -> Response:
        """Return a page; its templates can also say `metric(code)`, `reason(code)` and `number(n)`."""
        lang = self._web.pages.language(request)
        own = {
            "live_words": live_words(lang),
            "metric": lambda code: metric_name(code, lang),
            "reason": lambda code: reason_name(code, lang),
            "hold": lambda code: hold_name(code, lang),
            "span": lambda ms: span_text(ms, lang),
            "left": lambda alarm: time_left(alarm.respond_ms, self._web.clock.now_ms(), lang),
            "journal_note": lambda entry: note_text(entry, lang),
            "headline": lambda alarm: headline(alarm, self._web.clock.now_ms(), lang),
            "number": lambda count: f"{count:,}",
            "order_key": order_key,
            "shelf_minutes": SHELF_MINUTES,
            "shelf_reasons": SHELF_REASONS,
            "path": request.url.path,
            "sites_listed": self.SITES_LISTED,
        }
        return self._web.pages.render(request, template, {**own, **context}, status=status)
