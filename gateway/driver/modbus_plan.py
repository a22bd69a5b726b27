"""Registers to requests: neighbours are read together; pure.

Source: MODBUS Application Protocol V1.1b3, 6.1-6.4 (at most 2000 bits, 125 registers in one request).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hanlu.gateway.driver.modbus_register import Register

__all__ = ["MAX_BITS", "MAX_WORDS", "Request", "apart", "plan"]

MAX_WORDS: Final = 125
"""Registers one request can ask for (functions 03 and 04)."""
MAX_BITS: Final = 2_000
"""Bits one request can ask for (functions 01 and 02)."""


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """One read.

    Attributes:
        function: 1 to 4.
        first: wire address, from 0.
        count: words or bits.
    """

    function: int
    first: int
    count: int

    @property
    def end(self) -> int:
        """Return the address after the last one."""
        return self.first + self.count


def plan(registers: Iterable[Register], max_gap: int, max_words: int = MAX_WORDS) -> tuple[Request, ...]:
    """Return the fewest requests, in ascending order, that read `registers` and their reliability words.

    Args:
        registers: of one device.
        max_gap: unused addresses read along to save a request, words or bits; 0 reads nothing that is not asked for.
        max_words: most words one request may ask for; some devices take fewer than the standard's 125.

    A value of several words is never cut in two, because a device may change it between the halves.
    """
    merged: list[Request] = []
    for span in sorted(_spans(registers)):
        last = merged[-1] if merged else None
        limit = MAX_BITS if span.function in (1, 2) else max_words
        if last is not None and last.function == span.function and span.first - last.end <= max_gap:
            end = max(last.end, span.end)
            if end - last.first <= limit:
                merged[-1] = Request(last.function, last.first, end - last.first)
                continue
        merged.append(span)
    return tuple(merged)


def apart(request: Request, registers: Sequence[Register]) -> tuple[Request, ...]:
    """Return the single reads `request` was merged from, for a device that refuses to be read across its gaps."""
    inside = {
        span
        for span in _spans(registers)
        if span.function == request.function and request.first <= span.first and span.end <= request.end
    }
    return tuple(sorted(inside))


def _spans(registers: Iterable[Register]) -> Iterable[Request]:
    for register in registers:
        yield Request(register.function, register.first, register.words)
        if register.trust_at is not None:
            yield Request(register.function, register.trust_at, 1)
