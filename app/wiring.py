"""From the settings of the whole program to the configuration of each room; the only place where their words meet."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from hanlu.app.datafolder import DataFolder
from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.app.embedded.logins import Logins
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.core.wire.documents import BirthChannel
from hanlu.firmware_sim.county import County
from hanlu.gateway.config import BrokerConfig as EdgeBroker
from hanlu.gateway.config import GatewayConfig, LineConfig
from hanlu.ingest.config import BrokerConfig as PlatformBroker
from hanlu.ingest.config import IngestConfig
from hanlu.registry.broker_rules import PLATFORM, password_hash
from hanlu.registry.config import BrokerPlace, BrokerQuestions
from hanlu.registry.enrolment import BrokerDoor, NoDoor
from hanlu.trace.config import AnchorConfig, TraceConfig

__all__ = [
    "broker_door",
    "broker_folder",
    "broker_place",
    "broker_questions",
    "database_url",
    "edge_broker",
    "gateway_configs",
    "gateway_key_file",
    "ingest_config",
    "line_ports",
    "platform_broker",
    "trace_config",
]


def database_url(settings: Settings) -> str:
    """Return the database's URL.

    Raises:
        UsageError: none is named and no `hanlu up` runs.
    """
    if settings.database.url is None:
        raise UsageError("database.url is not set: start `hanlu up` first, or name a PostgreSQL server")
    return settings.database.url


def broker_folder(settings: Settings) -> Path:
    """Return the folder of the embedded broker, where the logins of gateways lie."""
    return settings.data.folder / "broker"


def gateway_key_file(settings: Settings, gateway: str) -> Path:
    """Return where the key of a gateway of this machine lies."""
    return DataFolder(settings.data.folder).keys / f"gateway-{gateway}.pem"


def ingest_config(settings: Settings) -> IngestConfig:
    """Return the configuration of the ingest worker.

    Raises:
        UsageError: no broker is named and no `hanlu up` runs.
    """
    shared = settings.ingest
    return IngestConfig(broker=platform_broker(settings), sessions=shared.sessions, lease_s=shared.lease_s)


def platform_broker(settings: Settings) -> PlatformBroker:
    """Return how the platform itself reaches the broker.

    Raises:
        UsageError: no broker is named and no `hanlu up` runs, or its URL is none.
    """
    kept = settings.broker
    if kept.url is None:
        raise UsageError("broker.url is not set: start `hanlu up` first, or name an MQTT broker")
    tls = {
        "ca_file": kept.ca_file,
        "certificate_file": kept.client_certificate_file,
        "certificate_key_file": kept.client_key_file,
    }
    return PlatformBroker.from_url(kept.url, **({} if kept.embedded else tls))


def broker_door(settings: Settings) -> BrokerDoor:
    """Return where logins must be told beside the database: the embedded broker's files, or nowhere."""
    if not settings.broker.embedded:
        return NoDoor()
    return EmbeddedBroker(broker_folder(settings), settings.broker)


def broker_place(settings: Settings) -> BrokerPlace:
    """Return where gateways reach the broker, as they are told when they enrol.

    Raises:
        UsageError: `broker.ca_file` cannot be read.
    """
    kept = settings.broker
    inside = PlatformBroker.from_url(kept.url) if kept.url else PlatformBroker(port=kept.port)
    host, port, tls = inside.host, inside.port, inside.tls
    if kept.tls_port is not None and (kept.embedded or kept.url is None):
        host, port, tls = urlsplit(settings.web.base_url).hostname or host, kept.tls_port, True
    try:
        ca_pem = kept.ca_file.read_text(encoding="utf-8") if tls and kept.ca_file else None
    except (OSError, ValueError) as error:
        raise UsageError(f"broker.ca_file {kept.ca_file} cannot be read: {error}") from error
    return BrokerPlace(kept.public_host or host, kept.public_port or port, tls, ca_pem)


def broker_questions(settings: Settings) -> BrokerQuestions:
    """Return who may ask, as a broker does, who may do what."""
    kept = settings.broker
    platform = PlatformBroker.from_url(kept.url) if kept.url else None
    password = platform.password if platform else None
    return BrokerQuestions(
        secret=kept.ask_key,
        networks=tuple(ip_network(each) for each in kept.ask_from),
        platform_user=(platform.username if platform else None) or PLATFORM,
        platform_hash=password_hash(password.get_secret_value()) if password else None,
    )


def trace_config(settings: Settings) -> TraceConfig:
    """Return the configuration of the trace room; without a chain nothing is anchored."""
    chain = settings.chain
    anchor = AnchorConfig(
        url=chain.url if chain.enabled else None,
        embedded=chain.embedded,
        key_file=chain.key_file,
        every_s=chain.anchor_every_s,
    )
    return TraceConfig(key_folder=DataFolder(settings.data.folder).keys, anchor=anchor)


def edge_broker(settings: Settings, gateway: str) -> EdgeBroker:
    """Return how a gateway of this machine reaches the broker: with its own login where the broker is embedded."""
    if settings.broker.url is None:
        raise UsageError("broker.url is not set: start `hanlu up` first, or name an MQTT broker")
    platform = platform_broker(settings)
    logins = Logins(broker_folder(settings))
    return EdgeBroker(
        host=platform.host,
        port=platform.port,
        username=gateway,
        password=logins.password(gateway),
        tls=platform.tls,
        ca_file=platform.ca_file,
    )


def line_ports(settings: Settings, county: County) -> dict[str, int]:
    """Return the TCP port of each simulated gateway's line driver."""
    return {gateway.code: settings.gateway.line_port + place for place, gateway in enumerate(county.gateways)}


def gateway_configs(settings: Settings, county: County) -> list[GatewayConfig]:
    """Return the configuration of the gateways of the simulated county: all but those enrolled elsewhere or revoked."""
    ports = line_ports(settings, county)
    elsewhere = Logins(broker_folder(settings)).elsewhere()
    return [
        GatewayConfig(
            code=gateway.code,
            partition=gateway.partition,
            data_dir=settings.data.folder / "gateway" / gateway.code,
            key_file=gateway_key_file(settings, gateway.code),
            channels=tuple(
                BirthChannel(name=f"{device.code}/{channel.metric}", unit=channel.unit, period_s=channel.period_s)
                for device in county.devices
                if device.gateway == gateway.code
                for channel in device.channels
            ),
            broker=edge_broker(settings, gateway.code),
            line=LineConfig(listen=f"127.0.0.1:{ports[gateway.code]}"),
        )
        for gateway in county.gateways
        if gateway.code not in elsewhere
    ]
