"""What the registry says about gateways, keys and channels, as one immutable picture in memory.

`decode` looks everything up in a `Snapshot`. The `Directory` keeps a fresh one: read again every so often, so that a
revoked key stops working, and at once when a message names something unknown, so that a channel registered a moment
ago works. Names nobody knows must not become a load on the database: such readings are rate-limited, and never take
more than a twentieth of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hanlu.core.clock import Clock
from hanlu.core.limits import PHYSICAL_RANGE
from hanlu.core.senml import is_name
from hanlu.db.pool import Connection, translated
from hanlu.db.queries import load_queries

__all__ = ["Channel", "Directory", "Gateway", "Key", "Snapshot", "read_snapshot"]

_ANY_VALUE: Final = (float("-inf"), float("inf"))
_MOST_OF_TIME: Final = 20
"""A reading of the registry is followed by a pause of at least so many times its own length."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel.

    Attributes:
        channel_id: of the registry.
        unit: SenML unit its readings must carry.
        low: least value its unit allows, inclusive.
        high: greatest value, inclusive.
    """

    channel_id: int
    unit: str
    low: float
    high: float

    @classmethod
    def of(cls, channel_id: int, unit: str) -> Channel:
        """Return the channel with the physical range of its unit."""
        low, high = PHYSICAL_RANGE.get(unit, _ANY_VALUE)
        return cls(channel_id, unit, low, high)


@dataclass(frozen=True, slots=True)
class Key:
    """A gateway's public key and when it counts, Unix milliseconds UTC."""

    public: bytes
    valid_from_ms: int
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway.

    Attributes:
        gateway_id: of the registry.
        code: the name in its topics.
        partition: the one partition it may publish to.
        accepts_unsigned: whether bare SenML is taken from it.
        keys: by key id.
        channels: by `device/metric`, SenML names all of them.
    """

    gateway_id: int
    code: str
    partition: int
    accepts_unsigned: bool = False
    keys: Mapping[bytes, Key] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registry at one moment.

    Attributes:
        gateways: by code.
        owners: key id to gateway code, over all gateways: tells a foreign key from an unknown one.
    """

    gateways: Mapping[str, Gateway]
    owners: Mapping[bytes, str]

    @classmethod
    def of(cls, *gateways: Gateway) -> Snapshot:
        """Return the snapshot of these gateways."""
        return cls(
            MappingProxyType({each.code: each for each in gateways}),
            MappingProxyType({kid: each.code for each in gateways for kid in each.keys}),
        )


def read_snapshot(connection: Connection) -> Snapshot:
    """Return the registry as it stands.

    Raises:
        TransientError: the database is away.
    """
    queries = load_queries("hanlu.ingest")
    with translated(), connection.transaction():
        keys: dict[int, dict[bytes, Key]] = {}
        for gateway_id, kid, public, valid_from_ms, revoked_ms in connection.execute(queries["list_keys"]):
            keys.setdefault(gateway_id, {})[kid] = Key(public, valid_from_ms, revoked_ms)
        channels: dict[int, dict[str, Channel]] = {}
        for gateway_id, name, channel_id, unit in connection.execute(queries["list_channels"]):
            if is_name(name):  # under another no reading can come (hanlu.core.senml)
                channels.setdefault(gateway_id, {})[name] = Channel.of(channel_id, unit)
        rows = connection.execute(queries["list_gateways"]).fetchall()
    return Snapshot.of(
        *(
            Gateway(gateway_id, code, partition, unsigned, keys.get(gateway_id, {}), channels.get(gateway_id, {}))
            for gateway_id, code, partition, unsigned in rows
        )
    )


class Directory:
    """Keeps a snapshot fresh."""

    def __init__(self, clock: Clock, refresh_s: float = 15.0, miss_s: float = 1.0) -> None:
        """Start empty; the first `refresh` fills it.

        Args:
            clock: for the pauses.
            refresh_s: seconds after which a snapshot is old.
            miss_s: seconds between two readings caused by unknown names.
        """
        self._clock = clock
        self._refresh_s = refresh_s
        self._miss_s = miss_s
        self._read_at: float | None = None
        self._took_s = 0.0
        self.snapshot = Snapshot.of()

    def refresh(self, connection: Connection, *, missed: bool = False) -> bool:
        """Read the registry again when it is due and tell whether that was done.

        Args:
            connection: in autocommit, or outside a transaction.
            missed: a name was not found, so that a much younger snapshot is due already.

        Raises:
            TransientError: the database is away; the old snapshot stays.
        """
        now = self._clock.monotonic()
        pause = max(self._miss_s if missed else self._refresh_s, _MOST_OF_TIME * self._took_s)
        if self._read_at is not None and now - self._read_at < pause:
            return False
        self.snapshot = read_snapshot(connection)
        self._read_at = self._clock.monotonic()
        self._took_s = self._read_at - now
        return True
