"""What the composition root hands to a room that has pages: the contract between `app` and the rooms' routers.

A room offers `router(web: RoomWeb) -> APIRouter`; it never reads settings, builds pools or signs people in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi import Request
from starlette.responses import Response

from hanlu.core.clock import Clock
from hanlu.db.pool import Pool
from hanlu.registry.access import Person

__all__ = ["Pages", "RoomWeb"]


class Pages(Protocol):
    """Renders the templates of all rooms in one look and in the reader's language."""

    def render(self, request: Request, template: str, context: Mapping[str, Any], *, status: int = 200) -> Response:
        """Return the HTML of `template` (e.g. `alerts/console.html`, which extends `base.html`).

        Every template also gets `lang` ("zh" or "en"), `t(key)` (translation), `person` (Person or None),
        `static(path)` (URL with a content hash), `fmt_time(ms, style)` (Asia/Shanghai; style minute, second, date or
        clock), `fmt_value(value, unit)`, `fmt_age(ms)`, `now_ms`, `path` and `lang_url(lang)`. Texts live in the room's
        `i18n.json` (`{"room.key": {"zh": "…", "en": "…"}}`); class names are listed at the top of app/static/hanlu.css.
        """
        ...

    def language(self, request: Request) -> str:
        """Return "zh" or "en": `?lang=`, then cookie `lang`, then Accept-Language, then zh."""
        ...


@dataclass(frozen=True, slots=True)
class RoomWeb:
    """Everything a room's router may use.

    Attributes:
        pool: connections in the room's own database role.
        clock: the time.
        pages: the renderer.
        require: makes a FastAPI dependency that returns the signed-in Person or answers: sign-in page (GET for HTML) or
            401/403 (others). With no role any signed-in person passes. Also checks CSRF on POST, PUT, PATCH, DELETE.
        audit: writes registry.audit: (person_id or None, action, subject, detail).
        public_url: scheme and host printed in QR codes and shown to people, without a trailing slash.
        options: room-specific values from settings (documented in the room's config.py).
    """

    pool: Pool
    clock: Clock
    pages: Pages
    require: Callable[..., Callable[[Request], Awaitable[Person] | Person]]
    audit: Callable[[int | None, str, str, Mapping[str, Any]], None]
    public_url: str
    options: Mapping[str, Any] = field(default_factory=dict)
