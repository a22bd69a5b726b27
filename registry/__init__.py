"""Who and where: organisations, sites, zones, gateways, devices, channels, participants, products, people."""

from __future__ import annotations
