"""Addresses to listening sockets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from hanlu.core.errors import UsageError

__all__ = ["listen"]

_BACKLOG: Final = 128
"""Connections the kernel may hold for us before we accept them."""


def listen(address: str) -> tuple[socket.socket, str]:
    """Listen on `address`: `host:port`, `[v6]:port` or `unix:/path`.

    Returns:
        The non-blocking socket, and the address with the port really taken where 0 was asked.

    Raises:
        UsageError: it is taken, not ours, or not an address.
    """
    try:
        if address.startswith("unix:"):
            return _unix(Path(address.removeprefix("unix:"))), address
        host, _, port = address.rpartition(":")
        family, kind, proto, _, target = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _start(sock, target)
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"cannot listen for devices on {address}: {error}") from error
    return sock, f"{host}:{sock.getsockname()[1]}"


def _unix(path: Path) -> socket.socket:
    """Listen on a socket file; one that a crash left behind is removed, one that answers is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise OSError("another process answers there")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX)
    _start(sock, str(path))
    return sock


def _start(sock: socket.socket, target: object) -> None:
    try:
        sock.bind(target)  # type: ignore[arg-type]  # the shape depends on the family
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
