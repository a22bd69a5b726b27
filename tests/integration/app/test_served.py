"""The site under uvicorn: it says when it serves, stops in time whoever is connected, and refuses a taken port."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fix_site import ServedSite, settings_of

from hanlu.app import web
from hanlu.core.errors import UsageError

pytestmark = pytest.mark.postgres

STOP_DEADLINE_S = web.GRACEFUL_STOP_S + 3


def connect(site: ServedSite) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=10)


def test_it_answers_with_nothing_about_the_server(served_site: ServedSite):
    connection = connect(served_site)
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"ok\n")
    assert answer.getheader("Server") is None
    connection.close()


def test_an_idle_connection_does_not_hold_up_the_end(served_site: ServedSite):
    connection = connect(served_site)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    begun = time.monotonic()
    served_site.stop.set()
    served_site.thread.join(STOP_DEADLINE_S)
    assert not served_site.thread.is_alive()
    assert time.monotonic() - begun < STOP_DEADLINE_S
    connection.close()


def test_a_live_stream_does_not_hold_up_the_end(register_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from fix_services import free_port
    from starlette.responses import StreamingResponse

    create_app = web.create_app

    def with_stream(settings: object, **more: object) -> object:
        app = create_app(settings, **more)

        @app.get("/endless")
        def endless() -> StreamingResponse:
            def ticks() -> Iterator[bytes]:
                while True:
                    yield b"data: tick\n\n"
                    time.sleep(0.1)

            return StreamingResponse(ticks(), media_type="text/event-stream")

        return app

    monkeypatch.setattr(web, "create_app", with_stream)
    settings = settings_of(register_url).with_values(web={"port": free_port()}, data={"folder": tmp_path})
    stop, ready = threading.Event(), threading.Event()
    status: list[int] = []
    thread = threading.Thread(target=lambda: status.append(web.serve(settings, stop, ready.set)), daemon=True)
    thread.start()
    assert ready.wait(20)
    connection = http.client.HTTPConnection("127.0.0.1", settings.web.port, timeout=10)
    connection.request("GET", "/endless", headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    assert answer.getheader("Content-Encoding") is None, "a compressor would keep events back"
    assert answer.read(12) == b"data: tick\n\n"
    stop.set()
    thread.join(STOP_DEADLINE_S)
    assert not thread.is_alive()
    assert status == [0]
    connection.close()


def test_a_taken_port_is_named(register_url: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = settings_of(register_url).with_values(web={"port": port})
        with pytest.raises(UsageError, match=str(port)):
            web.serve(settings, threading.Event(), lambda: None)
