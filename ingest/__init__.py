"""MQTT to TimescaleDB: subscribe, decode, batch, commit, receipt, acknowledge."""

from __future__ import annotations
