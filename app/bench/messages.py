"""The gateways, channels and messages of the ingest measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.reading import Reading
from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import NO_PREVIOUS, ContentType, Header, digest, key_id, public_bytes, seal
from hanlu.core.wire.topics import Lane, Topic

__all__ = ["DEVICES", "GATEWAYS", "Channels", "Message", "Shape", "messages", "paced", "register", "rows"]

GATEWAYS: Final = 10
DEVICES: Final = 20
"""Devices of each gateway, with one channel each."""

_STEP_MS: Final = 10
"""Between two readings of a message."""

Message = tuple[str, bytes]
"""Topic and payload."""
Channels = dict[tuple[int, int], int]
"""Gateway and device, by their numbers, to the channel's id."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a run's messages look like.

    Attributes:
        signed: in envelopes, chained; else bare SenML.
        size: readings in each.
        count: messages.
    """

    signed: bool
    size: int
    count: int

    @property
    def readings(self) -> int:
        """Readings in all."""
        return self.size * self.count


def _key(gateway: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([gateway + 1]) * 32)


def _name(device: int) -> str:
    return f"bench-{device}/air_temperature"


def _sealed(items: Iterator[tuple[int, list[Reading], Lane]], *, signed: bool, epoch: int) -> Iterator[Message]:
    """Make messages of readings, chained for each gateway when they are signed."""
    chains = dict.fromkeys(range(GATEWAYS), (0, 0, NO_PREVIOUS))
    keys = {gateway: _key(gateway) for gateway in range(GATEWAYS)}
    for gateway, readings, lane in items:
        payload = encode_json(readings)
        if signed:
            seq, produced, prev = chains[gateway]
            seq, produced, key = seq + 1, produced + len(readings), keys[gateway]
            kid, count = key_id(public_bytes(key)), len(readings)
            header = Header(kid, ContentType.SENML_JSON, bytes([epoch]) * 16, seq, prev, count, produced)
            payload = seal(header, payload, key)
            chains[gateway] = seq, produced, digest(payload)
        yield str(Topic(gateway, f"bench-{gateway}", lane)), payload


def messages(shape: Shape, start_ms: int, lane: Lane = Lane.LIVE, *, step_ms: int = _STEP_MS) -> Iterator[Message]:
    """Yield messages spread over the gateways, no reading twice."""
    size = shape.size

    def items() -> Iterator[tuple[int, list[Reading], Lane]]:
        for number in range(shape.count):
            turn = number // GATEWAYS
            yield number % GATEWAYS, [_reading(turn * size + i, i, start_ms, step_ms) for i in range(size)], lane

    return _sealed(items(), signed=shape.signed, epoch=1)


def _reading(place: int, device: int, start_ms: int, step_ms: int) -> Reading:
    return Reading(_name(device % DEVICES), "Cel", start_ms + place * step_ms, -18.0 + place % 7 / 10)


def paced(count: int, rate: float, start_ms: int) -> tuple[list[Message], dict[tuple[int, int, int], int]]:
    """Return bare messages of one reading each, stamped with when they are due, and the number of each.

    Args:
        count: messages.
        rate: messages a second.
        start_ms: when the first is due, Unix milliseconds.

    Returns:
        The messages, and gateway, device and time of each to its number.
    """
    places = {}
    items = []
    for number in range(count):
        gateway, device = number % GATEWAYS, number // GATEWAYS % DEVICES
        at_ms = start_ms + int(number * 1000 / rate)
        places[gateway, device, at_ms] = number
        items.append((gateway, [Reading(_name(device), "Cel", at_ms, 4.0 + number % 8 / 8)], Lane.LIVE))
    return list(_sealed(iter(items), signed=False, epoch=2)), places


def rows(shape: Shape, start_ms: int, channels: Channels) -> tuple[list[int], list[int], list[float]]:
    """Return channel ids, times and values of the very readings of `messages`."""
    ids, times, values = [], [], []
    for number in range(shape.count):
        gateway, turn = number % GATEWAYS, number // GATEWAYS
        for i in range(shape.size):
            reading = _reading(turn * shape.size + i, i, start_ms, _STEP_MS)
            ids.append(channels[gateway, i % DEVICES])
            times.append(reading.observed_ms)
            values.append(reading.value)
    return ids, times, values


def register(connection: psycopg.Connection[tuple[object, ...]]) -> Channels:
    """Write the gateways, their keys and channels into the register, at its first site; return the channels."""
    channels: Channels = {}
    for gateway in range(GATEWAYS):
        public = public_bytes(_key(gateway))
        (gateway_id,) = connection.execute(
            "INSERT INTO registry.gateway (site_id, code, partition, accepts_unsigned)"
            " SELECT min(site_id), %s, %s, true FROM registry.site RETURNING gateway_id",
            (f"bench-{gateway}", gateway),
        ).fetchone() or (0,)
        connection.execute(
            "INSERT INTO registry.gateway_key (kid, gateway_id, public_key) VALUES (%s, %s, %s)",
            (key_id(public), gateway_id, public),
        )
        for device in range(DEVICES):
            (channel_id,) = connection.execute(
                "WITH d AS (INSERT INTO registry.device (gateway_id, code, kind) VALUES (%s, %s, 'cold_room')"
                " RETURNING device_id) INSERT INTO registry.channel (device_id, metric, unit, period_s)"
                " SELECT device_id, 'air_temperature', 'Cel', 10 FROM d RETURNING channel_id",
                (gateway_id, f"bench-{device}"),
            ).fetchone() or (0,)
            channels[gateway, device] = int(str(channel_id))
    return channels
