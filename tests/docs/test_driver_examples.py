"""The worked examples of the drivers' pages come out as the pages say."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fix_drivers import FakeIntake
from fix_sparkplug import BOOLEAN, DOUBLE, INT16, EdgeNode, metric
from pydantic import TypeAdapter

from hanlu.core.clock import ManualClock
from hanlu.gateway.driver.body import decode_body
from hanlu.gateway.driver.catalogue import AnyDriver
from hanlu.gateway.driver.dji import DjiListener
from hanlu.gateway.driver.http_push import HttpPushServer
from hanlu.gateway.driver.mqtt_senml import understand
from hanlu.gateway.driver.sparkplug import SparkplugHost

PAGES = Path(__file__).resolve().parents[2] / "docs" / "drivers"
NOW = 1_750_000_000_000


def blocks(page: str, language: str) -> list[str]:
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def config(page: str, **changes: object) -> Any:
    (values,) = tomllib.loads(blocks(page, "toml")[0])["drivers"]
    return TypeAdapter(AnyDriver).validate_python(values | changes)


def said(batch: Any) -> dict[str, tuple[float, str]]:
    return {each.name: (each.value, each.unit) for each in batch.readings}


def near(value: float, unit: str) -> tuple[Any, str]:
    return pytest.approx(value, abs=0.005), unit


def test_plain_mqtt_device() -> None:
    batch = understand(config("mqtt-senml.md"), "sites/A4-CF-12/up", blocks("mqtt-senml.md", "json")[0].encode(), NOW)
    assert said(batch) == {
        "a4-cf-12/air_temperature": near(-18.22, "Cel"),
        "a4-cf-12/relative_humidity": near(81, "%RH"),
        "a4-cf-12/battery": near(3.605, "V"),
    }
    assert {each.observed_ms for each in batch.readings} == {1_750_000_000_000}


def test_http_push() -> None:
    text = blocks("http-push.md", "sh")[0]
    body = re.search(r"-d '([^']*)'", text)
    token = re.search(r"Bearer ([^']*)'", text)
    assert body
    assert token
    made = config("http-push.md", listen="127.0.0.1:0", cert_file=None, key_file=None)
    batch = decode_body(made.body, "cold-room-3", "push", body[1].encode(), NOW)
    assert len(batch.readings) == json.loads(blocks("http-push.md", "json")[0])["readings"]
    server = HttpPushServer(made, FakeIntake(), ManualClock())
    assert server.knows("cold-room-3", token[1])
    server.close()


def test_sparkplug() -> None:
    host = SparkplugHost(config("sparkplug.md"))
    edge = EdgeNode(
        group="Packhouse",
        edge="Line2",
        metrics=(metric("Room 1/Temperature", 0, INT16, alias=7), metric("Door/Open", False, BOOLEAN, alias=8)),
    )
    host.heard(*edge.nbirth(), NOW)
    birth = host.heard(*edge.dbirth("Meter", metric("Energy", 2.0, DOUBLE, properties={"engUnit": "kWh"})), NOW)
    assert said(birth.batch) == {"line2-meter/energy": near(7_200_000, "J")}
    data = host.heard(*edge.ndata(metric(alias=7, value=-4), metric(alias=8, value=True)), NOW)
    assert said(data.batch) == {"room-1/air_temperature": near(-20, "Cel"), "line2/door_open": near(1, "")}


def test_dji() -> None:
    raw = blocks("dji.md", "json")[0].encode()
    handled = DjiListener(config("dji.md")).heard("thing/product/4TADKAQ000002J/osd", raw, NOW)
    assert said(handled.batch) == {
        "dock-east/working_voltage": near(25.44, "V"),
        "dock-east/working_current": near(1.12, "A"),
        "dock-east/backup_battery_voltage": near(26.631, "V"),
        "dock-east/backup_battery_temperature": near(27.9, "Cel"),
        "dock-east/backup_battery_on": near(1, ""),
    }
