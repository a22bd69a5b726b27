"""Values of devices that are text: serial numbers, versions, labels; pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["spelled"]

_PLACE: Final = re.compile(r"\{(\d+)(?:\.(hi|lo|hex))?\}")


def spelled(kind: str, raw: bytes, template: str = "") -> str:
    """Return bytes as text.

    Args:
        kind: `hex`: two digits a byte; `ascii`: characters up to the first NUL, what is no character a replacement
            character; `text`: by `template`.
        raw: the bytes.
        template: `{0}` is byte 0 as a decimal number, `{0.hex}` hexadecimal, `{0.hi}` and `{0.lo}` its upper and lower
            four bits; bytes that are not there read as 0.
    """
    if kind == "hex":
        return raw.hex()
    if kind == "ascii":
        return raw.split(b"\0", 1)[0].decode("utf-8", errors="replace")
    return _PLACE.sub(lambda match: _byte(raw, int(match[1]), match[2]), template)


def _byte(raw: bytes, place: int, part: str | None) -> str:
    byte = raw[place] if place < len(raw) else 0
    if part == "hi":
        return str(byte >> 4)
    if part == "lo":
        return str(byte & 15)
    return f"{byte:x}" if part == "hex" else str(byte)
