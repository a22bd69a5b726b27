"""What notification counts, for /metrics."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

__all__ = ["ATTEMPTS"]

ATTEMPTS: Final = Counter("hanlu_notification_attempts", "Attempts to send a message.", ["channel", "outcome"])
