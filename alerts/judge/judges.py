"""All judges by kind: the one table that says which function judges what.

Kinds that are not here are judged otherwise: silence, gaps, calibration and goods by the engine's clock and tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hanlu.alerts.judge.compressor import COMPRESSOR
from hanlu.alerts.judge.contract import Judge
from hanlu.alerts.judge.defrost import DEFROST_LONG, DEFROST_OFTEN, DEFROST_RECOVERY
from hanlu.alerts.judge.door import DOOR
from hanlu.alerts.judge.dose import DOSE, OUT_OF_RANGE
from hanlu.alerts.judge.drift import DRIFT
from hanlu.alerts.judge.level import CLOCK, SPOOL
from hanlu.alerts.judge.limit import LIMIT_JUDGES
from hanlu.alerts.judge.power import POWER
from hanlu.alerts.judge.rate import RATE
from hanlu.alerts.judge.stuck import STUCK
from hanlu.alerts.judge.trend import TIME_TO_LIMIT
from hanlu.alerts.kind import Kind

__all__ = ["JUDGES"]

JUDGES: Final[Mapping[Kind, Judge]] = {
    judge.kind: judge
    for judge in (
        *LIMIT_JUDGES.values(),
        TIME_TO_LIMIT,
        RATE,
        DOSE,
        OUT_OF_RANGE,
        STUCK,
        DRIFT,
        DOOR,
        POWER,
        COMPRESSOR,
        DEFROST_LONG,
        DEFROST_OFTEN,
        DEFROST_RECOVERY,
        SPOOL,
        CLOCK,
    )
}
"""Every kind that is judged reading by reading."""
