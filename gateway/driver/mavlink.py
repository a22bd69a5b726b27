"""The MAVLink drivers: drones heard live over UDP, and telemetry logs (.tlog) dropped into a folder.

UDP has no acknowledgement: what comes while the disk refuses waits in the kernel's buffer and then falls away, as it
would on the air; the gaps in the senders' sequence numbers are counted (`missing`).
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, Literal

from pydantic import Field, field_validator

from hanlu.core.clock import Clock
from hanlu.core.errors import RemoteError, UsageError
from hanlu.core.limits import EARLIEST_OBSERVED_MS, MAX_FUTURE_MS
from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.contract import Batch, Intake, Undecodable
from hanlu.gateway.driver.folder import FileFacts, FolderConfig, FolderDriver
from hanlu.gateway.driver.mapping import DriverConfig
from hanlu.gateway.driver.mavlink_channels import MavlinkShape, Translator
from hanlu.gateway.driver.mavlink_frame import BadFrame, Frame, Incomplete, frames_in, parse
from hanlu.gateway.driver.patience import Ration, offer_until_settled

__all__ = ["MavlinkConfig", "MavlinkDriver", "TlogConfig", "TlogImporter"]

_DATAGRAM: Final = 65_535
"""Longest datagram, bytes."""
_GATHER_S: Final = 0.5
"""Seconds over which datagrams are gathered into one batch."""
_PAUSE_S: Final = 0.1
"""Seconds after an error of the network before it is listened to again."""
_MOST: Final = 2_000
"""Datagrams in one batch at most."""
_PIECE: Final = 2_000
"""Readings in one piece of a log."""
_CHUNK: Final = 256 * 1024
"""Bytes of a log read at once."""
_LONGEST: Final = 8 + 10 + 255 + 2 + 13
"""Bytes of a log's longest record: stamp, header, payload, checksum, signature."""


class MavlinkConfig(MavlinkShape, DriverConfig):
    """Drones heard live."""

    kind: Literal["mavlink"] = "mavlink"
    listen: str = Field(default="0.0.0.0:14550", description="host:port for UDP")
    peers: tuple[str, ...] = Field(
        default=(), description="networks that are listened to, e.g. 10.41.0.0/16; none: all. MAVLink has no sign-in"
    )
    clock: Literal["arrival", "vehicle"] = Field(
        default="arrival", description="arrival: the gateway's clock; vehicle: the drone's, once SYSTEM_TIME told it"
    )

    @field_validator("peers")
    @classmethod
    def _networks(cls, peers: tuple[str, ...]) -> tuple[str, ...]:
        for peer in peers:
            ipaddress.ip_network(peer)
        return peers

    def build(self, intake: Intake, clock: Clock) -> MavlinkDriver:
        """Return the driver, listening.

        Raises:
            UsageError: the address is taken or none.
        """
        return MavlinkDriver(self, intake, clock)


class TlogConfig(MavlinkShape, DriverConfig):
    """Telemetry logs of ground stations."""

    kind: Literal["mavlink_tlog"] = "mavlink_tlog"
    folder: FolderConfig

    def build(self, intake: Intake, clock: Clock) -> FolderDriver:
        """Return the driver.

        Raises:
            UsageError: there is no such folder.
        """
        return FolderDriver(self, self.folder, TlogImporter(self, clock), intake, clock)


class MavlinkDriver:
    """Listens on one UDP port."""

    def __init__(self, config: MavlinkConfig, intake: Intake, clock: Clock) -> None:
        """Bind the port.

        Raises:
            UsageError: it is taken, or the address is none.
        """
        self._config, self._intake, self._clock = config, intake, clock
        self._socket = _bound(config.listen)
        self._socket.settimeout(_GATHER_S)
        host = config.listen.rpartition(":")[0]
        self.address = f"udp:{host}:{self._socket.getsockname()[1]}"
        self._networks = [ipaddress.ip_network(peer) for peer in config.peers]
        self._stopping = threading.Event()
        self.beat: Callable[[], None] = lambda: None
        """Called at least once a second: the thread is alive."""
        self.counts: Counter[str] = Counter()
        """`messages`, `readings`, `thinned`, `missing`, `other_message`, `bad_checksum` and more, since the start."""
        self._translator = Translator(config, config.clock, self.counts)
        self._ration = Ration(clock)

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return every channel of every system."""
        return self._config.birth_channels()

    def run(self) -> None:
        """Listen until `stop`.

        Raises:
            FatalError: the spool is damaged.
        """
        try:
            while not self._stopping.is_set():
                self.beat()
                batch = self._gather()
                if batch.readings or batch.undecodable:
                    name = self._config.name
                    offer_until_settled(self._intake, batch, self._stopping, self.counts, name, self.beat)
        finally:
            self.close()

    def stop(self) -> None:
        """Make `run` return within half a second."""
        self._stopping.set()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def _gather(self) -> Batch:
        readings: list[Reading] = []
        bad: list[Undecodable] = []
        end = time.monotonic() + _GATHER_S
        for _ in range(_MOST):
            if self._stopping.is_set() or time.monotonic() > end:
                break
            try:
                datagram, sender = self._socket.recvfrom(_DATAGRAM)
            except TimeoutError:
                continue  # nothing came
            except OSError:
                self.counts["link_errors"] += 1
                self._stopping.wait(_PAUSE_S)  # the network is away for the moment
                continue
            if self._networks and not any(ipaddress.ip_address(sender[0]) in each for each in self._networks):
                self.counts["stranger"] += 1
                continue
            frames, wrong = frames_in(datagram, self.counts)
            readings += self._translator.readings(frames, self._clock.now_ms())
            if wrong is not None:
                source = f"{self._config.name} {sender[0]}"
                bad.append(Undecodable(source, Rejected(Reason.MALFORMED, f"MAVLink: {wrong}"), datagram))
        return Batch(tuple(readings), undecodable=self._ration.take(self.counts, bad))


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        family, kind, proto, _, target = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
        try:
            sock.bind(target)
        except BaseException:
            sock.close()
            raise
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"cannot listen for MAVLink on {address}: {error}") from error
    return sock


class TlogImporter:
    """Reads telemetry logs: each frame behind eight bytes of time, microseconds since 1970, big-endian.

    Source: MAVLink guide, "Telemetry logs"; the layout is that of the ground stations (Mission Planner, MAVProxy).
    """

    def __init__(self, shape: MavlinkShape, clock: Clock) -> None:
        """Read logs of the systems in `shape`; `clock` says which stamps are still to come."""
        self._shape, self._clock = shape, clock

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return every channel of every system."""
        return self._shape.birth_channels()

    def pieces(self, file: FileFacts) -> Iterator[Batch]:
        """Yield the readings of a log.

        Raises:
            RemoteError: there is no MAVLink message in it, or none of a system that is listened to.
        """
        counts: Counter[str] = Counter()
        translator = Translator(self._shape, "arrival", counts)
        piece: list[Reading] = []
        for stamp_us, frame in self.records(file):
            piece += translator.readings([frame], (stamp_us + 500) // 1000)
            if len(piece) >= _PIECE:
                yield Batch(tuple(piece), live=False)
                piece = []
        if not counts["messages"]:
            raise RemoteError("it holds no MAVLink message behind a time stamp: it is no .tlog")
        if counts["messages"] == counts["other_system"]:
            raise RemoteError("none of its messages is from a system in `systems`")
        if piece:
            yield Batch(tuple(piece), live=False)

    def records(self, file: FileFacts) -> Iterator[tuple[int, Frame]]:
        """Yield stamps (microseconds since 1970, UTC) and frames; damaged stretches are skipped."""
        latest_us = (self._clock.now_ms() + MAX_FUTURE_MS) * 1000
        with file.open() as source:
            buffer = bytearray()
            more = True
            while more:
                chunk = source.read(_CHUNK)
                more = bool(chunk)
                buffer += chunk
                at = 0
                while at < len(buffer) - (_LONGEST * 2 if more else 0):
                    stamp_us = int.from_bytes(buffer[at : at + 8], "big")
                    frame = _record(buffer, at, stamp_us, latest_us)
                    if frame is None:
                        at += 1
                        continue
                    yield stamp_us, frame
                    at += 8 + frame.size
                del buffer[:at]


def _record(buffer: bytearray, at: int, stamp_us: int, latest_us: int) -> Frame | None:
    """Return the frame of the record that begins at `at`; None where none does."""
    if not EARLIEST_OBSERVED_MS * 1000 <= stamp_us <= latest_us:
        return None
    frame = parse(buffer, at + 8)
    if isinstance(frame, BadFrame | Incomplete):
        return None
    behind = at + 8 + frame.size
    if frame.message is None and behind + 9 <= len(buffer) and buffer[behind + 8] not in (0xFD, 0xFE):
        return None  # its checksum cannot be checked, and no record follows: it was chance
    return frame
