"""From the settings of the whole program to the configuration of each room; the only place where their words meet."""

from __future__ import annotations

from pathlib import Path

from hanlu.app.datafolder import DataFolder
from hanlu.app.embedded.logins import Logins
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError
from hanlu.core.wire.documents import BirthChannel
from hanlu.firmware_sim.county import County
from hanlu.gateway.config import BrokerConfig as EdgeBroker
from hanlu.gateway.config import GatewayConfig, LineConfig
from hanlu.ingest.config import BrokerConfig as PlatformBroker
from hanlu.ingest.config import IngestConfig
from hanlu.trace.config import AnchorConfig, TraceConfig

__all__ = [
    "broker_folder",
    "database_url",
    "edge_broker",
    "gateway_configs",
    "gateway_key_file",
    "ingest_config",
    "line_ports",
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
    if settings.broker.url is None:
        raise UsageError("broker.url is not set: start `hanlu up` first, or name an MQTT broker")
    return IngestConfig(broker=PlatformBroker.from_url(settings.broker.url))


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
    platform = PlatformBroker.from_url(settings.broker.url)
    logins = Logins(broker_folder(settings))
    return EdgeBroker(
        host=platform.host,
        port=platform.port,
        username=gateway,
        password=logins.password(gateway),
        tls=platform.tls,
    )


def line_ports(settings: Settings, county: County) -> dict[str, int]:
    """Return the TCP port of each simulated gateway's line driver."""
    return {gateway.code: settings.gateway.line_port + place for place, gateway in enumerate(county.gateways)}


def gateway_configs(settings: Settings, county: County) -> list[GatewayConfig]:
    """Return the configuration of every gateway of the simulated county."""
    ports = line_ports(settings, county)
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
    ]
