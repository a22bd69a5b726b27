"""How much the spool may hold: what was configured, or what the disk has left, whichever is less.

A reserve file beside the spool takes up space while there is some. When the disk is full in spite of all care (others
write to it too), the reserve is given back to it, so that there is room to count what has to be turned away and to
keep events; it is taken again as soon as the disk allows.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from hanlu.core.observe import log

__all__ = ["Room"]

_logger = logging.getLogger(__name__)

_RESERVE: Final = 4 << 20
"""Bytes of the reserve: room for the write-ahead log between two checkpoints."""
_HEADROOM: Final = 4 << 20
"""Bytes of the disk left to others and to the write-ahead log while readings are taken."""


class Room:
    """The space of one spool."""

    def __init__(self, spool: Path, max_bytes: int) -> None:
        """Look after the space of the file `spool`, at most `max_bytes` of pending messages."""
        self._folder, self._reserve = spool.parent, spool.with_name(spool.name + ".reserve")
        self.max_bytes = max_bytes
        self.disk_full = not self._take_reserve()
        """The disk refused a write and has not recovered."""

    def capacity(self, pending_bytes: int, reusable_bytes: int) -> int:
        """Return the bytes of pending messages there is room for, above 0.

        Args:
            pending_bytes: held now.
            reusable_bytes: free inside the spool's file.
        """
        disk = os.statvfs(self._folder)
        left = disk.f_bavail * disk.f_frsize + reusable_bytes - _HEADROOM
        return max(1, min(self.max_bytes, pending_bytes + max(0, left)))

    def give_way(self) -> None:
        """Give the reserve back to a disk that is full."""
        if not self.disk_full:
            self.disk_full = True
            log(_logger, logging.ERROR, "gateway.disk.full", f"the disk of {self._folder} is full: readings wait or go")
        self._reserve.unlink(missing_ok=True)

    def recover(self) -> bool:
        """Take the reserve again if the disk allows; return whether it is there."""
        if self.disk_full and self._take_reserve():
            self.disk_full = False
            log(_logger, logging.WARNING, "gateway.disk.recovered", f"the disk of {self._folder} has room again")
        return not self.disk_full

    def _take_reserve(self) -> bool:
        try:
            if self._reserve.exists() and self._reserve.stat().st_size == _RESERVE:
                return True
            disk = os.statvfs(self._folder)
            if disk.f_bavail * disk.f_frsize < _RESERVE + _HEADROOM:
                return False
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _RESERVE)
            finally:
                os.close(descriptor)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            return False
        return True
