"""What goes wrong, told to whoever asked: the one table from error class to HTTP status, as a page or as JSON.

Browsers get a page in their language; everything else gets problem details. A sentence of ours reaches the reader only
where it helps them put it right; of an error inside (500, 503) they learn a number to name when asking for help.
Source: RFC 9457 (problem details, obsoletes RFC 7807), RFC 9110 15.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from hanlu.app.pages import HtmlPages
from hanlu.core.errors import (
    ConflictError,
    FatalError,
    HanluError,
    NotFoundError,
    PermissionDeniedError,
    RemoteError,
    TransientError,
    UsageError,
    VerificationError,
)
from hanlu.core.observe import log

__all__ = ["STATUS", "Problems", "SignInNeeded", "status_of", "wants_page"]

STATUS: Final[dict[type[HanluError], int]] = {
    UsageError: 400,
    PermissionDeniedError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    RemoteError: 422,
    VerificationError: 422,
    TransientError: 503,
    FatalError: 500,
    HanluError: 500,
}
"""The status of each error; a class not in the table has that of the nearest one it descends from."""

RETRY_AFTER_S: Final = 5
"""What a client is told to wait when something is away for the moment."""

_WORDED = frozenset({400, 401, 403, 404, 405, 409, 413, 415, 421, 422, 429, 500, 503})  # those with texts of their own
_SILENT_FROM = 500  # from here on the sentence is for the log
_logger = logging.getLogger(__name__)


class SignInNeeded(Exception):  # noqa: N818 - a turn in the way, not an error
    """Nobody is signed in; a browser is shown the sign-in page, anything else is told 401."""

    def __init__(self, *, ended: bool) -> None:
        """Keep whether there was a session that has ended."""
        super().__init__()
        self.ended = ended


def status_of(error: HanluError) -> int:
    """Return the status of `error` by `STATUS`."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def wants_page(request: Request) -> bool:
    """Tell whether a person is looking: the client asks for HTML by name and the address is not the API's."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


class Problems:
    """Answers that say what went wrong."""

    def __init__(self, pages: HtmlPages) -> None:
        """Render with `pages`."""
        self._pages = pages

    def answer(
        self,
        request: Request,
        status: int,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Response:
        """Return a page or a problem document.

        Args:
            request: what was asked.
            status: HTTP status, 400 to 599.
            detail: a sentence for the reader, or the key of one in an i18n.json; "" has the general one of the status.
            headers: further headers, e.g. Retry-After.
            extra: further members of the problem document.
        """
        number = getattr(request.state, "number", "")
        language = self._pages.language(request)
        if detail in self._pages.wording:
            detail = self._pages.wording.text(language, detail)
        key = status if status in _WORDED else (400 if status < _SILENT_FROM else 500)
        title = self._pages.wording.text(language, f"app.problem.{key}.title")
        if wants_page(request):
            context = {"status": status, "title": title, "key": key, "detail": detail, "number": number}
            response = self._pages.render(request, "problem.html", context, status=status)
        else:
            body = {"type": "about:blank", "title": title, "status": status, "instance": request.url.path}
            body |= {"detail": detail or self._pages.wording.text(language, f"app.problem.{key}.text")}
            body |= {"number": number} | dict(extra or {})
            response = Response(
                json.dumps(body, ensure_ascii=False), status, media_type="application/problem+json; charset=utf-8"
            )
        response.headers.update({**(headers or {}), "Cache-Control": "no-store"})
        return response

    def install(self, app: FastAPI) -> None:
        """Make `app` answer its errors this way."""
        app.add_exception_handler(HanluError, self._ours)
        app.add_exception_handler(psycopg.OperationalError, self._database_away)
        app.add_exception_handler(HTTPException, self._http)
        app.add_exception_handler(RequestValidationError, self._invalid)
        app.add_exception_handler(SignInNeeded, self._sign_in)

    def _ours(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HanluError)
        status = status_of(error)
        if status < _SILENT_FROM:
            return self.answer(request, status, str(error))
        number = getattr(request.state, "number", "")
        level = logging.WARNING if status == STATUS[TransientError] else logging.ERROR
        log(_logger, level, "app.request.fail", f"{type(error).__name__}: {error}", number=number)
        headers = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, TransientError) else None
        return self.answer(request, status, headers=headers)

    def _database_away(self, request: Request, error: Exception) -> Response:
        """A room let its driver's error through: that the database is away is nobody's mistake all the same."""
        return self._ours(request, TransientError(f"the database is away: {error}"))

    def _http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code < 400:
            return Response(status_code=error.status_code, headers=error.headers)
        # Starlette's own sentences ("Not Found") say less than ours.
        usual = HTTPStatus(error.status_code).phrase
        detail = "" if error.detail == usual else str(error.detail)
        return self.answer(request, error.status_code, detail, headers=error.headers)

    def _invalid(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # Names and reasons only: what was sent may be a secret.
        faults = [
            {"where": ".".join(str(part) for part in each["loc"]), "what": each["msg"]} for each in error.errors()
        ]
        sentence = "; ".join(f"{each['where']}: {each['what']}" for each in faults[:5])
        return self.answer(request, 422, sentence, extra={"errors": faults})

    def _sign_in(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, SignInNeeded)
        if not (wants_page(request) and request.method in {"GET", "HEAD"}):
            headers = {"WWW-Authenticate": 'Cookie realm="hanlu"'}
            return self.answer(request, 401, headers=headers)
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        query = urlencode({"next": here} | ({"ended": "1"} if error.ended else {}))
        return RedirectResponse(f"/signin?{query}", status_code=303)
