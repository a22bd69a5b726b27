"""TLS to a real Mosquitto, with and without client certificates: the right one works, any other does not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fix_access import Probe, tls_broker, trusting
from fix_gateway import patiently
from fix_services import temporary_folder, unavailable

from hanlu.app.certificates import Authority
from hanlu.app.embedded.broker import EmbeddedBroker, find_mosquitto
from hanlu.core.clock import SystemClock
from hanlu.core.errors import UsageError
from hanlu.core.wire.topics import Lane, Topic
from hanlu.gateway.config import BrokerConfig, GatewayConfig
from hanlu.gateway.service import Gateway
from hanlu.ingest.config import BrokerConfig as PlatformBroker
from hanlu.ingest.config import IngestConfig
from hanlu.ingest.subscriber import Subscriber
from hanlu.registry.broker_rules import PLATFORM

pytestmark = pytest.mark.broker


@pytest.fixture(autouse=True)
def _needs_mosquitto() -> None:
    if find_mosquitto() is None:
        unavailable("Mosquitto is not installed")


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as made:
        yield made


def port_of(service: EmbeddedBroker) -> int:
    assert service.settings.tls_port is not None
    return service.settings.tls_port


def test_a_gateway_signs_in_by_password_over_tls_and_plain_is_no_way_in(folder: Path):
    with tls_broker(folder) as (service, authority):
        password = service.logins.password("gw-a")
        with Probe(port_of(service), "gw-a", password, tls=trusting(authority.certificate)) as probe:
            assert probe.accepted
        with Probe(port_of(service), "gw-a", "wrong", tls=trusting(authority.certificate)) as probe:
            assert not probe.accepted
        with Probe(port_of(service), "gw-a", password) as probe:
            assert not probe.accepted


def handshake(port: int, context: ssl.SSLContext) -> None:
    """Greet the broker as any TLS client does; raises ssl.SSLError where it is not trusted."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        return


def test_a_broker_of_another_authority_or_another_name_is_not_trusted(folder: Path):
    other = Authority(folder / "other", datetime.now(UTC))
    other.ensure()
    with tls_broker(folder) as (service, authority):
        handshake(port_of(service), trusting(authority.certificate))
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            handshake(port_of(service), trusting(other.certificate))
        made = authority.server(["broker.example"], 30)
    elsewhere = {"certificate_file": made.certificate, "key_file": made.key}
    with (
        tls_broker(folder / "second", **elsewhere) as (service, _),
        pytest.raises(ssl.SSLError, match=r"127\.0\.0\.1"),
    ):
        handshake(port_of(service), trusting(authority.certificate))


def test_a_client_id_is_the_user_name_so_that_nobody_takes_anothers_session(folder: Path):
    with tls_broker(folder) as (service, authority):
        tls = trusting(authority.certificate)
        victim = Probe(port_of(service), "gw-a", service.logins.password("gw-a"), "hanlu-gw-a", tls=tls)
        thief = Probe(port_of(service), "gw-b", service.logins.password("gw-b"), "hanlu-gw-a", tls=tls)
        with victim, thief:
            assert thief.accepted
            assert not victim.lost.wait(0.5)


def test_where_a_certificate_is_required_only_the_right_one_works(folder: Path):
    foreign = Authority(folder / "foreign", datetime.now(UTC))
    with tls_broker(folder, require_certificate=True) as (service, authority):
        port, password = port_of(service), service.logins.password("gw-a")
        past = replace(authority, now=datetime.now(UTC) - timedelta(days=30))
        cases = {
            "none": None,
            "foreign": foreign.client("gw-a", 30),
            "expired": replace(past, folder=authority.folder).client("gw-old", 29),
            "server's": authority.server(["127.0.0.1"], 30),
        }
        for case, made in cases.items():
            shown = (made.certificate, made.key) if made else ()
            with Probe(port, "gw-a", password, tls=trusting(authority.certificate, *shown)) as probe:
                assert not probe.accepted, case
        right = authority.client("gw-a", 30)
        with Probe(port, "gw-a", password, tls=trusting(authority.certificate, right.certificate, right.key)) as probe:
            assert probe.accepted
        with Probe(port, "gw-a", "wrong", tls=trusting(authority.certificate, right.certificate, right.key)) as probe:
            assert not probe.accepted, "the password is asked for as well"


def test_where_the_certificate_names_the_user_it_speaks_for_that_gateway_alone(folder: Path):
    settings = {"require_certificate": True, "use_identity_as_username": True}
    with tls_broker(folder, **settings) as (service, authority):
        own, others = authority.client("gw-a", 30), authority.client("gw-b", 30)
        platform = Probe(service.settings.port, PLATFORM, service.logins.password(PLATFORM))
        live_a, live_b = (str(Topic(3, code, Lane.LIVE)) for code in ("gw-a", "gw-b"))
        with platform:
            assert platform.subscribe("hanlu/1/#")
            tls = trusting(authority.certificate, others.certificate, others.key)
            with Probe(port_of(service), "gw-a", "whatever", tls=tls) as thief:
                if thief.accepted:
                    thief._client.publish(live_a, b"x", qos=1)
            tls = trusting(authority.certificate, own.certificate, own.key)
            with Probe(port_of(service), None, None, tls=tls) as gateway:
                assert gateway.accepted, gateway.refusal
                gateway._client.publish(live_b, b"x", qos=1)
            with Probe(port_of(service), None, None, tls=tls) as gateway:
                gateway.publish(live_a)
                assert platform.hears(live_a)
            assert platform.heard == [live_a]


def test_a_revoked_certificate_is_refused(folder: Path):
    authority = Authority(folder / "certificates", datetime.now(UTC))
    revoked, kept = authority.client("gw-a", 30), authority.client("gw-b", 30)
    assert authority.revoke("gw-a") == 1
    assert authority.revoke("gw-a") == 0
    settings = {"require_certificate": True, "use_identity_as_username": True, "crl_file": authority.revoked}
    with tls_broker(folder, **settings) as (service, _):
        tls = trusting(authority.certificate, revoked.certificate, revoked.key)
        with Probe(port_of(service), None, None, tls=tls) as probe:
            assert not probe.accepted
        tls = trusting(authority.certificate, kept.certificate, kept.key)
        with Probe(port_of(service), None, None, tls=tls) as probe:
            assert probe.accepted


def test_a_whole_gateway_and_the_ingest_worker_meet_over_tls_with_certificates(folder: Path):
    """The gateway's own uplink and the worker's own subscriber, both showing certificates."""
    with tls_broker(folder, require_certificate=True) as (service, authority):
        made = {code: authority.client(code, 30) for code in ("gw-a", PLATFORM)}
        config = GatewayConfig(
            code="gw-a",
            partition=3,
            data_dir=folder / "gw-a",
            broker=BrokerConfig(
                port=port_of(service),
                username="gw-a",
                password=service.logins.password("gw-a"),
                tls=True,
                ca_file=authority.certificate,
                certificate_file=made["gw-a"].certificate,
                certificate_key_file=made["gw-a"].key,
            ),
        )
        worker = IngestConfig(
            partitions=(3,),
            broker=PlatformBroker(
                port=port_of(service),
                username=PLATFORM,
                password=service.logins.password(PLATFORM),
                tls=True,
                ca_file=authority.certificate,
                certificate_file=made[PLATFORM].certificate,
                certificate_key_file=made[PLATFORM].key,
            ),
        )
        with Subscriber(worker, SystemClock()) as subscriber:
            patiently(lambda: subscriber.turn(0.05) or subscriber.ready, "subscription over TLS")
            with Gateway(config) as gateway:
                gateway.start()
                patiently(lambda: subscriber.turn(0.05) or len(subscriber.inbox) > 0, "birth over TLS")
            assert subscriber.take().topic == str(Topic(3, "gw-a", Lane.BIRTH))
    assert not [each for each in threading.enumerate() if each.name.startswith("gw-a")]


def test_a_request_made_at_the_gateway_is_signed_and_its_key_stays_there(folder: Path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody-else")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    asked = folder / "gw-a.csr"
    asked.write_bytes(request.public_bytes(Encoding.PEM))
    key_file = folder / "gw-a.key"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings = {"require_certificate": True, "use_identity_as_username": True}
    with tls_broker(folder, **settings) as (service, authority):
        made = authority.client("gw-a", 30, asked)
        assert made.key is None
        named = x509.load_pem_x509_certificate(made.certificate.read_bytes()).subject
        assert [each.value for each in named] == ["gw-a"], "the name is the administrator's word, not the request's"
        tls = trusting(authority.certificate, made.certificate, key_file)
        with Probe(port_of(service), None, None, tls=tls) as probe:
            assert probe.accepted
    asked.write_text("not a request")
    with pytest.raises(UsageError):
        authority.client("gw-a", 30, asked)
