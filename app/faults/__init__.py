"""The fault matrix: the real processes, broken in every way we know, and the account checked after each."""

from __future__ import annotations
