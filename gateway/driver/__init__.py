"""Southbound drivers: how devices on the spot reach the spool."""

from __future__ import annotations
