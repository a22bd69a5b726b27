"""The role `gateway`: the gateways of the simulated county, each with a spool, a key and a link of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hanlu.app.settings import Settings
from hanlu.app.wiring import gateway_configs
from hanlu.firmware_sim.yanling import demo_county
from hanlu.gateway.service import run_many

__all__ = ["main"]


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Serve devices and bring their readings to the broker until `stop`."""
    run_many(gateway_configs(settings, demo_county()), stop, ready)
    return 0
