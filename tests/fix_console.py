"""The console in the real look, on the small county, without sign-in: the person is whoever the test says."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fix_alerts import SCOPE, County
from fix_services import free_port
from starlette.responses import FileResponse

from hanlu.alerts.console import router
from hanlu.app.guard import Guard
from hanlu.app.pages import HtmlPages
from hanlu.app.problems import Problems
from hanlu.core.clock import SystemClock
from hanlu.core.errors import PermissionDeniedError
from hanlu.db.pool import open_pool
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb


def operator(scope: str = SCOPE, login: str = "li", roles: frozenset[Role] = frozenset({Role.OPERATOR})) -> Person:
    """Return somebody who is signed in."""
    return Person(1, login, "李操作", roles, scope, "the-csrf-token")


@dataclass(slots=True)
class Site:
    """The console's application.

    Attributes:
        app: to be served or asked directly.
        person: who is signed in; a test may change it.
        audit: what was written to the audit.
        stopping: set it to end the streams.
    """

    app: FastAPI
    person: Person = field(default_factory=operator)
    audit: list[tuple[Any, ...]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    options: dict[str, Any] = field(default_factory=dict)


@contextmanager
def console_site(county: County, **options: Any) -> Iterator[Site]:
    """Make the application over a county; `vendor` is a folder with uPlot's files."""
    vendor: Path | None = options.pop("vendor", None)
    site = Site(FastAPI())
    pages = HtmlPages(rooms=("app", "alerts"))
    problems = Problems(pages)
    problems.install(site.app)

    def require(*roles: Role) -> Callable[[Request], Person]:
        def signed_in(request: Request) -> Person:
            if not any(site.person.has(role) for role in roles):
                raise PermissionDeniedError("app.role")
            request.state.person = site.person
            return site.person

        return signed_in

    def audit(person_id: int | None, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        site.audit.append((person_id, action, subject, dict(detail)))

    pool = open_pool(county.url, "hanlu_alerts", name="test console", max_size=8)
    web = RoomWeb(
        pool=pool,
        clock=SystemClock(),
        pages=pages,
        require=require,
        audit=audit,
        public_url="http://127.0.0.1",
        options={"stopping": site.stopping, "uplot": vendor is not None, **options},
    )
    if vendor is not None:

        @site.app.get("/static/vendor/{name}")
        def vendor_file(name: str) -> FileResponse:
            return FileResponse(vendor / name)

    site.app.add_route(
        "/static/{path:path}", lambda request: pages.static.respond(request, request.path_params["path"])
    )
    site.app.include_router(router(web))
    site.app.add_middleware(Guard, problems=problems, hosts={"127.0.0.1", "testserver"}, secure=False)
    try:
        yield site
    finally:
        site.stopping.set()
        pool.close()


@contextmanager
def served(site: Site) -> Iterator[str]:
    """Serve an application on a free port of this machine and yield its address."""
    port = free_port()
    config = uvicorn.Config(site.app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        site.stopping.set()
        server.should_exit = True
        thread.join(10)


class Line:
    """A line to a server that can fall silent, as radio does: connections stay, nothing passes."""

    def __init__(self, address: str) -> None:
        """Stand before the server at `address`."""
        self._target = urlsplit(address)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passes = threading.Event()
        self._passes.set()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        """Where to reach the server through the line."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def fall_silent(self) -> None:
        """Let nothing pass any more."""
        self._passes.clear()

    def come_back(self) -> None:
        """Let everything pass again."""
        self._passes.set()

    def close(self) -> None:
        """Take the line down, and what hangs on it."""
        self._over.set()
        for each in self._threads:
            each.join(5)

    def _accept(self) -> None:
        with self._listener:
            while not self._over.is_set():
                if select.select([self._listener], [], [], 0.05)[0]:
                    thread = threading.Thread(target=self._carry, args=(self._listener.accept()[0],))
                    thread.start()
                    self._threads.append(thread)

    def _carry(self, near: socket.socket) -> None:
        """Carry one connection's bytes both ways until either side closes it."""
        with near, socket.create_connection((self._target.hostname, self._target.port)) as far, suppress(OSError):
            while not self._over.is_set():
                if not self._passes.wait(0.05):
                    continue
                for source in select.select([near, far], [], [], 0.05)[0]:
                    data = source.recv(65_536)
                    if not data:
                        return
                    (far if source is near else near).sendall(data)


def put_alarm(county: County, channel: int, kind: str, state: str, **more: object) -> int:
    """Write an alarm of a channel with its first journal entry, as the engine might have some minutes ago.

    Args:
        county: where.
        channel: whose.
        kind: of alarm.
        state: process state.
        more: priority, suppression, hold, ago (minutes), explained_by, respond (minutes from now), rule, cause, by.
    """
    what = {
        "priority": 2, "suppression": "NONE", "hold": None, "ago": 10, "explained_by": None, "respond": None,
        "rule": None, "cause": "unknown", "by": None,
    } | more  # fmt: skip
    [(alarm_id,)] = county.query(
        "WITH made AS (INSERT INTO alerts.alarm (channel_id, kind, priority, process_state, suppression_state,"
        " hold_reason, exceeded_at, raised_at, detected_at, explained_by, respond_by, rule_code, rule_version, cause,"
        " acknowledged_by, peak, limit_value) VALUES (%s, %s, %s, %s, %s, %s, now() - %s * interval '1 minute',"
        " now() - %s * interval '1 minute', now(), %s, now() + %s * interval '1 minute', %s, 1, %s, %s, 9.5, 8)"
        " RETURNING alarm_id), told AS (INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state,"
        " actor, value) SELECT alarm_id, 1, now(), 'raise', 'NORMAL', %s, 'engine', 9.5 FROM made RETURNING alarm_id)"
        " SELECT alarm_id FROM told",
        channel, kind, what["priority"], state, what["suppression"], what["hold"], what["ago"], what["ago"],
        what["explained_by"], what["respond"], what["rule"], what["cause"], what["by"], state,
    )  # fmt: skip
    county.query("NOTIFY hanlu_alarm")
    return int(str(alarm_id))


@pytest.fixture
def console(county: County) -> Iterator[Site]:
    """The console over the county."""
    with console_site(county, stream_tick_s=0.5) as site:
        yield site
