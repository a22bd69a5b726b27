"""What every page of the console needs: a connection for the person's subtree, the time, and the frame around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import Request
from starlette.responses import Response

from hanlu.alerts.config import ConsoleConfig
from hanlu.alerts.read import Read
from hanlu.alerts.stream import head
from hanlu.alerts.wording import live_words, metric_name, reason_name
from hanlu.db.pool import translated
from hanlu.registry.access import Person
from hanlu.registry.web import RoomWeb

__all__ = ["Desk"]


class Desk:
    """Opens reads and renders pages."""

    SITES_LISTED = 60
    """Up to so many sites are listed in the filter; beyond, one types a code or a part of the name."""

    def __init__(self, web: RoomWeb, config: ConsoleConfig) -> None:
        """Use the pool, the clock and the renderer of `web`."""
        self._web = web
        self._config = config

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

    def render(self, request: Request, template: str, context: Mapping[str, Any], *, status: int = 200) -> Response:
        """Return a page; its templates can also say `metric(code)`, `reason(code)` and `number(n)`."""
        lang = self._web.pages.language(request)
        own = {
            "live_words": live_words(lang),
            "metric": lambda code: metric_name(code, lang),
            "reason": lambda code: reason_name(code, lang),
            "number": lambda count: f"{count:,}",
            "path": request.url.path,
            "sites_listed": self.SITES_LISTED,
        }
        return self._web.pages.render(request, template, {**own, **context}, status=status)
