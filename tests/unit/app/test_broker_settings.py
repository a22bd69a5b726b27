"""From the broker's settings to what gateways are told, who may ask, and where logins are written."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.app.embedded.logins import Logins
from hanlu.app.settings import Settings
from hanlu.app.wiring import broker_door, broker_place, broker_questions, gateway_configs, platform_broker
from hanlu.core.errors import UsageError
from hanlu.firmware_sim.yanling import demo_county
from hanlu.registry.broker_rules import password_hash, password_matches
from hanlu.registry.config import BrokerPlace
from hanlu.registry.enrolment import NoDoor


def settings(tmp_path: Path, web: dict[str, Any] | None = None, **broker: Any) -> Settings:
    return Settings().with_values(broker=broker, data={"folder": tmp_path}, web=web or {})


TLS = {"tls_port": 8883, "certificate_file": "/c.pem", "key_file": "/k.pem"}
OURS = {"url": "mqtt://platform:secret-of-the-platform@127.0.0.1:8078", "embedded": True}


@pytest.mark.parametrize(
    ("broker", "sentence"),
    [
        ({"tls_port": 8883}, "certificate_file"),
        ({"use_identity_as_username": True}, "require_certificate"),
        ({**TLS, "require_certificate": True}, "ca_file"),
        ({"ask_key": "short"}, "ask_key"),
        ({"ask_from": ["everywhere"]}, "ask_from"),
    ],
)
def test_settings_that_guard_nothing_are_refused(tmp_path: Path, broker: dict[str, Any], sentence: str):
    with pytest.raises(UsageError, match=sentence):
        settings(tmp_path, **broker)


def test_gateways_are_told_where_the_broker_is(tmp_path: Path):
    ca = tmp_path / "ca.pem"
    ca.write_text("roots")
    external = {"url": "mqtts://platform:x@broker.example:8884", "ca_file": ca}
    web = {"public_url": "https://hanlu.example"}
    assert broker_place(settings(tmp_path)) == BrokerPlace("127.0.0.1", 8078, tls=False)
    assert broker_place(settings(tmp_path, **OURS)) == BrokerPlace("127.0.0.1", 8078, tls=False)
    told = broker_place(settings(tmp_path, web, **OURS, **TLS, ca_file=ca))
    assert told == BrokerPlace("hanlu.example", 8883, tls=True, ca_pem="roots")
    assert broker_place(settings(tmp_path, **external)) == BrokerPlace("broker.example", 8884, True, "roots")
    public = {"public_host": "mqtt.example", "public_port": 1}
    assert broker_place(settings(tmp_path, **external, **public)) == BrokerPlace("mqtt.example", 1, True, "roots")
    with pytest.raises(UsageError, match=r"broker\.ca_file"):
        broker_place(settings(tmp_path, **external | {"ca_file": tmp_path / "none.pem"}))


def test_who_may_ask_is_this_machine_with_the_key_unless_set(tmp_path: Path):
    closed = broker_questions(settings(tmp_path))
    assert (closed.secret, closed.platform_user, closed.platform_hash) == (None, "platform", None)
    asked = broker_questions(settings(tmp_path, url="mqtt://boss:pass-of-the-boss@b", ask_key="k" * 16))
    assert (asked.secret, asked.platform_user) == ("k" * 16, "boss")
    assert password_matches(asked.platform_hash, "pass-of-the-boss")
    assert any(ip_address("127.0.0.9") in network for network in asked.networks)
    assert not any(ip_address("10.0.0.1") in network for network in asked.networks)


def test_logins_are_written_for_the_embedded_broker_only(tmp_path: Path):
    assert isinstance(broker_door(settings(tmp_path, **OURS)), EmbeddedBroker)
    assert isinstance(broker_door(settings(tmp_path, url="mqtt://platform:x@broker.example")), NoDoor)


def test_the_platform_shows_its_certificate_to_an_external_broker_only(tmp_path: Path):
    shown = {"ca_file": "/ca", "client_certificate_file": "/c", "client_key_file": "/k"}
    external = platform_broker(settings(tmp_path, url="mqtts://p:x@b", **shown))
    assert (external.certificate_file, external.certificate_key_file) == (Path("/c"), Path("/k"))
    assert platform_broker(settings(tmp_path, **OURS, **shown)).certificate_file is None


def test_a_simulated_gateway_enrolled_elsewhere_or_revoked_is_not_run_here(tmp_path: Path):
    county = demo_county()
    codes = [gateway.code for gateway in county.gateways]
    logins = Logins(tmp_path / "broker")
    logins.ensure(codes)
    kept = settings(tmp_path, **OURS)
    assert [config.code for config in gateway_configs(kept, county)] == codes
    logins.admit(codes[0], password_hash("x"))
    logins.expel(codes[1])
    assert [config.code for config in gateway_configs(kept, county)] == codes[2:]
    assert logins.accepts(codes[0], "x")
    assert not logins.accepts(codes[1], "")
    assert logins.accepts(codes[2], logins.password(codes[2]))
    assert not logins.accepts(codes[2], "x")
