"""A gateway's configuration file, and what its process says about itself."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from hanlu.app.edge_process import read_config, read_status, serve
from hanlu.core.errors import UsageError
from hanlu.gateway.config import GatewayConfig, LineConfig

TOML = """
code = "gw-1"
partition = 7
data_dir = "/var/lib/hanlu/gw-1"

[broker]
host = "mqtt.example"
username = "gw-1"
password = "hush-hush"

[[channels]]
name = "room-1/air_temperature"
unit = "Cel"
period_s = 60
"""


def test_configuration_is_read_from_toml_and_json(tmp_path: Path) -> None:
    (tmp_path / "gw.toml").write_text(TOML)
    from_toml = read_config(tmp_path / "gw.toml")
    assert from_toml.broker.password is not None
    assert from_toml.broker.password.get_secret_value() == "hush-hush"
    assert from_toml.channels[0].name == "room-1/air_temperature"
    values = {"code": "gw-1", "partition": 7, "data_dir": "/var/lib/hanlu/gw-1"}
    (tmp_path / "gw.json").write_text(json.dumps(values))
    assert read_config(tmp_path / "gw.json") == GatewayConfig.model_validate(values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TOML.replace("partition = 7", "partition = 64"), "partition"),
        (TOML.replace('password = "hush-hush"', 'pasword = "hush-hush"'), "broker.pasword"),
        (TOML.replace('host = "mqtt.example"', 'host = ""'), "broker.host"),
        ("code =", "cannot read this"),
    ],
)
def test_wrong_configuration_is_named_without_its_secrets(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "gw.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_config(path)
    assert words in str(refused.value)
    assert "hush" not in str(refused.value)


def test_absent_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        read_config(tmp_path / "none.toml")


def test_gateway_says_how_it_is_before_it_is_ready(tmp_path: Path) -> None:
    config = GatewayConfig(code="gw-1", partition=7, data_dir=tmp_path, line=LineConfig(listen=f"unix:{tmp_path}/line"))
    said = tmp_path / "gateway.json"
    stop = threading.Event()
    assert read_status(said) is None
    seen = []

    def ready() -> None:
        seen.append(read_status(said))
        stop.set()

    serve(config, said, stop, ready)
    (status,) = seen
    assert status is not None
    assert (status.address, status.connected, status.pending) == (f"unix:{tmp_path}/line", False, 0)
    assert said.stat().st_mode & 0o077 == 0
