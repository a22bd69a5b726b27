"""One HTTP connection of a pushing device: requests read within their limits, answered in JSON.

What a body means and where it goes is `driver/http_push.py`'s.
Source: RFC 9110 (15: status codes, 11.6: authentication), RFC 9112, RFC 6750 2.1 (bearer tokens), RFC 4918 11.5 (507).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

__all__ = ["Answer", "HttpRequest", "Post", "PostServer"]

_logger = logging.getLogger(__name__)

_RETRY_AFTER_S: Final = 5
"""What a device that comes at a bad time is told to wait, seconds."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request, its body complete.

    Attributes:
        device_id: the one path segment, decoded.
        content_type: media type in lower case without parameters; empty: none given.
        body: as sent.
    """

    device_id: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        status: HTTP status.
        document: the JSON body; an error has `error` and `detail`.
    """

    status: HTTPStatus
    document: dict[str, Any] = field(default_factory=dict)


class PostServer(Protocol):
    """What a request needs of its server."""

    max_body: int

    def knows(self, device_id: str, token: str) -> bool:
        """Tell whether this is the device's token."""
        ...

    def take(self, post: Post) -> Answer:
        """Return the answer to a request that is signed in."""
        ...

    def begins(self, request: HttpRequest) -> bool:
        """Give the connection time for one more request; False: no more requests."""
        ...

    def count(self, name: str) -> None:
        """Count an answer."""
        ...


class HttpRequest(BaseHTTPRequestHandler):
    """Serves one connection, request after request; runs in its constructor, as the standard library has it."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hanlu", ""
    server: PostServer  # type: ignore[assignment]  # ours takes no part in the standard library's server

    def handle_one_request(self) -> None:
        """Serve the next request, unless the server ends."""
        if self.server.begins(self):
            super().handle_one_request()
        else:
            self.close_connection = True

    def do_POST(self) -> None:
        """Take what a device pushes."""
        self._answer(self._outcome())

    def do_GET(self) -> None:
        """Say that there is nothing to get."""
        self._answer(self._closing(HTTPStatus.METHOD_NOT_ALLOWED, "POST readings to /{device}"))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that cannot be parsed."""
        del explain
        self.close_connection = True
        self._answer(_refusal(HTTPStatus(code), message or HTTPStatus(code).phrase))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Keep the standard library off standard error; answers are counted."""
        _logger.debug(format, *args)

    def _outcome(self) -> Answer:
        """Check in the order of cost: the path, the length, the token, and only then read the body."""
        path = urlsplit(self.path).path
        device_id = unquote(path[1:], errors="replace")
        if not device_id or "/" in device_id:
            return self._closing(HTTPStatus.NOT_FOUND, "POST readings to /{device}")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            return self._closing(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed, without chunks")
        if len(length) > 12 or int(length) > self.server.max_body:
            return self._closing(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self.server.max_body} bytes")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.server.knows(device_id, token.strip()):
            return self._closing(HTTPStatus.UNAUTHORIZED, "unknown device or wrong bearer token")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return self._closing(HTTPStatus.BAD_REQUEST, "the body ended early")
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return self.server.take(Post(device_id, content_type, body))

    def _closing(self, status: HTTPStatus, detail: str) -> Answer:
        """Refuse and end the connection: its body stays unread, and what follows would be taken for a request."""
        self.close_connection = True
        return _refusal(status, detail)

    def _answer(self, answer: Answer) -> None:
        self.server.count(f"http_{answer.status.value}")
        body = json.dumps(answer.document, ensure_ascii=False).encode() + b"\n"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if answer.status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", str(_RETRY_AFTER_S))
        if answer.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "POST")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _refusal(status: HTTPStatus, detail: str) -> Answer:
    return Answer(status, {"error": status.name.lower(), "detail": detail})
