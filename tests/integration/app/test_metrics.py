"""The figures for Prometheus: what they say, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from fix_site import Site, settings_of
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from hanlu.app.web import create_app

if TYPE_CHECKING:
    from fix_register import Register

pytestmark = pytest.mark.postgres

TOKEN = "a-token-of-a-scraper"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def scraped(register: Register) -> Iterator[TestClient]:
    settings = settings_of(register.url).with_values(metrics={"token": TOKEN})
    with TestClient(create_app(settings, clock=register.clock), base_url="http://127.0.0.1:8077") as client:
        yield client


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_gateway_has_its_account(scraped: TestClient, register: Register):
    with psycopg.connect(register.url) as connection:
        code, gateway_id = connection.execute("SELECT code, gateway_id FROM registry.gateway ORDER BY code").fetchone()
        connection.execute(
            "INSERT INTO telemetry.gateway_epoch (gateway_id, epoch, produced, stored, lost) VALUES (%s, %s, 12, 7, 2)",
            (gateway_id, bytes(16)),
        )
        connection.execute(
            "INSERT INTO telemetry.gap (gateway_id, epoch, from_seq, to_seq) VALUES (%s, %s, 3, 6)",
            (gateway_id, bytes(16)),
        )
        connection.commit()
    found = samples(scraped.get("/metrics", headers=BEARER).text)
    fates = {
        fate: found["hanlu_gateway_readings_total", (("fate", fate), ("gateway", code))]
        for fate in ("produced", "stored", "lost", "dead")
    }
    assert fates == {"produced": 12, "stored": 7, "lost": 2, "dead": 0}
    assert found["hanlu_gateway_outstanding_readings", (("gateway", code),)] == 3
    assert found["hanlu_gateway_missing_messages", (("gateway", code),)] == 4
    assert found["hanlu_up", (("part", "telemetry"),)] == 1
    assert found["hanlu_alarm_lag_seconds", ()] == 0
    assert found["hanlu_log_leaves", ()] == 0


def test_throttling_dead_letters_and_what_waits_to_be_rolled_up_are_told(scraped: TestClient, register: Register):
    with psycopg.connect(register.url) as connection:
        code, gateway_id = connection.execute("SELECT code, gateway_id FROM registry.gateway ORDER BY code").fetchone()
        connection.execute("INSERT INTO telemetry.throttled VALUES (%s, 12, now(), now())", (gateway_id,))
        for place, (gateway, reason) in enumerate(
            [(code, "malformed"), (code, "malformed"), ("invented-1", "malformed"), ("invented-2", "malformed")]
        ):
            connection.execute(
                "INSERT INTO telemetry.dead_letter (received_at, topic, gateway, reason, detail, body, body_sha256)"
                " VALUES (now(), 'a', %s, %s, '', '', %s)",
                (gateway, reason, bytes([place] * 32)),
            )
        connection.execute(
            "INSERT INTO telemetry.hour_due SELECT 1, h, h + INTERVAL '1 hour'"
            " FROM generate_series(now() - INTERVAL '3 hours', now(), '1 hour') AS h"
        )
        connection.commit()
    found = samples(scraped.get("/metrics", headers=BEARER).text)
    assert found["hanlu_gateway_throttled_messages_total", (("gateway", code),)] == 12
    assert found["hanlu_dead_letters", (("gateway", code), ("reason", "malformed"))] == 2
    assert found["hanlu_dead_letters", (("gateway", ""), ("reason", "malformed"))] == 2
    assert found["hanlu_rollup_due_hours", ()] == 3
    assert 7_200 <= found["hanlu_rollup_lag_seconds", ()] < 7_300
    assert {found["hanlu_up", (("part", part),)] for part in ("dead_letters", "rollup")} == {1}


def test_requests_are_counted_by_route_and_not_by_address(scraped: TestClient):
    for _ in range(3):
        scraped.get("/01/06999999200017/10/NO-SUCH-LOT")
    found = samples(scraped.get("/metrics", headers=BEARER).text)
    counted = {labels: value for (name, labels), value in found.items() if name == "hanlu_http_requests_total"}
    assert sum(v for labels, v in counted.items() if ("route", "/01/{rest:path}") in labels) >= 3
    assert not any("NO-SUCH-LOT" in value for labels in counted for _, value in labels)


@pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN[:-1]}])
def test_a_stranger_without_the_token_learns_nothing(scraped: TestClient, shown: dict[str, str]):
    answer = scraped.get("/metrics", headers=shown)
    assert answer.status_code == 401
    assert "hanlu_" not in answer.text


def test_behind_a_proxy_everybody_needs_the_token(register: Register):
    settings = settings_of(register.url).with_values(web={"public_url": "https://example.org"})
    app = create_app(settings, clock=register.clock)
    with TestClient(app, base_url="https://example.org", client=("127.0.0.1", 50_000)) as client:
        assert client.get("/metrics").status_code == 401


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("10.1.2.3", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 401),
    ],
)
def test_without_a_token_only_this_machine_is_answered(site: Site, peer: str, headers: dict[str, str], status: int):
    client = TestClient(site.client.app, base_url="http://127.0.0.1:8077", client=(peer, 50_000))
    assert client.get("/metrics", headers=headers).status_code == status
