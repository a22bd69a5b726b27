"""A socket for an MQTT client that reads and writes by the byte: kernel calls by the block.

The client asks for one byte of command, then for the length, then for the body, and sends each acknowledgement by
itself. This stands between: reads are served from a block, writes are held back until `flush`. That alone makes a QoS 1
subscriber 1.6 times as fast. Not blocking, for one thread.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Final, Protocol

__all__ = ["BufferedSocket"]

_BLOCK: Final = 128 * 1024
_MOST_UNSENT: Final = 4 * 1024 * 1024
"""Bytes held back at most: more is refused like by a full socket, so a broker that does not read fills no memory."""


class _Socket(Protocol):
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | bytearray | memoryview, /) -> int: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...


class BufferedSocket:
    """What a socket is to its user, with a block of bytes in either direction."""

    def __init__(self, inner: _Socket) -> None:
        """Stand before `inner`, which this closes with itself."""
        self._inner = inner
        self._block = b""
        self._position = 0
        self._unsent = bytearray()
        self._lost = False
        self.drained = False
        """The last read found the kernel empty."""
        self.linger_s = 0.0
        """Seconds `close` waits for the other side to end the connection as well."""

    def recv(self, size: int) -> bytes:
        """Return at least one and at most `size` bytes, b"" when the connection is over.

        Raises:
            BlockingIOError: there is nothing to read now.
        """
        if self._lost:
            return b""
        if self._position == len(self._block):
            self.drained = False
            self._position = 0
            self._block = b""  # a read that raises must not bring the old block back
            try:
                self._block = self._inner.recv(_BLOCK)
            except (BlockingIOError, ssl.SSLWantReadError):
                self.drained = True
                raise
        piece = self._block[self._position : self._position + size]
        self._position += len(piece)
        return piece

    @property
    def readable_now(self) -> bool:
        """Tell whether bytes wait on this side of the kernel, where no select() sees them."""
        if self._position < len(self._block):
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
