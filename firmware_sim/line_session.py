"""The device's side of the line protocol as pure state: what to send, what is answered, what to send again.

One JSON object a line, at most `MAX_LINE_BYTES` long; up to `window` lines may be unanswered. The gateway answers
`{"ok": id}` once its disk holds the line, or `{"error": reason, "id": id}` when it will never take it. Silence (the
connection breaks) means nothing is known: everything unanswered is sent again, in its order, on the next connection.
No socket here; `line_client` owns those.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hanlu.core.errors import RemoteError
from hanlu.core.limits import MAX_LINE_BYTES

__all__ = ["Answer", "LineSession", "frame", "parse_answer"]

WINDOW: Final = 256
"""Lines that may be on their way unanswered."""
_MAX_ANSWER_BYTES: Final = 64 * 1024
_OUT_BYTES: Final = 256 * 1024
"""Bytes made ready at a time: long lines are not copied around while the socket is slow."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway says to one line.

    Attributes:
        id: of the line, or None when the gateway could not read it.
        reason: why it was refused for good; None: taken.
        detail: words for a person, perhaps empty.
    """

    id: int | None
    reason: str | None = None
    detail: str = ""


def frame(body: Mapping[str, Any], line_id: int, *, replay: bool = False) -> bytes:
    """Return the line for `body` (exactly one of `senml`, `epcis`, `lost`).

    Raises:
        ValueError: the line is longer than a gateway takes, or holds a number that is not finite.
    """
    line: dict[str, Any] = {"id": line_id, **body}
    if replay:
        line["replay"] = True
    raw = json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    if len(raw) > MAX_LINE_BYTES:
        raise ValueError(f"a line of {len(raw)} bytes; a gateway takes {MAX_LINE_BYTES}")
    return raw


def parse_answer(raw: bytes) -> Answer:
    """Return the answer in one line.

    Raises:
        RemoteError: it is not an answer of this protocol.
    """
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"ok": int(line_id)}:
            return Answer(line_id)
        case {"error": str(reason)}:
            line_id = answer.get("id")
            return Answer(line_id if isinstance(line_id, int) else None, reason, str(answer.get("detail", "")))
    raise RemoteError(f"the gateway answered {raw[:80]!r}, which is no answer of the line protocol")


class LineSession:
    """Everything a device still owes its gateway, across connections."""

    def __init__(self, *, window: int = WINDOW, capacity: int = 20_000) -> None:
        """Begin with nothing to send.

        Args:
            window: lines that may be unanswered, 1 to 256.
            capacity: lines kept in all; beyond it `offer` refuses.
        """
        self._window = window
        self._capacity = capacity
        self._next_id = 1
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._in_flight: OrderedDict[int, bytes] = OrderedDict()
        self._out = bytearray()
        self._in = bytearray()
        self.counts: Counter[str] = Counter()
        """`taken`, `sent_again`, and refused lines by reason."""

    @property
    def owed(self) -> int:
        """Lines that have no answer yet."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def room(self) -> int:
        """Lines `offer` would still take."""
        return self._capacity - self.owed

    def offer(self, body: Mapping[str, Any], *, replay: bool = False) -> int | None:
        """Take a line to be sent and return its id, from 1; None when there is no room, and then it is not kept.

        Raises:
            ValueError: the line can never be sent.
        """
        if self.room <= 0:
            return None
        line_id = self._next_id
        self._waiting.append((line_id, frame(body, line_id, replay=replay)))
        self._next_id += 1
        return line_id

    def outgoing(self) -> bytes:
        """Return what may be written now; empty when the window is full or nothing waits."""
        while self._waiting and len(self._in_flight) < self._window and len(self._out) < _OUT_BYTES:
            line_id, raw = self._waiting.popleft()
            self._in_flight[line_id] = raw
            self._out += raw
        return bytes(self._out)

    def written(self, count: int) -> None:
        """Note that the first `count` bytes of `outgoing` are on their way."""
        del self._out[:count]

    def incoming(self, data: bytes) -> list[Answer]:
        """Return the answers `data` completes and forget the lines they settle.

        Raises:
            RemoteError: the peer does not speak this protocol, or answers what was never asked.
        """
        self._in += data
        *lines, rest = bytes(self._in).split(b"\n")
        if len(rest) > _MAX_ANSWER_BYTES:
            raise RemoteError("the gateway's answer has no end")
        self._in = bytearray(rest)
        answers = [parse_answer(line) for line in lines if line.strip()]
        for answer in answers:
            self._settle(answer)
        return answers

    def broken(self) -> None:
        """Note that the connection is gone: unanswered lines wait again, in their order, before the others."""
        self.counts["sent_again"] += len(self._in_flight)
        self._waiting.extendleft(reversed(self._in_flight.items()))
        self._in_flight.clear()
        self._out.clear()
        self._in.clear()

    def _settle(self, answer: Answer) -> None:
        # A gateway that could not read a line cannot name it; it answers in order, so the oldest is meant.
        line_id = answer.id if answer.id is not None else next(iter(self._in_flight), None)
        if line_id is None or self._in_flight.pop(line_id, None) is None:
            raise RemoteError(f"the gateway answered line {answer.id}, which is not on its way")
        self.counts[answer.reason or "taken"] += 1
