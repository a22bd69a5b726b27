"""The frame around a role: log, signals, ready notice, and an end that comes in any case."""

from __future__ import annotations

import logging
import os
import threading
import time

from hanlu.app import log_format
from hanlu.app.notify import Notifier
from hanlu.app.roles import RoleMain, load_role
from hanlu.app.settings import Settings
from hanlu.app.stop_signals import StopSignals
from hanlu.core.errors import HanluError, UsageError
from hanlu.core.observe import log

__all__ = ["run_main", "run_role"]

_logger = logging.getLogger(__name__)
_GRACE_S = 2.0


def run_role(name: str, settings: Settings, notify_fd: int | None, metrics_port: int | None = None) -> int:
    """Run the role `name` in this process until a signal; returns its exit status.

    Args:
        name: of the role.
        settings: in force.
        notify_fd: where to say that it is ready.
        metrics_port: TCP port of the loopback for Prometheus; None: none.

    Raises:
        UsageError: the port is taken.
    """
    log_format.configure(settings.log, name)
    if metrics_port is not None:
        from prometheus_client import start_http_server  # an edge computer runs in this frame without it

        try:
            start_http_server(metrics_port, "127.0.0.1")
        except OSError as error:
            raise UsageError(f"--metrics-port {metrics_port}: {error.strerror}") from error
    return run_main(name, load_role(name), settings, Notifier(notify_fd))


def run_main(name: str, main: RoleMain, settings: Settings, notifier: Notifier) -> int:
    """Run a role's `main` in this frame: an error becomes a log line and exit status 1, never a silent end.

    A role that does not end within the stop deadline after a signal is ended here: when our supervisor was killed,
    nobody else would.
    """
    begun = time.monotonic()
    with StopSignals() as stop:
        threading.Thread(
            target=_end_in_any_case,
            args=(stop.event, settings.supervisor.stop_deadline_s + _GRACE_S),
            name="last-resort",
            daemon=True,
        ).start()

        def ready() -> None:
            log(_logger, logging.INFO, "app.role.ready", "ready", role=name, after_s=round(time.monotonic() - begun, 2))
            notifier.ready()

        try:
            status = main(settings, stop.event, ready)
        except HanluError as exc:
            log(_logger, logging.ERROR, "app.role.failed", str(exc), role=name)
            status = 1
        except Exception:
            _logger.exception("unexpected error", extra={"action": "app.role.crashed", "fields": {"role": name}})
            status = 1
        log(_logger, logging.INFO, "app.role.stopped", "stopped", role=name, status=status)
    return status


def _end_in_any_case(stop: threading.Event, deadline_s: float) -> None:
    stop.wait()
    time.sleep(deadline_s)
    os._exit(1)
