"""What the web role counts about itself: requests, by route and status, and how long they took."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CountedRequests"]

_REQUESTS: Final = Counter("hanlu_http_requests", "Answers given.", ["method", "route", "status"])
_SECONDS: Final = Histogram(
    "hanlu_http_request_seconds", "Seconds to the first byte of the answer.", ["route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


class CountedRequests:
    """An ASGI layer that counts what passes."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = _route(scope)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                _REQUESTS.labels(method, route, str(message["status"])).inc()
                _SECONDS.labels(route).observe(time.perf_counter() - begun)
            await send(message)

        await self._app(scope, receive, counted)


def _route(scope: Scope) -> str:
    """Return the route's pattern: an address as asked for would make a series for each lot."""
    return str(getattr(scope.get("route"), "path", "") or "none")
