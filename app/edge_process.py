"""One gateway as a process of its own, from a configuration file: what runs on an edge computer, and under a replay.

It says how it is in a small JSON file, twice a second: whoever looks after it needs no way into the process. Under
systemd it says that it is alive as long as all of its threads are; one that hangs for minutes ends the process, for
only a new one helps then.
"""

from __future__ import annotations

import json
import os
import threading
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from hanlu.app.datafolder import DataFolder
from hanlu.app.settings import process_environment
from hanlu.app.systemd import Systemd
from hanlu.core.clock import Clock, SystemClock
from hanlu.core.errors import UsageError
from hanlu.gateway.beats import HANG_S
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.remote import load_remote, merged
from hanlu.gateway.service import Gateway, GatewayStatus

__all__ = ["EdgeStatus", "checked", "read_config", "read_status", "serve"]

_STATUS_EVERY_S: Final = 0.5
_ALIVE_EVERY: Final = 10
"""Looks between two signs of life for the service manager."""


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """What a gateway's process last said.

    Attributes:
        pid: of the process.
        at_s: monotonic seconds of the machine when it was said.
        address: where devices connect.
        connected: the broker has accepted the gateway.
        head: last message in the spool, 0 for none.
        committed: last message with a receipt.
        undeclared: readings turned away whose loss is not declared yet.
    """

    pid: int
    at_s: float
    address: str
    connected: bool
    head: int
    committed: int
    undeclared: int = 0

    @property
    def pending(self) -> int:
        """Messages without a receipt."""
        return self.head - self.committed


def read_config(path: Path) -> GatewayConfig:
    """Return the gateway's configuration from a TOML file, or JSON when its name ends so.

    Raises:
        UsageError: the file cannot be read, or says what cannot be; no secret is repeated.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return GatewayConfig.model_validate(values)
    except ValidationError as error:
        each = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}") from error
    except FileNotFoundError:
        raise UsageError(f"{path} is not there; `hanlu enrol` writes a gateway's configuration") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot read this as a gateway's configuration: {error}") from error


def serve(
    config: GatewayConfig,
    status_file: Path | None,
    stop: threading.Event,
    ready: Callable[[], None],
    clock: Clock | None = None,
    systemd: Systemd | None = None,
) -> None:
    """Run the gateway until `stop`.

    Args:
        config: of the gateway.
        status_file: where to say how it is; None says nothing.
        stop: set to end it; what is in the spool stays there.
        ready: called once, when devices are served.
        clock: for tests; the machine's by default.
        systemd: told of readiness and life; by default the one in the environment.

    Raises:
        HanluError: it cannot start, or FatalError when its state became unknown or a thread hangs.
    """
    ours = clock or SystemClock()
    systemd = systemd or Systemd(process_environment())
    within_s = (systemd.watchdog_s or HANG_S) / 2
    with Gateway(config, clock) as gateway:
        gateway.start()
        _say(gateway, status_file, ours)
        ready()
        systemd.ready()
        looks = 0
        while not stop.wait(_STATUS_EVERY_S):
            gateway.check()
            _say(gateway, status_file, ours)
            if looks % _ALIVE_EVERY == 0 and gateway.is_alive(within_s):
                systemd.alive(_in_words(gateway.status()))
            looks += 1
        systemd.stopping()


def checked(config: GatewayConfig) -> str:
    """Return what would run, for people; nothing is opened, written or listened on.

    Raises:
        UsageError: the configuration the platform sent before does not fit any more.
    """
    kept = load_remote(config.data_dir)
    in_force = config if kept is None else merged(config, kept.text)
    broker = in_force.broker
    lines = [
        f"gateway {in_force.code}, partition {in_force.partition:02d}{', replaying' if in_force.replay else ''}",
        f"broker  {broker.host}:{broker.port} as {broker.username or 'nobody'}{', TLS' if broker.tls else ', no TLS'}",
        f"data    {in_force.data_dir}, spool up to {in_force.limits.max_spool_bytes >> 20} MiB",
        f"key     {in_force.key_path}{'' if in_force.key_path.exists() else ' (will be made)'}",
        f"remote  {'none' if kept is None else f'version {kept.version}'}",
        f"driver  line: {in_force.line.listen}",
    ]
    lines += [f"driver  {driver.kind}: {driver.name}" for driver in in_force.drivers]
    lines += [f"channel {each.name} [{each.unit}] every {each.period_s:g} s" for each in in_force.channels]
    return "\n".join(lines)


def read_status(path: Path) -> EdgeStatus | None:
    """Return what the gateway last said in `path`; None when it has said nothing yet."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    spool = said["spool"]
    return EdgeStatus(
        said["pid"], said["at_s"], said["address"], said["connected"],
        spool["head"], spool["committed"], spool["refused"],
    )  # fmt: skip


def _in_words(status: GatewayStatus) -> str:
    spool = status.spool
    link = "connected" if status.connected else "no link"
    return f"{link}, {spool.pending} messages pending, spool {spool.used:.0%} in use, time from {status.clocks.source}"


def _say(gateway: Gateway, path: Path | None, clock: Clock) -> None:
    if path is not None:
        said = {"pid": os.getpid(), "at_s": clock.monotonic()} | asdict(gateway.status())
        DataFolder(path.parent).write(path, said)
