from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from hanlu.core.errors import UsageError
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.driver.mapping import DriverConfig
from hanlu.gateway.remote import Remote, load_remote, merged, save_remote


class ProbeConfig(DriverConfig):
    kind: Literal["probe"] = "probe"
    port: int = 1
    pin: SecretStr | None = None


@pytest.fixture
def own(tmp_path: Path, monkeypatch) -> GatewayConfig:
    monkeypatch.setattr("hanlu.gateway.driver.catalogue.config_class", lambda _: ProbeConfig)
    probe = ProbeConfig(name="probe-1", pin=SecretStr("0000"))
    return GatewayConfig(code="gw-1", partition=7, data_dir=tmp_path, drivers=(probe,), health_period_s=0)


def test_safe_sections_replace_the_gateways_own_and_nothing_else_moves(own):
    text = """
health_period_s = 30
[limits]
max_readings = 10
[priorities]
high = ["vault-*/*"]
[uplink]
backlog_rate = 5.0
[[drivers]]
kind = "probe"
name = "probe-2"
port = 9
[[channels]]
name = "room-1/air_temperature"
unit = "Cel"
period_s = 60
"""
    config = merged(own, text)
    assert (config.health_period_s, config.limits.max_readings, config.uplink.backlog_rate) == (30, 10, 5.0)
    assert config.priorities.high == ("vault-*/*",)
    assert [(driver.name, driver.port) for driver in config.drivers] == [("probe-2", 9)]
    assert [channel.name for channel in config.channels] == ["room-1/air_temperature"]
    kept = {"code", "partition", "data_dir", "key_file", "replay", "broker", "line"}
    assert config.model_dump(include=kept) == own.model_dump(include=kept)
    assert merged(own, "") == own


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('code = "gw-2"', "code cannot"),
        ("partition = 1", "partition cannot"),
        ('[broker]\nhost = "evil"', "broker cannot"),
        ('key_file = "/x"', "key_file cannot"),
        ('data_dir = "/x"', "data_dir cannot"),
        ("replay = true", "replay cannot"),
        ('[line]\nlisten = "0.0.0.0:1"', "line cannot"),
        ("[limits", "not TOML"),
        ("[limits]\nmax_readings = 0", "limits.max_readings"),
        ("[limits]\nmax_redings = 1", "limits.max_redings"),
        ('[[drivers]]\nkind = "probe"\nname = "a"\n[[drivers]]\nkind = "probe"\nname = "a"', "given twice: a"),
        ('[[drivers]]\nkind = "probe"\nname = "probe-1"\npin = "1"', "pin is secret"),
        ('[[drivers]]\nkind = "probe"\nname = "probe-3"\npassword = "1"', "password is secret"),
        ("drivers = 7", "drivers"),
    ],
)
def test_what_it_may_not_touch_or_cannot_be_is_refused_by_name(own, text, words):
    with pytest.raises(UsageError, match=words):
        merged(own, text)


def test_driver_takes_its_secret_from_the_gateways_own_file(own):
    config = merged(own, '[[drivers]]\nkind = "probe"\nname = "probe-1"\nport = 5')
    (probe,) = config.drivers
    assert (probe.port, probe.pin.get_secret_value()) == (5, "0000")


def test_it_is_kept_whole_and_readable_by_its_owner_only(tmp_path):
    assert load_remote(tmp_path) is None
    for version in (1, 2):
        save_remote(tmp_path, Remote(version, f"# 温度 {version}"))
    assert load_remote(tmp_path) == Remote(2, "# 温度 2")
    assert Counter(path.name for path in tmp_path.iterdir()) == {"remote.json": 1}
    assert (tmp_path / "remote.json").stat().st_mode & 0o077 == 0
    (tmp_path / "remote.json").write_text("{")
    with pytest.raises(UsageError, match=r"remote\.json"):
        load_remote(tmp_path)
