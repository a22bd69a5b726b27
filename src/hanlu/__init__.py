"""Hanlu (寒露): cold-chain telemetry and farm-to-table traceability.

The rooms of this package are the top-level folders of the repository; see docs/tour.md for the way the data goes.
"""

from __future__ import annotations

__version__ = "0.1.0"
