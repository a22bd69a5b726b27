"""Recorded exports played through a gateway: nothing resampled, filled or filtered, every cell accounted for.

`guess` proposes a `mapping`, a person confirms it, `reader` turns rows into values and invalid cells, `plan` counts
them before anything is sent, `play` sends them.
"""

from __future__ import annotations
