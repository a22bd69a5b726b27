"""The edge process: driver, spool, uplink. Works for days without a link."""

from __future__ import annotations
