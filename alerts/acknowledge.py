"""A person has seen an alarm; the act itself stands with the others in `operate.py`."""

from __future__ import annotations

from hanlu.alerts.operate import NOTE_LENGTH, acknowledge

__all__ = ["NOTE_LENGTH", "acknowledge"]
