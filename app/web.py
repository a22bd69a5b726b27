"""The web application: joins the rooms' pages to one site, and serves it.

What belongs to a room comes from its router; here is only what all share: pools, pages, sign-in, errors, static files,
health. `create_app` builds it from settings alone, `serve` runs it in this process until asked to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, Response

from hanlu.alerts import console
from hanlu.app.account import me_router, session_router
from hanlu.app.auth import Auth
from hanlu.app.embedded.node import fetched_packages
from hanlu.app.figures import CountedRequests
from hanlu.app.front import SummaryReader, front_router
from hanlu.app.guard import Guard
from hanlu.app.metrics import metrics_router
from hanlu.app.pages import HtmlPages
from hanlu.app.people_pages import people_router
from hanlu.app.problems import Problems
from hanlu.app.settings import Settings
from hanlu.app.wiring import broker_door, broker_place, broker_questions, database_url, trace_config
from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import TransientError, UsageError
from hanlu.db.pool import Pool, open_pool, translated
from hanlu.ingest import letter_pages
from hanlu.ingest.history import api as readings_api
from hanlu.registry import approval_pages, broker_api, enrol_api, gateway_pages
from hanlu.registry.audit import Audit
from hanlu.registry.passwords import Passwords
from hanlu.registry.people import People
from hanlu.registry.signin import SignIn
from hanlu.registry.store import Registry
from hanlu.registry.web import RoomWeb
from hanlu.trace import capture_api, pages
from hanlu.trace.label import qr

__all__ = ["ROOM_ROUTERS", "create_app", "serve"]

ROOM_ROUTERS: Final = (
    ("registry", enrol_api.router),
    ("registry", broker_api.router),
    ("registry", gateway_pages.router),
    ("registry", approval_pages.router),
    ("reader", readings_api.router),
    ("ingest", letter_pages.router),
    ("alerts", console.router),
    ("trace", pages.router),
    ("trace", capture_api.router),
)
"""What the rooms bring: room, and the function that makes its routes. The reader is ingest's, but can only look."""

POOL_SIZE: Final = {"registry": 6, "alerts": 8, "trace": 8, "reader": 4, "ingest": 2}
"""Connections at most, by room."""

CHART_SCRIPT: Final = "vendor/uPlot.iife.min.js"
"""What the console draws live trends with, as a static file."""

GZIP_LEVEL: Final = 5
"""Pages are small and made for one reader: a higher level costs more than it saves."""

GRACEFUL_STOP_S: Final = 2
"""Seconds running answers get to end by themselves; live streams never would, their browsers come back."""

KEEP_ALIVE_S: Final = 15
"""Seconds an idle connection is kept for the next request."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """What every part of the site is built from."""

    pools: Mapping[str, Pool]
    clock: Clock
    renderer: HtmlPages
    problems: Problems
    auth: Auth
    people: People
    audit: Audit
    stopping: threading.Event


def create_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    passwords: Passwords | None = None,
    stopping: threading.Event | None = None,
) -> FastAPI:
    """Return the application; its pools open now and close when it ends.

    Args:
        settings: of the whole program; needs `database.url`.
        clock: the machine's without one.
        passwords: hasher with other parameters than the defaults, for tests.
        stopping: set when the site is about to end, so that live streams end first.

    Raises:
        UsageError: no database is named.
    """
    shared = _shared(settings, clock or SystemClock(), passwords, stopping or threading.Event())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for pool in shared.pools.values():
            await run_in_threadpool(pool.close)

    app = FastAPI(title="Hanlu", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan)
    shared.problems.install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=GZIP_LEVEL)
    app.add_middleware(CountedRequests)
    app.add_middleware(Guard, problems=shared.problems, hosts=_hosts(settings), secure=_secure(settings))
    _mount(app, settings, shared)
    return app


def _shared(settings: Settings, clock: Clock, passwords: Passwords | None, stopping: threading.Event) -> _Shared:
    url = database_url(settings)
    pools = {
        room: open_pool(url, f"hanlu_{room}", name=f"hanlu web {room}", max_size=size)
        for room, size in POOL_SIZE.items()
    }
    passwords = passwords or Passwords(at_once=settings.signin.hashing_at_once)
    audit = Audit(pools["registry"], clock)
    renderer = HtmlPages(clock=clock, secure=_secure(settings), vendor=_chart_library())
    sessions = SignIn(pools["registry"], clock, settings.signin, passwords, audit)
    return _Shared(
        pools=pools,
        clock=clock,
        renderer=renderer,
        problems=Problems(renderer),
        auth=Auth(sessions, audit, clock, secure=_secure(settings)),
        people=People(pools["registry"], clock, passwords, audit),
        audit=audit,
        stopping=stopping,
    )


def _mount(app: FastAPI, settings: Settings, shared: _Shared) -> None:
    pools, renderer, auth = shared.pools, shared.renderer, shared.auth
    app.include_router(_service_router(renderer, pools), include_in_schema=False)
    metrics = metrics_router(
        pools, settings.metrics.token, settings.metrics.shared_folder, proxied=settings.web.public_url is not None
    )
    app.include_router(metrics, include_in_schema=False)
    summary = SummaryReader(pools["alerts"], pools["trace"], shared.clock)
    app.include_router(front_router(renderer, auth, summary, pools["trace"]), include_in_schema=False)
    app.include_router(session_router(renderer, auth), include_in_schema=False)
    app.include_router(me_router(renderer, auth, shared.people), include_in_schema=False)
    registry = Registry(pools["registry"])
    app.include_router(people_router(renderer, auth, shared.people, registry), include_in_schema=False)
    options = _options(settings, shared)
    for room, router in ROOM_ROUTERS:
        web = RoomWeb(
            pool=pools[room],
            clock=shared.clock,
            pages=renderer,
            require=auth.require,
            audit=shared.audit.write,
            public_url=settings.web.base_url,
            options=options[room],
        )
        app.include_router(router(web))


def _service_router(renderer: HtmlPages, pools: Mapping[str, Pool]) -> APIRouter:
    """Return static files and health: what is asked often and needs nobody signed in."""
    router = APIRouter()

    async def static(request: Request) -> Response:
        return renderer.static.respond(request, request.path_params["path"])

    async def icon(request: Request) -> Response:
        return renderer.static.respond(request, "app/logo.svg")

    # Plain routes: the framework's own would cost more than the answer (facts of serving: 3.5 times).
    router.add_route("/static/{path:path}", static, methods=["GET"])
    router.add_route("/favicon.ico", icon, methods=["GET"])

    @router.get("/healthz")
    async def alive() -> Response:
        return PlainTextResponse("ok\n")

    @router.get("/readyz")
    async def ready() -> Response:
        await run_in_threadpool(_demand_database, pools)
        return PlainTextResponse("ready\n")

    return router


def _demand_database(pools: Mapping[str, Pool]) -> None:
    """Ask the database through every pool.

    Raises:
        TransientError: it does not answer.
    """
    for room, pool in pools.items():
        with translated(), pool.connection(timeout=2.0) as connection:
            row = connection.execute("SELECT to_regclass('registry.level_name')").fetchone()
        if row is None or row[0] is None:
            raise TransientError(f"the database of {room} is not set up: run `hanlu setup`")


def _options(settings: Settings, shared: _Shared) -> Mapping[str, Mapping[str, Any]]:
    """Return what each room is told beside the common things; each documents its own in its config.py."""
    trace = trace_config(settings)
    return {
        "registry": {
            "door": broker_door(settings),
            "broker": broker_place(settings),
            "questions": broker_questions(settings),
            "enrolment": settings.enrolment,
            "signin": settings.signin,
            "qr": qr.svg,
        },
        "reader": {},
        "ingest": {"database_url": database_url(settings)},
        "alerts": {
            "uplot": CHART_SCRIPT in shared.renderer.static,
            "stopping": shared.stopping,
            "notify": settings.notify,
        },
        "trace": {"chain_url": trace.anchor.url, "capture": trace.capture, "curve": trace.curve},
    }


def _chart_library() -> Path | None:
    """Return the folder of uPlot's files where `hanlu up` has fetched them; without it trends are pictures."""
    packages = fetched_packages()
    folder = packages / "uplot" / "dist" if packages else None
    return folder if folder and folder.is_dir() else None


def _secure(settings: Settings) -> bool:
    return settings.web.base_url.startswith("https://")


def _hosts(settings: Settings) -> frozenset[str]:
    """Return the names we answer to; a page asked for by another name is somebody's trick (DNS rebinding)."""
    named = {urlsplit(settings.web.base_url).hostname or "", settings.web.host.lower()}
    return frozenset(named | {"127.0.0.1", "localhost", "::1"}) - {"", "0.0.0.0", "::"}  # noqa: S104 - taken out


class _Server(uvicorn.Server):
    """uvicorn under our own signals: it ends when `stop` is set, and says when it serves."""

    def __init__(self, config: uvicorn.Config, stop: threading.Event, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the role's frame."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Look at `stop` ten times a second, as often as uvicorn looks at itself."""
        self.should_exit = self.should_exit or self._stop.is_set()
        return await super().on_tick(counter)


def serve(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Serve the site at `web.host` and `web.port` until `stop` is set; return 0 for a good end.

    Raises:
        UsageError: the address cannot be listened on.
    """
    listener = _listener(settings.web.host, settings.web.port)
    config = uvicorn.Config(
        create_app(settings, stopping=stop),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Only behind a proxy on this machine does a header say who asks; in the open it would be anybody's word.
        proxy_headers=settings.web.public_url is not None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_STOP_S,
    )
    server = _Server(config, stop, ready)
    with listener, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve([listener]))
    return 0 if server.started else 1


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UsageError(f"web.host {host}, web.port {port}: {error.strerror}") from error
