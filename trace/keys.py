"""Secret keys in files: 32 bytes as hex, readable by their owner alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hanlu.core.errors import ConflictError, FatalError, NotFoundError

__all__ = ["make_secret", "read_secret"]

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{64})\s*")


def read_secret(path: Path) -> bytes:
    """Return the 32 bytes of a key file.

    Raises:
        NotFoundError: There is no such file.
        FatalError: Others can read it, or it holds no key.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise NotFoundError(f"there is no key file {path}") from None
    except UnicodeDecodeError:
        text = ""
    if mode & 0o077:
        raise FatalError(f"{path} can be read by others: chmod 600 it, and change the key if others may have read it")
    match = _HEX.fullmatch(text)
    if match is None:
        raise FatalError(f"{path} holds no key: 64 hex digits are expected")
    return bytes.fromhex(match[1])


def make_secret(path: Path, secret: bytes) -> None:
    """Write a new key file of mode 0600; it is on the disk when this returns.

    Raises:
        ConflictError: The file exists already; a key is never overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConflictError(f"{path} exists already; a key is never overwritten") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
