"""The whole web application over a fresh register: in this process for most tests, under uvicorn for browsers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hanlu.app.settings import Settings

if TYPE_CHECKING:
    from fix_register import Register, Template
    from starlette.testclient import TestClient

BROWSER = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": "zh-CN"}
"""What a browser of a Chinese reader says."""


@dataclass(frozen=True, slots=True)
class Site:
    """The application in this process, as a browser that keeps cookies.

    Attributes:
        client: the browser; its headers ask for pages in Chinese.
        register: the database behind it, on the same clock.
    """

    client: TestClient
    register: Register

    def enter(self, login: str) -> None:
        """Sign one of the first people in, by the form."""
        answer = self.client.post("/signin", data={"login": login, "password": self.register.passwords[login]})
        assert answer.status_code == 303, answer.text

    def token(self) -> str:
        """Return the request token of the signed-in person, from a page."""
        return self.client.get("/me").text.split('name="csrf" content="')[1].split('"')[0]


@dataclass(frozen=True, slots=True)
class ServedSite:
    """The application under uvicorn.

    Attributes:
        url: where it is.
        passwords: of the first people.
        stop: set to end it.
        thread: it runs in.
    """

    url: str
    passwords: dict[str, str]
    stop: threading.Event
    thread: threading.Thread


@pytest.fixture
def site(register: Register) -> Iterator[Site]:
    """The application over the test's own register, on the test's clock."""
    from fix_register import QUICK
    from starlette.testclient import TestClient

    from hanlu.app.web import create_app
    from hanlu.registry.passwords import Passwords

    app = create_app(settings_of(register.url), clock=register.clock, passwords=Passwords(**QUICK))
    with TestClient(app, base_url="http://127.0.0.1:8077", headers=BROWSER, follow_redirects=False) as client:
        yield Site(client, register)


@pytest.fixture
def served_site(register_url: str, register_template: Template, tmp_path: Path) -> Iterator[ServedSite]:
    """The application as `hanlu up` runs it, on a free port."""
    from fix_services import free_port

    from hanlu.app.web import serve

    settings = settings_of(register_url).with_values(web={"port": free_port()}, data={"folder": tmp_path})
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(settings, stop, ready.set), name="site", daemon=True)
    thread.start()
    assert ready.wait(20), "the site did not start"
    yield ServedSite(settings.web.base_url, register_template.passwords, stop, thread)
    stop.set()
    thread.join(10)
    assert not thread.is_alive(), "the site did not stop"


def settings_of(database_url: str) -> Settings:
    """Return settings of a site over a database, without a chain."""
    return Settings().with_values(database={"url": database_url}, chain={"enabled": False})
