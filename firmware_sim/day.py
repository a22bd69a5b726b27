"""The day every demo lot lives through, in seconds after local midnight (China, UTC+8).

The machines (`fleet.py`) and the events (`journey.py`) read the same figures, so that a lot is in the pre-cooler while
the pre-cooler works and in the truck while the truck drives. `NEXT_DAY` is added to what happens the day after harvest.
"""

from __future__ import annotations

from typing import Final

from hanlu.firmware_sim.physics.schedule import CHINA_OFFSET_MS, DAY_MS

__all__ = [
    "ARRIVE_SHOP_S",
    "ARRIVE_STORE_S",
    "BACK_DEPART_S",
    "BACK_S",
    "DEPART_ORCHARD_S",
    "DEPART_STORE_S",
    "HARVEST_S",
    "INSPECTION_S",
    "LOAD_ORCHARD_S",
    "LOAD_STORE_S",
    "NEXT_DAY_S",
    "PACKED_S",
    "PRECOOL_IN_S",
    "PRECOOL_OUT_S",
    "RECEIVED_SHOP_S",
    "RECEIVED_STORE_S",
    "SALES_S",
    "STOCKED_S",
    "STORED_S",
    "clock",
    "harvest_at",
    "newest_finished_harvest",
]


def clock(hours: int, minutes: int = 0) -> int:
    """Return seconds after midnight."""
    return hours * 3600 + minutes * 60


NEXT_DAY_S: Final = 86_400
HARVEST_S: Final = clock(5, 30)
PRECOOL_IN_S: Final = clock(7)
PRECOOL_OUT_S: Final = clock(11, 30)
INSPECTION_S: Final = clock(11, 45)
PACKED_S: Final = clock(13, 20)
LOAD_ORCHARD_S: Final = clock(14, 30)
DEPART_ORCHARD_S: Final = clock(15)
ARRIVE_STORE_S: Final = clock(16, 20)
RECEIVED_STORE_S: Final = clock(16, 35)
STORED_S: Final = clock(16, 50)
LOAD_STORE_S: Final = clock(3, 30)
DEPART_STORE_S: Final = clock(4)
ARRIVE_SHOP_S: Final = clock(8, 40)
RECEIVED_SHOP_S: Final = clock(8, 55)
STOCKED_S: Final = clock(9, 15)
BACK_DEPART_S: Final = clock(9, 30)
BACK_S: Final = clock(14, 10)
SALES_S: Final = (clock(10, 10), clock(12, 40), clock(18, 30))

_FINISHED_S: Final = NEXT_DAY_S + SALES_S[0] - HARVEST_S + 600
"""From harvest until the first boxes are sold, and ten minutes."""


def harvest_at(at_ms: int) -> int:
    """Return the last harvest (05:30 local) not after `at_ms`, Unix milliseconds."""
    since = (at_ms + CHINA_OFFSET_MS - HARVEST_S * 1000) % DAY_MS
    return at_ms - since


def newest_finished_harvest(now_ms: int) -> int:
    """Return the harvest of the newest lot that has reached its first buyers by `now_ms`: 29 to 53 hours ago."""
    return harvest_at(now_ms - _FINISHED_S * 1000)
