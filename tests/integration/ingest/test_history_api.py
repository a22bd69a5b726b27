"""Questions about the past over HTTP: what a person is shown, what is refused, and files that say the same."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from fix_edge import Edge
from fix_ingest import Platform
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.testclient import TestClient

from hanlu.app.problems import status_of
from hanlu.core.clock import ManualClock, from_ms
from hanlu.core.errors import HanluError
from hanlu.db.pool import open_pool
from hanlu.ingest.history import api
from hanlu.ingest.history.export import export, harmless
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

pytestmark = pytest.mark.postgres

MIDNIGHT_MS = 1_772_294_400_000
"""2026-03-01T00:00 in China."""
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
SPIKE_MS = MIDNIGHT_MS + 30 * HOUR_MS + 17 * MINUTE_MS


@dataclass
class Site:
    """The API over a database with three days of one room, one reading a minute."""

    platform: Platform
    client: TestClient
    web: RoomWeb
    channels: dict[str, int]
    audited: list[tuple[Any, ...]]
    scope: str = "/1/"

    def ask(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.client.get(f"/api/{path}", params=named(query))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def status(self, path: str, **query: Any) -> int:
        return int(self.client.get(f"/api/{path}", params=named(query)).status_code)


def named(query: Mapping[str, Any]) -> dict[str, Any]:
    return {"from" if name == "begin" else name: value for name, value in query.items()}


def wave(minute: int) -> float:
    return round(-18 + (minute % 97) / 50, 2)


@pytest.fixture(scope="module")
def stocked(postgres_url: str) -> Iterator[Platform]:
    from fix_ingest import fresh_platform

    with fresh_platform(postgres_url) as platform:
        platform.register(Edge(), ("room-1",))
        platform.execute(
            "INSERT INTO registry.organisation (organisation_id, parent_id, level, code, name_zh, name_en, path)"
            " OVERRIDING SYSTEM VALUE SELECT 7, 1, level, 'other', '别', 'other', '/1/7/' FROM registry.level_name"
            " WHERE false"
        )
        channel_id = platform.one("SELECT channel_id FROM registry.channel WHERE metric = 'air_temperature'")
        rows = [
            (channel_id, from_ms(MIDNIGHT_MS + minute * MINUTE_MS), wave(minute), 0)
            for minute in range(3 * 1440)
            if not 600 <= minute < 660  # an hour without readings
        ]
        rows = [row if row[1] != from_ms(SPIKE_MS) else (*row[:2], 9.5, 1) for row in rows]
        rows.append((channel_id, from_ms(MIDNIGHT_MS + 1), 85.0, 2))
        with psycopg.connect(platform.url) as connection:
            connection.cursor().executemany("INSERT INTO telemetry.reading VALUES (%s, %s, %s, %s)", rows)
            connection.execute(
                "INSERT INTO telemetry.hour_due SELECT DISTINCT channel_id, date_bin('1 hour', observed_at, 'epoch'),"
                " now() FROM telemetry.reading"
            )
            connection.execute(
                "INSERT INTO telemetry.latest VALUES (%s, %s, %s, %s, 0)",
                (channel_id, rows[-2][1], rows[-2][1], rows[-2][2]),
            )
        yield platform


@pytest.fixture(scope="module")
def opened(stocked: Platform) -> Iterator[Site]:
    from fastapi import FastAPI
    from starlette.responses import JSONResponse

    audited: list[tuple[Any, ...]] = []
    site: Site

    def require(*roles: Role) -> Any:
        assert set(roles) == {Role.OPERATOR, Role.INSPECTOR}

        def signed_in(request: Request) -> Person:
            return Person(1, "li", "Li", frozenset({Role.OPERATOR}), site.scope, "x")

        return signed_in

    def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HanluError)
        return JSONResponse({"detail": str(error)}, status_of(error))

    pool = open_pool(stocked.url, "hanlu_reader", name="test reader", max_size=3)
    clock = ManualClock(MIDNIGHT_MS + 72 * HOUR_MS)
    web = RoomWeb(pool, clock, None, require, lambda *each: audited.append(each), "http://x")  # type: ignore[arg-type]
    app = FastAPI()
    app.include_router(api.router(web))
    app.add_exception_handler(HanluError, ours)
    with TestClient(app) as client:
        rows = stocked.rows("SELECT metric, channel_id FROM registry.channel")
        site = Site(stocked, client, web, dict(rows), audited)
        yield site
    pool.close()


@pytest.fixture
def site(opened: Site) -> Iterator[Site]:
    opened.scope = "/1/"
    opened.audited.clear()
    yield opened
    opened.scope = "/1/"


NAME = "gw-1/room-1/air_temperature"
DAY = {"begin": MIDNIGHT_MS, "to": MIDNIGHT_MS + 24 * HOUR_MS}
ALL = {"begin": MIDNIGHT_MS, "to": MIDNIGHT_MS + 72 * HOUR_MS}


class TestPictures:
    def test_short_span_shows_readings_with_their_holes_and_without_bad_ones(self, site: Site) -> None:
        answer = site.ask("readings", channel=NAME, points=5000, **DAY)
        (series,) = answer["series"]
        assert (answer["resolution"], answer["next"]) == ("raw", None)
        assert len(series["t"]) == len(series["v"]) == len(series["q"]) == 1380
        assert series["holes"] == [[MIDNIGHT_MS + 599 * MINUTE_MS, MIDNIGHT_MS + 660 * MINUTE_MS]]
        assert series["left_out_bad"] == 1
        assert 85.0 not in series["v"]
        assert (series["unit"], series["site"], series["channel"]) == ("Cel", "store", NAME)

    @pytest.mark.parametrize("points", [4, 40, 400])
    def test_thinned_curve_keeps_the_excursion_of_a_minute(self, site: Site, points: int) -> None:
        (series,) = site.ask("readings", channel=NAME, points=points, **ALL)["series"]
        assert len(series["t"]) <= points
        assert series["t"] == sorted(series["t"])
        assert max(series["v"]) == 9.5
        assert series["q"][series["v"].index(9.5)] == 1
        assert min(series["v"]) == -18.0

    @pytest.mark.parametrize("resolution", ["hour", "day"])
    @pytest.mark.parametrize("points", [None, 1, 5])
    def test_roll_ups_say_the_same_before_they_are_rolled_up(
        self, site: Site, resolution: str, points: int | None
    ) -> None:
        query = {"channel": NAME, "resolution": resolution, **ALL} | ({"points": points} if points else {})
        (series,) = site.ask("readings", **query)["series"]
        assert max(series["greatest"]) == 9.5
        assert sum(series["readings"]) == 72 * 60 - 60
        assert (sum(series["bad"]), sum(series["uncertain"])) == (1, 1)
        assert sum(series["covered_s"]) == pytest.approx((72 * 60 - 1 - 61) * 60)
        assert series["last_ms"][-1] == MIDNIGHT_MS + 72 * HOUR_MS - MINUTE_MS
        if points is None:
            unit = HOUR_MS * (24 if resolution == "day" else 1)
            assert {b - a for a, b in pairwise(series["t"])} <= {unit, 2 * unit}
            assert series["t"][0] == MIDNIGHT_MS

    def test_long_span_shows_what_is_quick(self, site: Site) -> None:
        year = site.ask("readings", channel=NAME, points=300, begin=MIDNIGHT_MS - 365 * 24 * HOUR_MS, to=ALL["to"])
        assert year["resolution"] == "hour"
        assert max(year["series"][0]["greatest"]) == 9.5
        age = site.ask("readings", channel=NAME, points=300, begin=MIDNIGHT_MS - 9000 * 24 * HOUR_MS, to=ALL["to"])
        assert age["resolution"] == "day"
        assert sum(age["series"][0]["readings"]) == 72 * 60 - 60

    def test_several_channels_come_in_the_order_asked_for(self, site: Site) -> None:
        ids = [site.channels["door_open"], site.channels["air_temperature"]]
        answer = site.ask("readings", channel=[*ids, ids[0]], points=10, **DAY)
        assert [each["channel_id"] for each in answer["series"]] == ids
        assert answer["series"][0]["t"] == []

    def test_the_last_day_is_shown_where_nothing_is_said(self, site: Site) -> None:
        answer = site.ask("readings", channel=NAME)
        assert answer["to_ms"] - answer["from_ms"] == 24 * HOUR_MS
        assert len(answer["series"][0]["t"]) == 1440


class TestPages:
    def test_pages_hold_every_reading_once(self, site: Site) -> None:
        query = {"channel": [*site.channels.values()], "resolution": "raw", "limit": 777, **ALL}
        seen: list[int] = []
        after = None
        for _ in range(100):
            answer = site.ask("readings", **query, **({"after": after} if after else {}))
            page = [at for each in answer["series"] for at in each["t"]]
            assert len(page) <= 777
            seen += page
            after = answer["next"]
            if after is None:
                break
        assert len(seen) == len(set(seen)) == 72 * 60 - 60 + 1
        assert seen == sorted(seen)


class TestScope:
    def test_what_lies_elsewhere_is_not_there(self, site: Site) -> None:
        site.scope = "/1/7/"
        assert site.status("readings", channel=NAME) == 404
        assert site.status("readings", channel=site.channels["air_temperature"]) == 404
        assert site.status("readings/export", channel=NAME, format="csv") == 404
        assert site.ask("latest")["channels"] == []
        assert site.client.get("/api/readings/export", params={"site": "store", "format": "csv"}).text.count("\n") == 1

    def test_role_of_the_reader_writes_nothing(self, site: Site) -> None:
        with site.web.pool.connection() as connection:
            for statement in (
                "DELETE FROM telemetry.hourly",
                "INSERT INTO telemetry.hour_due VALUES (1, now(), now())",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(statement.encode())


class TestLatest:
    def test_newest_reading_and_silence_are_told(self, site: Site) -> None:
        channels = {each["metric"]: each for each in site.ask("latest", site="store")["channels"]}
        newest = channels["air_temperature"]
        assert (newest["value"], newest["quality"], newest["age_ms"]) == (wave(3 * 1440 - 1), 0, MINUTE_MS)
        assert channels["door_open"]["observed_ms"] is None

    def test_pages_hold_every_channel_once(self, site: Site) -> None:
        seen, after = [], 0
        while after is not None:
            answer = site.ask("latest", limit=2, after=after)
            seen += [each["channel_id"] for each in answer["channels"]]
            after = answer["next"]
        assert seen == sorted(site.channels.values())
        assert site.ask("latest", zone="nowhere")["channels"] == []
        assert [each["metric"] for each in site.ask("latest", channel=NAME)["channels"]] == ["air_temperature"]


class TestFiles:
    def test_csv_and_parquet_hold_every_reading(self, site: Site) -> None:
        query = named({"site": "store", **ALL})
        answer = site.client.get("/api/readings/export", params=query | {"format": "csv"})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
        stored = site.platform.rows("SELECT observed_at, value, quality FROM telemetry.reading ORDER BY observed_at")
        assert [(row["observed_at"], float(row["value"])) for row in rows] == [
            (at.isoformat(timespec="milliseconds")[:-6] + "Z", value) for at, value, _ in stored
        ]
        assert rows[0]["china_time"] == "2026-03-01 00:00:00.000"
        assert {row["quality"] for row in rows} == {"good", "uncertain", "bad"}
        assert {row["unit"] for row in rows} == {"Cel"}
        table = pq.read_table(
            io.BytesIO(site.client.get("/api/readings/export", params=query | {"format": "parquet"}).content)
        )
        assert table.column("observed_at").to_pylist() == [at for at, _, _ in stored]
        assert table.column("value").to_pylist() == [value for _, value, _ in stored]
        assert table.column("quality").to_pylist() == [quality for _, _, quality in stored]
        assert set(table.column("channel").to_pylist()) == {NAME}
        assert [each[1:3] for each in site.audited] == [("ingest.readings.export", "site store")] * 2

    @pytest.mark.parametrize("resolution", ["hour", "day"])
    def test_roll_ups_are_exported_too(self, site: Site, resolution: str) -> None:
        query = named({"channel": NAME, "resolution": resolution, **ALL})
        text = site.client.get("/api/readings/export", params=query | {"format": "csv", "bom": "true"}).content
        assert text.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))
        table = pq.read_table(
            io.BytesIO(site.client.get("/api/readings/export", params=query | {"format": "parquet"}).content)
        )
        assert [float(row["greatest"]) for row in rows] == table.column("greatest").to_pylist()
        assert max(table.column("greatest").to_pylist()) == 9.5
        assert sum(table.column("readings").to_pylist()) == 72 * 60 - 60

    def test_nothing_in_the_span_is_a_file_with_its_head_only(self, site: Site) -> None:
        query = {"channel": NAME, "from": "1000", "to": "2000"}
        assert site.client.get("/api/readings/export", params=query | {"format": "csv"}).content.count(b"\r\n") == 1
        parquet = site.client.get("/api/readings/export", params=query | {"format": "parquet"}).content
        assert pq.read_table(io.BytesIO(parquet)).num_rows == 0

    def test_third_file_at_a_time_waits_and_one_nobody_reads_gives_its_place_back(self, site: Site) -> None:
        import threading

        slots = threading.BoundedSemaphore(api.EXPORTS_AT_ONCE)
        held = [api._Slot(slots) for _ in range(api.EXPORTS_AT_ONCE)]
        with pytest.raises(HanluError, match="being written"):
            api._Slot(slots)
        held.clear()
        with api._Slot(slots), api._Slot(slots):
            pass
        assert site.status("readings/export", channel=NAME, format="csv", **DAY) == 200

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
    def test_text_is_no_formula_in_a_spreadsheet(self, text: str) -> None:
        assert harmless(text) == f"'{text}"
        assert harmless("冷库") == "冷库"

    def test_memory_does_not_grow_with_the_file(self, site: Site) -> None:
        """What is yielded at a time stays the same however long the span: pages, never the whole."""
        from hanlu.ingest.history.export import Format
        from hanlu.ingest.history.plan import Resolution, Span
        from hanlu.ingest.history.read import Read

        class Endless(Read):
            def readings(self, channel_id, span, limit):  # type: ignore[no-untyped-def]
                from hanlu.ingest.history.read import Row

                return [Row(span.from_ms + each, 1.0, 0) for each in range(min(limit, span.to_ms - span.from_ms))]

        with site.web.pool.connection() as connection:
            channels = Read(connection, "/1/").named([NAME])
        for kind in Format:
            pieces = [
                len(each)
                for each in export(Endless(None, ""), channels, Span(0, 400_000), Resolution.RAW, kind)  # type: ignore[arg-type]
            ]
            assert len(pieces) > 5
            assert max(pieces) < 2_000_000


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("readings", {}),
            ("readings", {"channel": "x"}),
            ("readings", {"channel": "a/b"}),
            ("readings", {"channel": "99999999999"}),
            ("readings", {"channel": "1\x00"}),
            ("readings", {"channel": ["1"] * 51}),
            ("readings", {"channel": NAME, "from": "yesterday"}),
            ("readings", {"channel": NAME, "from": "2026-03-01"}),
            ("readings", {"channel": NAME, "from": "2000", "to": "1000"}),
            ("readings", {"channel": NAME, "to": "99999999999999999999"}),
            ("readings", {"channel": NAME, "points": "0"}),
            ("readings", {"channel": NAME, "points": "1e9"}),
            ("readings", {"channel": NAME, "resolution": "minute"}),
            ("readings", {"channel": NAME, "after": "1.1"}),
            ("readings", {"channel": NAME, "resolution": "raw", "after": "x"}),
            ("readings", {"channel": NAME, "resolution": "hour", "from": "0"}),
            ("latest", {"limit": "0"}),
            ("latest", {"after": "-1"}),
            ("latest", {"site": "\x00"}),
            ("latest", {"site": "store", "channel": NAME}),
            ("readings/export", {"channel": NAME}),
            ("readings/export", {"channel": NAME, "format": "xlsx"}),
            ("readings/export", {"format": "csv"}),
            ("readings/export", {"format": "csv", "site": "store", "zone": "x"}),
        ],
    )
    def test_question_that_makes_no_sense_is_the_askers_mistake(
        self, site: Site, path: str, query: dict[str, Any]
    ) -> None:
        assert site.client.get(f"/api/{path}", params=query).status_code in (400, 422)

    def test_channel_that_is_not_there_is_not_found(self, site: Site) -> None:
        assert site.status("readings", channel="2147483647") == 404
        assert site.status("readings", channel="gw-1/room-1/nothing") == 404

    def test_whatever_is_asked_is_answered_or_refused(self, site: Site) -> None:
        """Fill every parameter of the description with sense and nonsense: never an answer of the 500 kind."""
        paths = site.client.get("/openapi.json").json()["paths"]
        values = st.one_of(
            st.sampled_from(
                ["", "0", "-1", "1", NAME, "store", "raw", "day", "csv", "parquet", "true", "1.5", "NaN", "null", "%00",
                 "2026-03-01T00:00:00Z", "2026-03-01T00:00:00+08:00", str(MIDNIGHT_MS), "9" * 18, "7.1772294400000"]
            ),
            st.text(max_size=30),
        )  # fmt: skip

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.data())
        def ask(data: st.DataObject) -> None:
            path = data.draw(st.sampled_from(sorted(path for path in paths if path.startswith("/api/"))))
            names = [each["name"] for each in paths[path]["get"]["parameters"]]
            query = data.draw(st.dictionaries(st.sampled_from(names), values, max_size=5))
            status = site.client.get(path, params=query).status_code
            assert status in (200, 400, 404, 422), query

        ask()

    def test_description_names_every_parameter(self, site: Site) -> None:
        paths = site.client.get("/openapi.json").json()["paths"]
        assert {"/api/readings", "/api/latest", "/api/readings/export"} <= set(paths)
        for path in paths.values():
            for parameter in path["get"]["parameters"]:
                assert re.search(r"\w", parameter.get("description") or parameter["schema"].get("description", "")), (
                    json.dumps(parameter)
                )
