"""The demo county with one lot whose way is done: events, readings, log; a copy for each test, and the site over it."""

from __future__ import annotations

import html.parser
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from fix_page import HARVEST_MS, demo_events
from psycopg import sql
from psycopg.conninfo import make_conninfo

from hanlu.core.clock import ManualClock, from_ms
from hanlu.db.pool import Connection, connect
from hanlu.firmware_sim.journey import lots
from hanlu.firmware_sim.physics.scanner import EPCIS_CONTEXT, EXTENSION_NAMESPACE
from hanlu.trace.capture import capture_document
from hanlu.trace.config import CaptureConfig, CurveConfig
from hanlu.trace.log.inception import create_log, log_key
from hanlu.trace.log.sequencer import append

if TYPE_CHECKING:
    from fix_register import Template
    from fix_site import Site

HOUR_MS = 3_600_000
NOW_MS = HARVEST_MS + 36 * HOUR_MS
"""Six hours after the first boxes were sold, Unix milliseconds."""
CURVE = CurveConfig(settle_s=0, grace_s=0)
LOT = lots(HARVEST_MS).packed
LOT_PATH = LOT.removeprefix("https://id.gs1.org")

_READINGS = """
INSERT INTO telemetry.reading (channel_id, observed_at, value)
SELECT c.channel_id, t, round((2 + c.channel_id %% 3 + 1.5 * sin(extract(epoch FROM t) / 900))::numeric, 1)
FROM registry.channel_v AS c
CROSS JOIN generate_series(%(begin)s::timestamptz, %(end)s::timestamptz, INTERVAL '1 minute') AS t
WHERE c.metric IN ('air_temperature', 'product_temperature');
INSERT INTO telemetry.latest (channel_id, observed_at, received_at, value)
SELECT channel_id, max(observed_at), max(observed_at), 2 FROM telemetry.reading GROUP BY channel_id
"""


@dataclass(slots=True)
class LotSite:
    """The site with the demo lot in its database.

    Attributes:
        site: The application, as a browser.
        url: Of the database.
        key_folder: With the log's key.
    """

    site: Site
    url: str
    key_folder: Path

    def capture(self, *events: dict[str, Any]) -> None:
        """Capture further events."""
        with connect(self.url, "hanlu_trace", name="tests", autocommit=True) as connection:
            _capture(connection, list(events))

    def append(self) -> None:
        """Put what waits into the log."""
        with connect(self.url, "hanlu_trace", name="tests", autocommit=True) as connection:
            _append(connection, self.key_folder)

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as superuser and return its rows."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def lot_template(register_template: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The demo county with its lot, made once a session; its `keys` hold the log's key too."""
    from fix_register import Template

    name = f"lot_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(register_template.admin_url, autocommit=True) as admin:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        admin.execute(copy.format(sql.Identifier(name), sql.Identifier(register_template.name)))
    url = make_conninfo(register_template.admin_url, dbname=name)
    folder = tmp_path_factory.mktemp("lot")
    with psycopg.connect(url) as connection:
        values = {"begin": from_ms(HARVEST_MS - HOUR_MS), "end": from_ms(NOW_MS)}
        for statement in _READINGS.split(";"):
            connection.execute(statement, values if "%(" in statement else None)
    with connect(url, "hanlu_trace", name="tests", autocommit=True) as connection:
        create_log(connection, folder / "log.key", created_by="test", now_ms=NOW_MS, origin="hanlu.example/yanling")
        _capture(connection, demo_events())
        _append(connection, folder)
    return Template(register_template.admin_url, name, register_template.passwords, folder)


@pytest.fixture
def lot_url(lot_template: Template) -> Iterator[str]:
    """URL of a fresh copy; a test module that wants `lot_site` makes its `register_url` of it."""
    name = f"copy_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(lot_template.admin_url, autocommit=True) as admin:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        admin.execute(copy.format(sql.Identifier(name), sql.Identifier(lot_template.name)))
        yield make_conninfo(lot_template.admin_url, dbname=name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def lot_site(site: Site, lot_url: str, lot_template: Template) -> LotSite:
    """The site over a fresh copy of the county with its lot."""
    assert site.register.url == lot_url, "this test's module must make its register_url of lot_url"
    return LotSite(site, lot_url, lot_template.keys)


class _Parts(html.parser.HTMLParser):
    """Collects the text below each element that has an id or a digest."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.order: list[str] = []
        self._open: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"meta", "link", "img", "input", "br", "path", "rect", "circle"}:
            return
        values = dict(attrs)
        name = values.get("data-jcs") or values.get("id")
        if name is not None:
            self.texts[name] = ""
            if "data-jcs" in values:
                self.order.append(name)
        self._open.append(name)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "rect", "circle"}:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if "curve" in self._open:  # the drawing is no text
            return
        for name in self._open:
            if name is not None:
                self.texts[name] += "".join(data.split())


@dataclass(frozen=True, slots=True)
class PageText:
    """What a page says, without white space.

    Attributes:
        parts: Text of each element with an id, and of each event's line by its digest.
        order: Digests in the order of the page.
        data: What the page hands its script.
    """

    parts: dict[str, str]
    order: list[str]
    data: dict[str, Any]


def page_text(page: str) -> PageText:
    """Read a lot's page."""
    parser = _Parts()
    parser.feed(page)
    data = page.partition('id="page-data">')[2].partition("</script>")[0]
    return PageText(parser.texts, parser.order, json.loads(data))


def _capture(connection: Connection, events: list[dict[str, Any]]) -> None:
    document = {
        "@context": [EPCIS_CONTEXT, {"hanlu": EXTENSION_NAMESPACE}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-07-02T00:00:00Z",
        "epcisBody": {"eventList": events},
    }
    done = capture_document(
        connection,
        json.dumps(document).encode(),
        source="gateway:gw-zhongcun",
        evidence=1,
        now_ms=NOW_MS,
        capture=CaptureConfig(),
        curve=CURVE,
    )
    assert done.success, done.problems


def _append(connection: Connection, folder: Path) -> None:
    clock = ManualClock(NOW_MS)
    while (done := append(connection, log_key(folder / "log.key"), CURVE, clock, 1000)) is not None and done.leaves:
        pass
