"""Devices that speak the real wire: physics, faults, fleets and replay of real exports."""

from __future__ import annotations
