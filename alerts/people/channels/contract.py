"""What a channel is given and what it gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Answer", "Letter", "Outcome", "Request", "answer_object", "by_status", "cut_utf8", "retry_after_s"]

DETAIL_LENGTH: Final = 300
"""Most characters of an answer that are put on record."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message ready for any channel.

    Attributes:
        uuid: the same for every attempt: receivers tell repetitions by it.
        subject: one line.
        text: plain text, lines separated by newlines; the whole message.
        html: the same as simple HTML, for mail.
        data: the same as JSON, for webhooks.
        short: variables for a template of an SMS, each short.
        thread: what mails of one matter have in common.
        urgent: it is about a critical alarm.
        now_ms: the platform's time, Unix milliseconds.
    """

    uuid: str
    subject: str
    text: str
    html: str
    data: Mapping[str, Any]
    short: Mapping[str, str]
    thread: str
    urgent: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    method: str
    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, header fields with lower-case names, and the first bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        kind: `sent`; `retry`, not now; `limited`, too many; `lost`, no answer, so it may have arrived; `permanent`.
        detail: for people, without secrets.
        retry_after_s: what the channel asks for, seconds.
    """

    kind: str
    detail: str
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        """Keep one printable line: what a service answers may hold what no column takes (NUL, half characters)."""
        if not self.detail.isprintable():
            object.__setattr__(self, "detail", "".join(each if each.isprintable() else " " for each in self.detail))


_AGAIN: Final = frozenset({408, 425, 429})
"""Statuses below 500 that mean another time (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4)."""


def by_status(answer: Answer) -> Outcome | None:
    """Return what the status alone says; None for success, which the body may still deny."""
    words = f"HTTP {answer.status}"
    if 200 <= answer.status < 300:
        return None
    if answer.status in _AGAIN or answer.status >= 500:
        kind = "limited" if answer.status == 429 else "retry"
        return Outcome(kind, words, retry_after_s(answer))
    if 300 <= answer.status < 400:
        return Outcome("permanent", f"{words}: redirects are not followed; give the final address")
    return Outcome("permanent", words)


def retry_after_s(answer: Answer) -> float | None:
    """Return Retry-After in seconds (RFC 9110 10.2.3); a date is not taken, for it needs their clock to be right."""
    text = answer.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def answer_object(answer: Answer) -> dict[str, Any] | None:
    """Return the body as a JSON object; None when it is something else."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def cut_utf8(text: str, most_bytes: int, more: str) -> str:
    """Return `text`, cut at the end of a line so that it has at most `most_bytes` in UTF-8, `more` appended when cut.

    A single line that is too long is cut at the border of a character.
    """
    if len(text.encode()) <= most_bytes:
        return text
    room = most_bytes - len(f"\n{more}".encode())
    kept = text.encode()[: max(room, 0)].decode(errors="ignore")
    if "\n" in kept:
        kept = kept.rsplit("\n", 1)[0]
    return f"{kept}\n{more}"
