"""Labels: the printed code that opens a lot's page."""

from __future__ import annotations
