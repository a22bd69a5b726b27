"""What a gateway can be told; every field with its unit. No setting touches what the spool already holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from hanlu.core.limits import CODE_PATTERN, PARTITIONS
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.catalogue import AnyDriver
from hanlu.gateway.driver.mapping import DriverConfig

__all__ = ["BrokerConfig", "GatewayConfig", "LimitsConfig", "LineConfig", "PrioritiesConfig", "UplinkConfig"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerConfig(_Section):
    """Where the MQTT broker is and how to sign in."""

    host: str = Field(default="127.0.0.1", min_length=1, description="host name or address")
    port: int = Field(default=1883, ge=1, le=65_535, description="TCP port")
    username: str | None = Field(default=None, description="sign-in name; none: anonymous")
    password: SecretStr | None = Field(default=None, description="sign-in password; secret")
    tls: bool = Field(default=False, description="speak TLS and check the broker's certificate and name")
    ca_file: Path | None = Field(default=None, description="PEM file of trusted roots; none: the system's")
    certificate_file: Path | None = Field(
        default=None, description="PEM certificate of this gateway, for a broker that asks for one"
    )
    certificate_key_file: Path | None = Field(default=None, description="PEM key of that certificate")
    keepalive_s: int = Field(default=30, ge=5, le=3_600, description="seconds of silence after which a ping is sent")
    connect_timeout_s: float = Field(default=5.0, gt=0, le=60, description="seconds to wait for a TCP connection")


class LineConfig(_Section):
    """The line driver: where devices on the spot connect."""

    listen: str = Field(
        default="127.0.0.1:0",
        pattern=r"^(unix:/.+|\[?[0-9A-Za-z.:-]+\]?:\d{1,5})$",
        description="`host:port` (0: any free port) or `unix:/path`; no sign-in, so keep it off open networks",
    )
    max_connections: int = Field(default=256, ge=1, le=4_096, description="devices connected at once")


class UplinkConfig(_Section):
    """How fast and how far ahead of the platform's receipts messages are sent."""

    live_rate: float = Field(default=1_000.0, gt=0, le=100_000, description="messages a second, live lane")
    backlog_rate: float = Field(default=200.0, gt=0, le=100_000, description="messages a second, backlog lane")
    max_in_flight: int = Field(default=100, ge=1, le=1_000, description="messages the broker has not acknowledged")
    live_window: int = Field(default=1_000, ge=1, le=100_000, description="live messages sent since the last receipt")
    backlog_window: int = Field(default=500, ge=1, le=100_000, description="backlog messages sent and not receipted")
    live_age_s: float = Field(default=30.0, gt=0, le=3_600, description="seconds after which a message is backlog")
    receipt_timeout_s: float = Field(
        default=10.0, gt=0, le=3_600, description="seconds without progress before everything not receipted is re-sent"
    )
    receipt_timeout_max_s: float = Field(
        default=300.0, gt=0, le=86_400, description="seconds the time-out above may double up to"
    )
    reconnect_min_s: float = Field(default=0.5, gt=0, le=60, description="seconds before the first new try to connect")
    reconnect_max_s: float = Field(default=60.0, gt=0, le=3_600, description="seconds between tries at most")


class LimitsConfig(_Section):
    """What the spool may hold."""

    max_readings: Annotated[int, Field(ge=1, le=1_000)] = Field(default=200, description="readings in one message")
    max_spool_bytes: int = Field(
        default=1 << 30, ge=1 << 16, description="bytes of pending messages before readings are refused (default 1 GiB)"
    )


Pattern = Annotated[str, Field(min_length=1, max_length=120)]


class PrioritiesConfig(_Section):
    """What matters when there is no room for everything (`gateway/policy.py`); patterns of channels, `*` and `?`."""

    high: tuple[Pattern, ...] = Field(default=(), max_length=1_000, description="kept until the spool is full")
    normal: tuple[Pattern, ...] = Field(default=(), max_length=1_000, description="thinned when it is nearly full")
    low: tuple[Pattern, ...] = Field(
        default=(), max_length=1_000, description="thinned from 80 %; health, battery and radio always, unless above"
    )


class GatewayConfig(_Section):
    """One gateway."""

    code: str = Field(pattern=rf"^{CODE_PATTERN}$", description="the gateway's code in the registry")
    partition: int = Field(ge=0, lt=PARTITIONS, description="fixed partition, 0 to 63")
    data_dir: Path = Field(description="folder of the spool; this gateway's alone")
    key_file: Path | None = Field(default=None, description="Ed25519 key, PEM; none: `gateway.key` in the data folder")
    replay: bool = Field(
        default=False,
        description="everything taken in is recorded data played again: marked as replayed, sent strictly in order",
    )
    channels: tuple[BirthChannel, ...] = Field(default=(), max_length=1_000, description="channels announced at birth")
    remote_folders: tuple[Path, ...] = Field(
        default=(), description="folders in and below which a configuration from the platform may have files read"
    )
    drivers: tuple[AnyDriver, ...] = Field(default=(), max_length=100, description="southbound drivers, by `kind`")
    broker: BrokerConfig = BrokerConfig()
    line: LineConfig = LineConfig()
    uplink: UplinkConfig = UplinkConfig()
    limits: LimitsConfig = LimitsConfig()
    priorities: PrioritiesConfig = PrioritiesConfig()
    health_period_s: float = Field(
        default=60.0, ge=0, le=86_400, description="seconds between readings of its own health; 0: none"
    )

    @field_validator("drivers")
    @classmethod
    def _named_apart(cls, drivers: tuple[DriverConfig, ...]) -> tuple[DriverConfig, ...]:
        names = [driver.name for driver in drivers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"drivers need names of their own; given twice: {', '.join(twice)}")
        return drivers

    @property
    def key_path(self) -> Path:
        """Return where the key is kept."""
        return self.key_file or self.data_dir / "gateway.key"

    @property
    def spool_path(self) -> Path:
        """Return where the spool is kept."""
        return self.data_dir / "spool.sqlite"
