"""Somebody with a browser at a running system: keeps cookies, reads pages in English, signs in by the form."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from fix_running import RunningHanlu

__all__ = ["Visitor", "table_rows", "text_of", "visiting"]

_PAGE = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": "en"}


class Visitor(httpx2.Client):
    """The browser; redirects are not followed, so that a test sees them."""

    def __init__(self, hanlu: RunningHanlu) -> None:
        super().__init__(base_url=hanlu.url, headers=_PAGE, follow_redirects=False, timeout=20.0)
        self._passwords = hanlu.passwords

    def try_password(self, login: str, password: str) -> httpx2.Response:
        """Send the sign-in form."""
        return self.post("/signin", data={"login": login, "password": password})

    def enter(self, login: str) -> None:
        """Sign one of the first people in."""
        answer = self.try_password(login, self._passwords[login])
        assert answer.status_code == 303, answer.text

    def token(self) -> str:
        """Return the request token of the signed-in person, from a page."""
        return self.get("/me").text.split('name="csrf" content="')[1].split('"')[0]


@contextmanager
def visiting(hanlu: RunningHanlu, login: str | None = None) -> Iterator[Visitor]:
    """Open a browser at the system, signed in as `login` where one is given."""
    with Visitor(hanlu) as visitor:
        if login is not None:
            visitor.enter(login)
        yield visitor


def text_of(page: str) -> str:
    """Return the words of a page or a part of one, blanks made single."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def table_rows(page: str) -> list[list[str]]:
    """Return the words of the cells of every table row of a page, in order."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[text_of(cell) for cell in re.findall(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", row, re.DOTALL)] for row in rows]
