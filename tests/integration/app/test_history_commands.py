"""`hanlu export` and `hanlu retention` as an administrator types them, and the API behind the site's own sign-in."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fix_edge import Edge
from fix_ingest import Platform
from fix_site import Site

from hanlu.app.cli import main

pytestmark = pytest.mark.postgres

NAME = "gw-1/room-1/air_temperature"
CUSTODY = """
WITH e AS (SELECT set_config('session_replication_role', 'replica', false))
INSERT INTO trace.custody (lot_uri, from_at, to_at, location, event_id)
SELECT %s, now() - INTERVAL '30 days', now() - INTERVAL '27 days', 'https://id.gs1.org/414/6901234567892', 1 FROM e
"""
"""A lot's stay, without the event it follows from: only the stay matters here."""


@pytest.fixture
def typed(one_platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Type a command against a database with 60 days of one channel; returns the exit code."""
    one_platform.register(Edge(), ("room-1",))
    one_platform.execute(
        "INSERT INTO telemetry.reading (channel_id, observed_at, value)"
        " SELECT channel_id, at, 4.5 FROM registry.channel, generate_series(%s::timestamptz, %s, '1 hour') AS at"
        " WHERE metric = 'air_temperature'",
        datetime.now(tz=UTC) - timedelta(days=60),
        datetime.now(tz=UTC),
    )
    monkeypatch.setenv("HANLU_DATABASE__URL", one_platform.url)

    def type_(*words: str) -> int:
        return main([*words, "--data", str(tmp_path / "data")])

    return type_


class TestExport:
    @pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
    def test_file_is_written_whole(self, typed, tmp_path: Path, name: str, capsys) -> None:
        begin = str(round((datetime.now(tz=UTC) - timedelta(days=10)).timestamp() * 1000))
        assert typed("export", "--site", "store", "--from", begin, str(tmp_path / name)) == 0
        assert "240 rows of 3 channels" in capsys.readouterr().err
        assert [path.name for path in tmp_path.glob("out*")] == [name]
        if name.endswith("csv"):
            rows = list(csv.DictReader((tmp_path / name).read_text(encoding="utf-8").splitlines()))
            assert len(rows) == 240
            assert {row["channel"] for row in rows} == {NAME}

    def test_wrong_use_leaves_no_file(self, typed, tmp_path: Path, capsys) -> None:
        assert typed("export", "--site", "nowhere", str(tmp_path / "out.csv")) == 1
        assert typed("export", "--site", "store", str(tmp_path / "out.txt")) == 2
        assert typed("export", "--site", "store", "--from", "soon", str(tmp_path / "out.csv")) == 2
        assert typed("export", "--site", "store", str(tmp_path / "no" / "folder" / "out.csv")) == 2
        assert list(tmp_path.glob("out*")) == []


class TestRetention:
    def test_rule_plan_hold_run_and_release(self, typed, one_platform: Platform, capsys) -> None:
        count = "SELECT count(*) FROM telemetry.reading"
        before = one_platform.one(count)
        assert typed("retention", "run") == 0
        assert one_platform.one(count) == before, "by the rules one begins with, nothing is old enough"
        assert typed("retention", "rule", "--all", "--raw-days", "9", "--hour-days", "30", "--day-days", "forever") == 0
        assert typed(
            "retention", "hold", "--zone", "nowhere", "--from", "2020-01-01T00:00Z", "--reason", "x"
        ) == 1, "a hold that would hold nothing is a mistake"  # fmt: skip
        assert typed("retention", "hold", "--site", "store", "--from", "2020-01-01T00:00Z", "--reason", "claim 7") == 0
        assert "hold 1: 3 channels" in capsys.readouterr().out
        assert typed("retention", "run", "--by", "li") == 0
        assert one_platform.one(count) == before, "held"
        assert typed("retention", "release", "1") == 0
        assert typed("retention", "release", "1") == 1
        capsys.readouterr()
        assert typed("retention", "plan", "--json") == 0
        planned = json.loads(capsys.readouterr().out)["reading"]
        assert planned["chunks"] + planned["channels_row_by_row"] > 0
        assert one_platform.one(count) == before
        assert typed("retention", "run") == 0
        assert one_platform.one(count) < before / 2
        assert typed("retention", "hold") == 0
        assert "released" in capsys.readouterr().out
        assert one_platform.rows("SELECT run_by FROM telemetry.retention_run ORDER BY run_id")[1] == ("li",)

    @pytest.mark.parametrize(
        "words",
        [
            ["rule", "--raw-days", "9"],
            ["rule", "--raw-days", "9", "--hour-days", "8", "--day-days", "9"],
            ["hold", "--site", "store"],
            ["hold", "--reason", "x"],
            ["rule", "--arrival-days", "6"],
            ["rule", "--site", "store", "--arrival-days", "90"],
        ],
    )
    def test_half_a_command_changes_nothing(self, typed, one_platform: Platform, words: list[str]) -> None:
        assert typed("retention", *words) == 2
        assert one_platform.rows("SELECT kind, raw_days FROM telemetry.retention_rule") == [("all", 1096)]
        assert one_platform.one("SELECT count(*) FROM telemetry.legal_hold") == 0

    def test_arrivals_have_a_number_of_days_of_their_own(self, typed, one_platform: Platform, capsys) -> None:
        assert typed("retention", "rule") == 0
        assert capsys.readouterr().out.splitlines()[1].split() == [
            "all",
            "1,096",
            "d",
            "3,653",
            "d",
            "forever",
            "90",
            "d",
        ]
        assert typed("retention", "rule", "--arrival-days", "30") == 0
        assert typed("retention", "rule", "--raw-days", "9", "--hour-days", "9", "--day-days", "9") == 0
        assert one_platform.one("SELECT arrival_days FROM telemetry.retention_rule") == 30, "another rule leaves it"
        assert typed("retention", "plan") == 0
        assert "arrival  before 20" in capsys.readouterr().out
        assert typed("retention", "rule", "--arrival-days", "forever") == 0
        assert one_platform.one("SELECT arrival_days FROM telemetry.retention_rule") is None

    def test_lot_is_held_where_and_while_it_stood_there(self, typed, one_platform: Platform, capsys) -> None:
        lot, unknown = "https://id.gs1.org/01/06912345678901/10/A1", "https://id.gs1.org/01/06912345678901/10/B2"
        one_platform.execute("UPDATE registry.site SET gln = '6901234567892' WHERE code = 'store'")
        one_platform.execute(CUSTODY, lot)
        words = ("--from", "2020-01-01T00:00Z", "--reason", "recall")
        assert typed("retention", "hold", "--lot", unknown, *words) == 1
        assert typed("retention", "hold", "--lot", lot, *words) == 0
        assert "1 channels" in capsys.readouterr().out
        ((metric, days),) = one_platform.rows(
            "SELECT metric, round(extract(epoch FROM h.to_at - h.from_at) / 86400)::integer FROM telemetry.held AS h"
            " JOIN registry.channel USING (channel_id)"
        )
        assert (metric, days) == ("air_temperature", 3)


class TestSite:
    def test_history_is_for_people_who_are_signed_in(self, site: Site) -> None:
        headers = {"Accept": "application/json"}
        assert site.client.get("/api/latest", headers=headers).status_code == 401
        site.enter("operator")
        answer = site.client.get("/api/latest", headers=headers).json()
        assert answer["channels"]
        channel = answer["channels"][0]["channel"]
        curve = site.client.get("/api/readings", params={"channel": channel, "points": 100}, headers=headers)
        assert curve.status_code == 200
        assert curve.json()["series"][0]["channel"] == channel
        assert site.client.get("/api/readings", params={"channel": "x"}, headers=headers).status_code == 400
        file = site.client.get("/api/readings/export", params={"channel": channel, "format": "csv"}, headers=headers)
        assert file.text.startswith("site,zone,channel,unit,observed_at,china_time,value,quality\r\n")
