"""What a configuration from afar may make a gateway read, and to whom it may make it speak."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanlu.core.errors import UsageError
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.driver.jt808 import Jt808Config
from hanlu.gateway.remote import merged

LOGS = """
[[drivers]]
kind = "ulog"
name = "drones"
folder = {{ path = "{path}" }}
device = "drone-1"
"""
MQTT = """
[[drivers]]
kind = "mqtt_senml"
name = "sensors"
broker = {{ host = "{host}"{more} }}
topics = [{{ topic = "t/{{device}}" }}]
"""
MODBUS = """
[[drivers]]
kind = "modbus"
name = "bus"
link = {{ url = "{url}" }}
devices = [{{ device = "room-1", unit_id = 1, map = "siemens-qfa3150" }}]
"""


def gateway(tmp_path: Path, text: str = "", **fields: object) -> GatewayConfig:
    """Return a gateway whose own file holds `text` and `fields`."""
    plain = GatewayConfig(code="gw-1", partition=7, data_dir=tmp_path / "data")
    own = merged(plain, text, bounded=False)
    return own.model_copy(update=fields)


def trusted(tmp_path: Path) -> GatewayConfig:
    """Return a gateway with a driver whose broker password stands in its own file."""
    own = gateway(tmp_path, MQTT.format(host="farm.example", more=', username = "u", tls = true'))
    (driver,) = own.drivers
    broker = type(driver.broker).model_validate(driver.broker.model_dump() | {"password": "open sesame"})
    return own.model_copy(update={"drivers": (driver.model_copy(update={"broker": broker}),)})


def test_folder_is_watched_from_afar_only_where_the_own_file_lets_it(tmp_path):
    given = tmp_path / "exports"
    own = gateway(tmp_path, remote_folders=(given,))
    for path in (given, given / "shed"):
        (driver,) = merged(own, LOGS.format(path=path)).drivers
        assert driver.folder.path == path
    beyond = (tmp_path, "/etc", tmp_path / "data", tmp_path / "data" / "gw", given / ".." / "data", f"{given}-2", "/")
    for path in beyond:
        with pytest.raises(UsageError, match="remote_folders"):
            merged(own, LOGS.format(path=path))
    with pytest.raises(UsageError, match="remote_folders"):
        merged(gateway(tmp_path), LOGS.format(path=given))


def test_own_data_folder_is_never_watched_whatever_folder_was_given(tmp_path):
    own = gateway(tmp_path, remote_folders=(tmp_path,), key_file=tmp_path / "keys" / "gateway.key")
    assert merged(own, LOGS.format(path=tmp_path / "exports")).drivers
    for path in (tmp_path, own.data_dir, own.data_dir / "x", tmp_path / "keys"):
        with pytest.raises(UsageError, match="remote_folders"):
            merged(own, LOGS.format(path=path))


def test_link_out_of_a_given_folder_leads_nowhere(tmp_path):
    given, private = tmp_path / "exports", tmp_path / "private"
    given.mkdir()
    private.mkdir()
    (given / "way").symlink_to(private)
    with pytest.raises(UsageError, match="remote_folders"):
        merged(gateway(tmp_path, remote_folders=(given,)), LOGS.format(path=given / "way"))


def test_folder_of_the_own_driver_of_that_name_may_be_named_again(tmp_path):
    own = gateway(tmp_path, LOGS.format(path="/srv/exports"))
    assert merged(own, LOGS.format(path="/srv/exports")).drivers == own.drivers
    with pytest.raises(UsageError, match="drones-2"):
        merged(own, LOGS.format(path="/srv/exports").replace("drones", "drones-2"))


@pytest.mark.parametrize("field", ["password_file", "ca_file"])
def test_file_is_not_read_into_a_connection_to_whoever_is_named(tmp_path, field):
    with pytest.raises(UsageError, match=f"broker.{field} = /etc/shadow"):
        merged(gateway(tmp_path), MQTT.format(host="thief.example", more=f', username = "u", {field} = "/etc/shadow"'))


def test_password_of_the_own_file_goes_to_its_own_broker_and_to_no_other(tmp_path):
    own = trusted(tmp_path)
    (driver,) = merged(own, MQTT.format(host="farm.example", more=", tls = true, keepalive_s = 60")).drivers
    assert (driver.broker.secret(), driver.broker.keepalive_s) == ("open sesame", 60)
    for host, more, words in (
        ("thief.example", ", tls = true", "host"),
        ("farm.example", "", "tls"),
        ("farm.example", ", tls = true, port = 9", "port"),
    ):
        with pytest.raises(UsageError, match=f"sensors.broker: {words} stays"):
            merged(own, MQTT.format(host=host, more=more))


def test_password_is_not_told_from_afar_wherever_it_stands(tmp_path):
    with pytest.raises(UsageError, match="password is secret"):
        merged(gateway(tmp_path), MQTT.format(host="farm.example", more=', password = "1"'))


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("serial:/dev/ttyUSB0", True),
        ("serial:/dev/serial/by-id/usb-1", True),
        ("tcp://10.0.0.7:502", True),
        ("serial:/dev/tty/../watchdog", False),
        ("serial:/dev/mem", False),
        ("serial:/etc/passwd", False),
    ],
)
def test_serial_line_is_opened_where_serial_lines_are(tmp_path, url, good):
    if good:
        assert merged(gateway(tmp_path), MODBUS.format(url=url)).drivers
    else:
        with pytest.raises(UsageError, match="a file is named"):
            merged(gateway(tmp_path), MODBUS.format(url=url))


def test_socket_file_is_not_made_from_afar(tmp_path):
    key = Jt808Config(name="reefers", key="0123456789abcdef", unknown="digest")
    own = gateway(tmp_path, drivers=(key,))
    text = '[[drivers]]\nkind = "jt808"\nname = "reefers"\nunknown = "digest"\nlisten = "{}"'
    assert merged(own, text.format("0.0.0.0:6809")).drivers[0].key == key.key
    with pytest.raises(UsageError, match=r"listen = /run/x\.sock"):
        merged(own, text.format("unix:/run/x.sock"))


def test_text_nested_without_end_is_refused_like_any_other(tmp_path):
    with pytest.raises(UsageError, match="not TOML"):
        merged(gateway(tmp_path), "x = " + "[" * 100_000)
