"""An ingest worker as a process of its own, to be killed: settings and database URL as JSON in the file named first."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from hanlu.ingest.config import IngestConfig
from hanlu.ingest.service import run


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(IngestConfig.model_validate(given["config"]), given["url"], stop, lambda: print("ready", flush=True))


main()
