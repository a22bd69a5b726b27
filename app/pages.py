"""Renders the pages of all rooms in one look and language; registry/web.py states the contract.

A template `trace/lot.html` is the file `lot.html` in `trace/templates` or in `trace/templates/trace`; `base.html` and
the pages of `app` itself lie in `app/templates`. Every output is escaped; an undefined name is an error, never an empty
place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from hanlu.app.static_files import StaticFiles
from hanlu.app.wording import LANGUAGES, Wording, fmt_age, fmt_time, fmt_value, preferred_language
from hanlu.core.clock import Clock, SystemClock
from hanlu.registry.access import Person

__all__ = ["LANGUAGE_COOKIE", "ROOMS_WITH_PAGES", "HtmlPages"]

ROOMS_WITH_PAGES = ("app", "registry", "ingest", "alerts", "trace")
"""Rooms whose `templates`, `static` and `i18n.json` (of folders too) are joined; a later room adds its name here."""

LANGUAGE_COOKIE = "lang"
_LANGUAGE_COOKIE_S = 365 * 24 * 3600


class HtmlPages:
    """The renderer handed to every room (the `Pages` of registry/web.py)."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        secure: bool = False,
        vendor: Path | None = None,
        rooms: Sequence[str] = ROOMS_WITH_PAGES,
    ) -> None:
        """Load texts, templates and static files of `rooms`.

        Args:
            clock: for ages; the machine's without one.
            secure: set the language cookie for HTTPS only.
            vendor: folder of the chart library's files, served below `/static/vendor/`; None has none.
            rooms: packages below `hanlu`.
        """
        folders = {room: Path(str(files(f"hanlu.{room}"))) for room in rooms}
        static = {room: folder / "static" for room, folder in folders.items()}
        self.static = StaticFiles(static | ({"vendor": vendor} if vendor else {}))
        self.wording = Wording(path for folder in folders.values() for path in sorted(folder.rglob("i18n.json")))
        self._clock = clock or SystemClock()
        self._secure = secure
        by_room = {
            room: FileSystemLoader([folder / "templates" / room, folder / "templates"])
            for room, folder in folders.items()
        }
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folders["app"] / "templates"), PrefixLoader(by_room)]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(static=self.static.url, fmt_time=fmt_time, fmt_value=fmt_value)
        # Compiled now, so that the first reader of a page does not wait for it.
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def language(self, request: Request) -> str:
        """Return "zh" or "en": `?lang=`, then cookie `lang`, then Accept-Language, then zh."""
        for asked in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
            if asked in LANGUAGES:
                return asked
        return preferred_language(request.headers.get("accept-language", ""))

    def render(self, request: Request, template: str, context: Mapping[str, Any], *, status: int = 200) -> Response:
        """Return `template` as a page; see `Pages.render` for what every template is given."""
        language = self.language(request)
        html = self._environment.get_template(template).render({**self._common(request, language), **context})
        response = HTMLResponse(html, status_code=status, headers={"Content-Language": _tag(language)})
        if request.query_params.get("lang") == language:
            response.set_cookie(
                LANGUAGE_COOKIE,
                language,
                max_age=_LANGUAGE_COOKIE_S,
                httponly=True,
                samesite="lax",
                secure=self._secure,
            )
        return response

    def _common(self, request: Request, language: str) -> dict[str, Any]:
        person: Person | None = getattr(request.state, "person", None)
        return {
            "lang": language,
            "lang_tag": _tag(language),
            "t": self._translator(language),
            "person": person,
            "path": request.url.path,
            "lang_url": lambda other: _with_language(request, other),
            "fmt_age": lambda ms: fmt_age(ms, self._clock.now_ms(), language),
            "now_ms": self._clock.now_ms(),
        }

    def _translator(self, language: str) -> Callable[..., str]:
        def translate(key: str, **values: object) -> str:
            return self.wording.text(language, key, **values)

        return translate


def _tag(language: str) -> str:
    return "zh-CN" if language == "zh" else "en"


def _with_language(request: Request, language: str) -> str:
    """Return this page's address in another language, its other parameters kept."""
    kept = [(key, value) for key, value in parse_qsl(request.url.query, keep_blank_values=True) if key != "lang"]
    return f"{request.url.path}?{urlencode([*kept, ('lang', language)])}"
