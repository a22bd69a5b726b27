"""Bytes to lines, whatever pieces they come in."""

from __future__ import annotations

from dataclasses import dataclass, field

from hanlu.core.limits import MAX_LINE_BYTES
from hanlu.core.rejected import Reason, Rejected

__all__ = ["LineSplitter"]


@dataclass(slots=True)
class LineSplitter:
    """Cuts a stream at newlines and keeps at most one unfinished line, bounded.

    Attributes:
        limit: longest line, bytes without its newline.
    """

    limit: int = MAX_LINE_BYTES
    _rest: bytearray = field(default_factory=bytearray)
    _skipping: bool = False

    def feed(self, data: bytes) -> list[bytes | Rejected]:
        """Return the lines `data` completes, without newline or carriage return; blank ones are left out.

        A line beyond the limit is answered once, as `Rejected`, as soon as it is too long; its remainder is skipped.
        """
        lines: list[bytes | Rejected] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._take(data[start:end], lines)
            if not self._skipping:
                line = bytes(self._rest).strip(b"\r \t")
                if line:
                    lines.append(line)
            self._rest.clear()
            self._skipping = False
            start = end + 1
        self._take(data[start:], lines)
        return lines

    def _take(self, piece: bytes, lines: list[bytes | Rejected]) -> None:
        if self._skipping:
            return
        if len(self._rest) + len(piece) > self.limit:
            self._skipping = True
            self._rest.clear()
            lines.append(Rejected(Reason.OVERSIZED, f"a line is longer than {self.limit} bytes"))
        else:
            self._rest += piece
