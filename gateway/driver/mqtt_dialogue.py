"""What drivers on MQTT have in common besides the connection: where the broker is, and what is said there. Pure.

The connection itself, acknowledgement and retry stand in `driver/mqtt_source.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from hanlu.core.limits import MAX_MESSAGE_BYTES
from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.contract import Batch, Undecodable
from hanlu.gateway.driver.mapping import Section

__all__ = ["Dialogue", "Handled", "Handler", "Listener", "MqttBroker", "Publication", "oversized"]


class MqttBroker(Section):
    """The broker devices publish to, and how to sign in; it may be another one than the platform's."""

    host: str = Field(default="127.0.0.1", min_length=1, description="host name or address")
    port: int = Field(default=1883, ge=1, le=65_535, description="TCP port")
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="fixed MQTT client id, unique on its broker, which keeps messages for it while we are away;"
        " none: `hanlu-` and the driver's name",
    )
    username: str | None = Field(default=None, description="sign-in name; none: anonymous")
    password: SecretStr | None = Field(default=None, description="sign-in password; secret")
    password_file: Path | None = Field(default=None, description="file whose first line is the password, instead of it")
    tls: bool = Field(default=False, description="speak TLS and check the broker's certificate and name")
    ca_file: Path | None = Field(default=None, description="PEM file of trusted roots; none: the system's")
    cert_file: Path | None = Field(
        default=None, description="PEM file of our certificate, where the broker asks for it"
    )
    key_file: Path | None = Field(default=None, description="PEM file of our certificate's key")
    keepalive_s: int = Field(default=30, ge=5, le=3_600, description="seconds of silence after which a ping is sent")
    connect_timeout_s: float = Field(default=5.0, gt=0, le=60, description="seconds to wait for a connection")
    reconnect_min_s: float = Field(default=0.5, gt=0, le=60, description="seconds before the first new try to connect")
    reconnect_max_s: float = Field(default=60.0, gt=0, le=3_600, description="seconds between tries at most")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give either password or password_file")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self

    def secret(self) -> str | None:
        """Return the password.

        Raises:
            OSError: the file cannot be read.
        """
        if self.password_file is not None:
            return self.password_file.read_text(encoding="utf-8").split("\n", 1)[0].strip("\r")
        return self.password.get_secret_value() if self.password is not None else None


@dataclass(frozen=True, slots=True)
class Publication:
    """A message of ours to devices or other hosts.

    Attributes:
        topic: without wildcards.
        payload: its bytes.
        qos: 0 or 1.
        retain: whether the broker keeps it for those who come later.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Handled:
    """What one message, or the passing of time, came to.

    Attributes:
        batch: for the intake.
        answers: published once the intake is through with the batch: an answer is a promise.
        earlier: batches offered before `batch`, where not everything may share one.
    """

    batch: Batch = field(default_factory=Batch)
    answers: tuple[Publication, ...] = ()
    earlier: tuple[Batch, ...] = ()


Handler = Callable[[str, bytes, int], Batch]
"""A message's topic, its payload and the time of reception (Unix milliseconds) to what it says; pure, never raises."""


class Dialogue:
    """What a driver says and understands on MQTT; this one says nothing. Called on the driver's thread only."""

    def __init__(self) -> None:
        """Begin with empty figures."""
        self.counts: Counter[str] = Counter()
        """Figures since the start by name; the driver's own join them."""

    def will(self, now_ms: int) -> Publication | None:
        """Return what the broker shall publish should the connection that is being made break."""
        del now_ms
        return None

    def connected(self, now_ms: int) -> tuple[Publication, ...]:
        """Return what to say on a new connection, once its subscriptions are confirmed."""
        del now_ms
        return ()

    def heard(self, topic: str, payload: bytes, now_ms: int) -> Handled:
        """Return what a message comes to; `payload` is no longer than MAX_MESSAGE_BYTES."""
        raise NotImplementedError

    def due(self, now_ms: int) -> Handled | None:
        """Return what the passing of time comes to, if anything; asked once a second or more often."""
        del now_ms
        return None

    def farewell(self, now_ms: int) -> tuple[Publication, ...]:
        """Return what to say before an orderly end."""
        del now_ms
        return ()


class Listener(Dialogue):
    """A dialogue that only listens: each message for itself."""

    def __init__(self, handler: Handler) -> None:
        """Hear with `handler`."""
        super().__init__()
        self._handler = handler

    def heard(self, topic: str, payload: bytes, now_ms: int) -> Handled:
        """Return what the handler makes of it."""
        return Handled(self._handler(topic, payload, now_ms))


def oversized(topic: str, payload: bytes) -> Handled:
    """Return what becomes of a message that is too long to look at."""
    why = Rejected(Reason.OVERSIZED, f"{len(payload)} bytes, at most {MAX_MESSAGE_BYTES} are read")
    return Handled(Batch(undecodable=(Undecodable(topic[:200], why, payload),)))
