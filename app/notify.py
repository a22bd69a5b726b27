"""The way from a supervised process to its supervisor: JSON lines on an inherited pipe (see `supervisor.py`)."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any

__all__ = ["Notifier"]


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells the supervisor, or nobody when the role was started by hand.

    Attributes:
        fd: the pipe's number; None without a supervisor.
    """

    fd: int | None

    def ready(self) -> None:
        """Say that this process serves now."""
        self._send({"ready": True})

    def say(self, text: str) -> None:
        """Have one line printed on the terminal and kept in no log: first passwords go this way."""
        if self.fd is None:
            print(text, flush=True)  # noqa: T201 - started by hand: this is the terminal
        else:
            self._send({"say": text})

    def _send(self, notice: dict[str, Any]) -> None:
        if self.fd is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.fd, json.dumps(notice, ensure_ascii=False).encode() + b"\n")
