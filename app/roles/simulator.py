"""The role `simulator`: the devices of the demo county."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hanlu.app.settings import Settings
from hanlu.app.wiring import line_ports
from hanlu.firmware_sim.runner import run
from hanlu.firmware_sim.yanling import demo_county

__all__ = ["main"]


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Let the county work until `stop`."""
    county = demo_county()
    run(
        county,
        {code: ("127.0.0.1", port) for code, port in line_ports(settings, county).items()},
        stop,
        state=settings.data.folder / "gateway" / "simulator.json",
        ready=ready,
    )
    return 0
