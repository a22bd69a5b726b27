"""Devices that speak the real wire: physics, faults, a demo county and the replay of recorded exports.

Nothing here knows the platform. The simulator meets it at the gateway's line protocol (`line_client`), as real
equipment would; only `hanlu.core` is imported.
"""

from __future__ import annotations
