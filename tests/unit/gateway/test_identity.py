from __future__ import annotations

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from hanlu.core.errors import UsageError
from hanlu.core.wire.envelope import public_bytes
from hanlu.gateway.config import GatewayConfig, LineConfig
from hanlu.gateway.identity import load_or_create_key


def test_key_is_made_once_closed_to_others_and_loaded_again(tmp_path):
    path = tmp_path / "deep" / "gateway.key"
    first = load_or_create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_bytes(load_or_create_key(path)) == public_bytes(first)
    assert [file.name for file in path.parent.iterdir()] == ["gateway.key"]


def test_key_open_to_others_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "gateway.key"
    load_or_create_key(path)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        load_or_create_key(path)


def test_broken_or_foreign_key_is_refused_and_never_overwritten(tmp_path):
    foreign = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"", b"not a key", foreign):
        path = tmp_path / "gateway.key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(UsageError):
            load_or_create_key(path)
        assert path.read_bytes() == content


@pytest.mark.parametrize("model", [GatewayConfig, *(f.annotation for f in GatewayConfig.model_fields.values())])
def test_every_setting_has_a_description(model):
    for name, field in getattr(model, "model_fields", {}).items():
        nested = hasattr(field.annotation, "model_fields")
        assert nested or field.description, f"{model.__name__}.{name}"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:7001", "localhost:7001", "unix:/run/hanlu/gw.sock"])
def test_listen_address_of_each_kind_is_accepted(listen):
    assert LineConfig(listen=listen).listen == listen


@pytest.mark.parametrize("listen", ["7001", "unix:relative", "host:port", "host:123456", ""])
def test_listen_address_that_is_none_is_refused(listen):
    with pytest.raises(ValidationError):
        LineConfig(listen=listen)
