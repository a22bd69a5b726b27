"""The role `web`: the console, the consumer and the inspector pages."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hanlu.app.settings import Settings
from hanlu.app.web import serve

__all__ = ["main"]


def main(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> int:
    """Serve until `stop`."""
    return serve(settings, stop, ready)
