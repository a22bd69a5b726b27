"""What the alarm engine counts about itself."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

__all__ = ["ARRIVALS", "CHANGES", "PAGE_SECONDS"]

ARRIVALS: Final = Counter("hanlu_alarm_arrivals", "Arrivals judged.")
CHANGES: Final = Counter("hanlu_alarm_changes", "Changes of alarms.", ["event"])
PAGE_SECONDS: Final = Histogram(
    "hanlu_alarm_page_seconds", "Seconds to judge and record one page of arrivals.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)  # fmt: skip
