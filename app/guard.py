"""The gate every request passes first and every answer last: host, origin, size, security headers, and the last net.

It stands outside the framework, so that an answer of any kind, that of an unforeseen error included, leaves with the
same headers.

Source: OWASP ASVS v5.0.0 3.4 (security headers), 3.5 (cross-site requests), 4.1, 4.2; W3C Content Security Policy 3;
RFC 9110 7.4 (misdirected requests), 15.5.14.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hanlu.app.problems import Problems

__all__ = ["CONTENT_SECURITY_POLICY", "MAX_DOCUMENT_BYTES", "MAX_FORM_BYTES", "Guard"]

MAX_FORM_BYTES: Final = 64 * 1024
"""Largest form, bytes: no form of ours comes near."""

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
"""Largest other body (event documents), bytes; a room may set less."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Nothing inline and nothing foreign, neither script nor style; a page may set a policy of its own instead."""

_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HSTS: Final = "max-age=31536000"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_logger = logging.getLogger(__name__)


class Guard:
    """The outermost ASGI layer."""

    def __init__(self, app: ASGIApp, problems: Problems, *, hosts: Collection[str], secure: bool) -> None:
        """Wrap `app`.

        Args:
            app: what answers.
            problems: how refusals are told.
            hosts: host names we answer to, without port, lower case.
            secure: we are reached by HTTPS, and tell browsers to insist on it.
        """
        self._app = app
        self._problems = problems
        self._hosts = frozenset(hosts)
        self._headers = _HEADERS | ({"Strict-Transport-Security": _HSTS} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.number = secrets.token_hex(6)
        body = _Body(receive, _most_bytes(request))
        answer = _Answer(send, self._headers, body)
        refusal = self._refusal(request, body.most)
        if refusal is None:
            refusal = await self._passed_on(scope, body, answer, request)
        if refusal is not None and not answer.begun:
            body.over = False
            await refusal(scope, receive, answer)

    def _refusal(self, request: Request, most: int) -> Response | None:
        """Return the answer to a request that shall go no further."""
        if _host(request.headers.get("host", "")) not in self._hosts:
            return self._problems.answer(request, 421)
        if request.method not in _SAFE and _from_elsewhere(request):
            return self._problems.answer(request, 403)
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return self._problems.answer(request, 400)
        if int(length) > most:
            return self._problems.answer(request, 413, headers={"Connection": "close"})
        return None

    async def _passed_on(self, scope: Scope, body: _Body, answer: _Answer, request: Request) -> Response | None:
        """Let the application answer; return the answer to give in its stead where it failed."""
        try:
            await self._app(scope, body, answer)
        except Exception:
            if not body.over:
                number = request.state.number
                _logger.exception("unforeseen", extra={"action": "app.request.crash", "fields": {"number": number}})
                if answer.begun:
                    raise  # the server closes the connection: half an answer must not look whole
                return self._problems.answer(request, 500)
        return self._problems.answer(request, 413, headers={"Connection": "close"}) if body.over else None


class _Body:
    """Receives a request's body up to a limit; beyond it the application sees the client gone."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._seen = 0
        self.most = most
        self.over = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self.most:
                self.over = True
                return {"type": "http.disconnect"}
        return message


class _Answer:
    """Sends an answer with the headers of the house; drops what the application says to a body it could not read."""

    def __init__(self, send: Send, headers: dict[str, str], body: _Body) -> None:
        self._send = send
        self._headers = headers
        self._body = body
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if self._body.over and not self.begun:
            return
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)


def _most_bytes(request: Request) -> int:
    is_form = request.headers.get("content-type", "").lower().startswith(_FORMS)
    return MAX_FORM_BYTES if is_form else MAX_DOCUMENT_BYTES


def _host(header: str) -> str:
    """Return the host of a Host header without its port, lower case; "" when it is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _from_elsewhere(request: Request) -> bool:
    """Tell whether a browser says that another site makes this request; what is no browser says nothing."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        theirs = urlsplit(origin)
        return theirs.netloc.lower() != request.headers.get("host", "").lower()
    except ValueError:
        return True
