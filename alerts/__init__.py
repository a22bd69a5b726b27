"""Readings to alarms to people, and the operator console."""

from __future__ import annotations
