from __future__ import annotations

import pytest
from pydantic import ValidationError

from hanlu.core.errors import UsageError
from hanlu.ingest.config import BrokerConfig, IngestConfig


def test_broker_url_gives_host_port_and_login() -> None:
    broker = BrokerConfig.from_url("mqtt://ingest:p%40ss@broker.example:2883", client_id="a")
    assert (broker.host, broker.port, broker.username, broker.tls) == ("broker.example", 2883, "ingest", False)
    assert broker.password is not None
    assert broker.password.get_secret_value() == "p@ss"


def test_mqtts_url_speaks_tls_on_its_own_port() -> None:
    broker = BrokerConfig.from_url("mqtts://broker.example")
    assert (broker.port, broker.tls, broker.username) == (8883, True, None)


@pytest.mark.parametrize("url", ["", "http://x", "mqtt://", "mqtt://u:secret@h:port", "mqtt://u:secret@h/path"])
def test_other_urls_are_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        BrokerConfig.from_url(url)
    assert "secret" not in str(refusal.value)


def test_passwords_do_not_show_in_the_configuration_printed() -> None:
    assert "hush" not in repr(IngestConfig(broker=BrokerConfig.from_url("mqtt://u:hush@h")))


@pytest.mark.parametrize("fields", [{"partitions": (64,)}, {"partitions": ()}, {"partitions": (1, 1)}, {"batch": 1}])
def test_impossible_configuration_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IngestConfig.model_validate(fields)
