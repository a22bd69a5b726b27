"""What an ingest worker counts about itself. Readings and messages by gateway stand in the database's accounts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

__all__ = ["BATCH_MESSAGES", "BATCH_READINGS", "COMMIT_SECONDS", "HELD_SECONDS", "MESSAGES", "RETRIES"]

_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)

MESSAGES: Final = Counter(
    "hanlu_ingest_messages", "Messages whose batch was committed: accepted, departed, refused, left.", ["outcome"]
)
BATCH_MESSAGES: Final = Histogram("hanlu_ingest_batch_messages", "Messages in one transaction.", buckets=_SIZES)
BATCH_READINGS: Final = Histogram("hanlu_ingest_batch_readings", "Readings in one transaction.", buckets=_SIZES)
COMMIT_SECONDS: Final = Histogram(
    "hanlu_ingest_commit_seconds", "Seconds of one transaction, those that failed included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
HELD_SECONDS: Final = Histogram(
    "hanlu_ingest_held_seconds", "Seconds from the reception of a batch's oldest message to its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
RETRIES: Final = Counter("hanlu_ingest_retries", "Batches tried again because the database was away or busy.")
