"""Measurements a user can repeat: each starts what it needs in a folder of its own and stops it again."""

from __future__ import annotations
