"""A gateway as a process of its own, to be killed: settings as JSON in the file named first."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.service import run


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(GatewayConfig.model_validate_json(Path(sys.argv[1]).read_text()), stop, lambda: print("ready", flush=True))


main()
