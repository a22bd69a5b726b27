"""All judges by kind: the one table that says which function judges what.

Kinds that are not here are judged otherwise: silence, gaps, calibration and goods by the engine's clock and tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hanlu.alerts.judge.contract import Judge
from hanlu.alerts.kind import Kind

__all__ = ["JUDGES"]

JUDGES: Final[Mapping[Kind, Judge]] = {}
"""Every kind that is judged reading by reading."""
