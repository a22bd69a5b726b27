"""A socket for an MQTT client that reads and writes by the block, and takes the messages out before the client.

The client asks for one byte of command, then for the length, then for the body, and sends each acknowledgement by
itself: most of a subscriber's time. This stands between. What comes is read by the block and cut into packets;
messages (PUBLISH of QoS 0 and 1) are handed to the caller, packets of every other kind to the client, one at a time and
whole. What goes is held back until `flush`. The protocol stays the client's; only the packet that comes by the ten
thousand passes it by. Not blocking, for one thread.
Source: MQTT 3.1.1, 2.2 (fixed header, remaining length), 3.3 (PUBLISH), 3.4 (PUBACK).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

__all__ = ["BufferedSocket", "Packet"]

_BLOCK: Final = 128 * 1024
_MOST_UNSENT: Final = 4 * 1024 * 1024
"""Bytes held back at most: more is refused like by a full socket, so a broker that does not read fills no memory."""


_PUBLISH: Final = 0x30
_PUBACK: Final = b"\x40\x02"
_NEVER: Final = 1 << 62


def _bounds(block: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the body of the packet at `at` begins and where it ends; beyond `end` when it is not all there.

    A length of five bytes is none: such a packet ends with the fourth, for the client to find fault with.
    """
    if end - at < 2:
        return end, _NEVER
    size, start, shift = block[at + 1], at + 2, 7
    if size & 0x80:
        size &= 0x7F
        while True:
            if start >= end:
                return end, _NEVER
            byte = block[start]
            start += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift > 21:
                return start, start
    return start, start + size


class _Socket(Protocol):
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | bytearray | memoryview, /) -> int: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...


class Packet(NamedTuple):
    """A PUBLISH packet of QoS 0 or 1.

    Attributes:
        topic: UTF-8, not checked.
        payload: the message.
        mid: packet id, 0 at QoS 0.
        qos: 0 or 1.
        retained: the broker kept it for whoever subscribes; nobody knows how old it is.
    """

    topic: bytes
    payload: bytes
    mid: int
    qos: int
    retained: bool = False


class BufferedSocket:
    """What a socket is to its user, with a block of bytes in either direction."""

    def __init__(self, inner: _Socket) -> None:
        """Stand before `inner`, which this closes with itself."""
        self._inner = inner
        self._block = b""
        self._position = 0
        self._gate = 0
        self._starved = True
        self._unsent = bytearray()
        self._lost = False
        self._ended = False
        self.linger_s = 0.0
        """Seconds `close` waits for the other side to end the connection as well."""

    def fill(self) -> bool:
        """Read a block from the kernel, unless there is one to split yet, and tell whether there is one.

        So no more than a block and the beginning of a packet waits here. The connection's end shows in `split`.
        """
        if not self._starved:
            return True
        if self._ended or self._lost:
            return False
        try:
            block = self._inner.recv(_BLOCK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            block = b""
        self._ended = not block
        self._block = self._block[self._position :] + block
        self._position = self._gate = 0
        self._starved = False
        return bool(block)

    def split(self, most: int, overhead: int) -> tuple[list[Packet], bool]:
        """Take out the messages at the head of what was read, up to the first packet of another kind.

        Args:
            most: bytes of payload after which no further one is taken.
            overhead: bytes each counts besides its payload.

        Returns:
            The messages, and whether the client has something to read now: a packet, or the connection's end.
        """
        packets: list[Packet] = []
        block, at, end = self._block, self._position, len(self._block)
        while most > 0:
            start, stop = _bounds(block, at, end)
            if stop > end:
                self._starved = True
                break
            kind = block[at]
            qos = kind >> 1 & 3
            title = start + 2
            body = title + (block[start] << 8 | block[start + 1]) + (2 if qos else 0) if stop - start > 1 else stop + 1
            if kind & 0xF4 != _PUBLISH or body > stop:
                self._position, self._gate = at, stop
                return packets, True
            name_end = body - 2 if qos else body
            mid = block[name_end] << 8 | block[name_end + 1] if qos else 0
            packets.append(Packet(block[title:name_end], block[body:stop], mid, qos, kind & 1 == 1))
            most -= stop - body + overhead
            at = stop
        self._position = self._gate = at
        return packets, self._lost or (self._ended and self._starved)

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes of the packet `split` stopped at, b"" when the connection is over.

        Raises:
            BlockingIOError: the packet is read, and the connection goes on.
        """
        if self._lost:
            return b""
        if self._position < self._gate:
            piece = self._block[self._position : min(self._position + size, self._gate)]
            self._position += len(piece)
            return piece
        if self._ended and self._starved:
            return b""
        raise BlockingIOError

    @property
    def readable_now(self) -> bool:
        """Tell whether there is something to do on this side of the kernel, where no select() sees it."""
        if self._lost or self._ended or (not self._starved and self._position < len(self._block)):
            return True
        return isinstance(self._inner, ssl.SSLSocket) and self._inner.pending() > 0

    def send(self, data: bytes | bytearray) -> int:
        """Hold `data` back and return its length.

        Raises:
            BlockingIOError: too much is held back already.
        """
        if len(self._unsent) > _MOST_UNSENT:
            raise BlockingIOError
        self._unsent += data
        return len(data)

    def acknowledge(self, mids: Iterable[int]) -> None:
        """Hold PUBACKs back; four bytes each, so nothing is refused."""
        self._unsent += b"".join([_PUBACK + mid.to_bytes(2) for mid in mids])

    @property
    def unsent(self) -> bool:
        """Tell whether bytes are held back."""
        return bool(self._unsent) and not self._lost

    def flush(self) -> None:
        """Send what is held back as far as the kernel takes it; a broken connection shows at the next `recv`."""
        while self._unsent and not self._lost:
            try:
                sent = self._inner.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                self._lost = True
                return
            del self._unsent[:sent]

    def close(self) -> None:
        """Send what the kernel takes at once, and close; with `linger_s` set, let the other side read it first.

        A socket closed with unread data resets the connection, and a reset makes the other side's kernel throw away
        what it has not read yet: acknowledgements, in our case.
        """
        self.flush()
        try:
            if self.linger_s > 0 and not self._lost:
                self._await_end()
        finally:
            self._inner.close()

    def _await_end(self) -> None:
        end = time.monotonic() + self.linger_s
        with contextlib.suppress(OSError):
            self._inner.shutdown(socket.SHUT_WR)
            while (left := end - time.monotonic()) > 0:
                self._inner.settimeout(left)
                if not self._inner.recv(_BLOCK):
                    return

    def fileno(self) -> int:
        """Return the descriptor, for select()."""
        return self._inner.fileno()

    def setblocking(self, flag: bool) -> None:
        """Set the mode of the socket beneath."""
        self._inner.setblocking(flag)
