"""A log file that is rotated by size: what one supervised process writes, kept within bounds on the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

__all__ = ["LogFile", "tail"]


@dataclass(slots=True)
class LogFile:
    """Appends bytes; at `max_bytes` the file becomes `<name>.1`, that one `<name>.2`, and the oldest goes.

    Lines are not cut: a file is rotated before the piece that would exceed the limit, and a piece is what the process
    wrote at once.
    """

    path: Path
    max_bytes: int
    keep: int
    _handle: BinaryIO | None = field(init=False, default=None)
    _size: int = field(init=False, default=0)

    def write(self, piece: bytes) -> None:
        """Append `piece`."""
        if self._handle is None or (self._size and self._size + len(piece) > self.max_bytes):
            self._open(rotate=self._handle is not None)
        handle = self._handle
        if handle is not None:
            handle.write(piece)
            handle.flush()
            self._size += len(piece)

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        if self._handle:
            self._handle.close()
            self._handle = None

    def _open(self, *, rotate: bool) -> None:
        self.close()
        if rotate:
            for number in range(self.keep - 1, 0, -1):
                older = self.path.with_name(f"{self.path.name}.{number}")
                if older.exists():
                    older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._handle = os.fdopen(descriptor, "ab")
        self._size = os.fstat(descriptor).st_size


def tail(path: Path, lines: int = 12, max_bytes: int = 8192) -> str:
    """Return the last lines of a log file, for a message about what went wrong; empty when there is none."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - max_bytes))
            return "\n".join(handle.read().decode("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
