"""What the ingest process can be told; every field with its unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from hanlu.core.errors import UsageError
from hanlu.core.limits import PARTITIONS
from hanlu.ingest.keeper_config import KeeperConfig
from hanlu.ingest.throttle import ThrottleLimits

__all__ = ["BrokerConfig", "IngestConfig"]

_DEFAULT_PORT = {"mqtt": 1883, "mqtts": 8883}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class BrokerConfig(_Section):
    """Where the MQTT broker is and how to sign in."""

    host: str = Field(default="127.0.0.1", min_length=1, description="host name or address")
    port: int = Field(default=1883, ge=1, le=65_535, description="TCP port")
    username: str | None = Field(default=None, description="sign-in name; none: anonymous")
    password: SecretStr | None = Field(default=None, description="sign-in password; secret")
    tls: bool = Field(default=False, description="speak TLS and check the broker's certificate and name")
    ca_file: Path | None = Field(default=None, description="PEM file of trusted roots; none: the system's")
    certificate_file: Path | None = Field(
        default=None, description="PEM certificate of the platform, for a broker that asks for one"
    )
    certificate_key_file: Path | None = Field(default=None, description="PEM key of that certificate")
    client_id: str = Field(
        default="hanlu-ingest",
        pattern=r"^[0-9A-Za-z-]{1,64}$",
        description="fixed name of this worker's session at the broker; two workers must never share one",
    )
    keepalive_s: int = Field(default=60, ge=5, le=3_600, description="seconds of silence after which a ping is sent")
    connect_timeout_s: float = Field(default=5.0, gt=0, le=60, description="seconds to wait for a TCP connection")
    reconnect_min_s: float = Field(default=0.1, gt=0, le=60, description="seconds before the first new try to connect")
    reconnect_max_s: float = Field(default=5.0, gt=0, le=600, description="seconds between tries at most")

    @classmethod
    def from_url(cls, url: str, **others: object) -> BrokerConfig:
        """Return the configuration of `mqtt://user:password@host:port` or `mqtts://...`; `others` are further fields.

        Raises:
            UsageError: the URL is none of these; its password is not repeated.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise UsageError("the broker's URL is not mqtt://user:password@host:port") from None
        if parts.scheme not in _DEFAULT_PORT or not parts.hostname or parts.path.strip("/"):
            raise UsageError("the broker's URL is not mqtt://user:password@host:port (or mqtts://)")
        fields: dict[str, object] = {
            "host": parts.hostname,
            "port": port or _DEFAULT_PORT[parts.scheme],
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "tls": parts.scheme == "mqtts",
        }
        return cls.model_validate(fields | others)


class IngestConfig(_Section):
    """One ingest worker."""

    broker: BrokerConfig = Field(default_factory=BrokerConfig, description="the MQTT broker")
    partitions: tuple[Annotated[int, Field(ge=0, lt=PARTITIONS)], ...] = Field(
        default=tuple(range(PARTITIONS)),
        min_length=1,
        description="partitions the workers of this client id share; with several client ids, together all of them",
    )
    sessions: int = Field(
        default=1,
        ge=1,
        le=PARTITIONS,
        description="MQTT sessions the partitions are shared into: so many workers work at once, further ones wait to"
        " take over; the same for all workers",
    )
    lease_s: float = Field(
        default=5.0, gt=0, le=300, description="seconds after which a worker that says nothing is taken over from"
    )
    batch_readings: int = Field(
        default=20_000, ge=1, le=200_000, description="readings after which a transaction takes no further message"
    )
    batch_messages: int = Field(
        default=5_000, ge=1, le=50_000, description="messages after which a transaction takes no further one"
    )
    batch_bytes: int = Field(
        default=4 << 20,
        ge=1 << 16,
        le=256 << 20,
        description="bytes after which a transaction takes no further message",
    )
    receive_bytes: int = Field(
        default=16 << 20,
        ge=1 << 16,
        le=1 << 30,
        description="bytes received and not yet in a batch at which the socket is no longer read",
    )
    receipt_interval_s: float = Field(
        default=0.1, ge=0, le=10, description="seconds between two receipts to one gateway at least"
    )
    directory_refresh_s: float = Field(
        default=15.0, gt=0, le=3_600, description="seconds after which the registry is read again: keys revoked by then"
    )
    directory_miss_s: float = Field(
        default=1.0, ge=0, le=60, description="seconds between two readings of the registry caused by unknown names"
    )
    throttle: ThrottleLimits = Field(
        default_factory=ThrottleLimits,
        description="what one gateway may send a second, messages, bytes and refused ones; seconds of it saved up",
    )
    keeper: KeeperConfig = Field(default_factory=KeeperConfig, description="the housekeeping beside the worker")
    retry_min_s: float = Field(default=0.1, gt=0, le=60, description="seconds before the first new try at the database")
    retry_max_s: float = Field(default=5.0, gt=0, le=600, description="seconds between tries at the database at most")

    @field_validator("partitions")
    @classmethod
    def _distinct(cls, partitions: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(partitions)) != len(partitions):
            raise ValueError("a partition stands twice")
        return partitions
