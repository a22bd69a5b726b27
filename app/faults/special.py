"""Trials with a gateway of their own: packets lost in a network namespace, a full disk, three days without a link.

The first two need rights of the system administrator; where those are missing they say so and are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hanlu.app.faults.catalogue import Scene
from hanlu.app.faults.link import Weather
from hanlu.app.faults.stage import Edge, Stage

__all__ = ["BACKLOG", "SPECIALS", "Special"]

_DISK_BYTES: Final = 64 << 20
_AWAY_S: Final = 8.0
_HOST, _GUEST, _NET = "198.18.77.1", "198.18.77.2", "30"
"""Addresses kept for tests between devices (RFC 2544), in a namespace nobody else sees."""
_NOBODY: Final = "02:00:00:00:77:77"
"""A hardware address no interface has: frames to it are sent, and thrown away on the other side."""


@dataclass(frozen=True, slots=True)
class Special:
    """A trial with its own gateway.

    Attributes:
        name: as in `--only`; also the gateway's code, with `faults-` before it.
        words: what is broken.
        why_not: says why it cannot be done here, None when it can.
        prepare: makes the gateway ready to be started, on a stack that undoes it.
        strike: breaks and mends.
        readings: that its device measures.
        age_s: how far back its first reading lies, seconds; 0: all are of now.
    """

    name: str
    words: str
    why_not: Callable[[], str | None]
    prepare: Callable[[Stage, ExitStack, str], Edge]
    strike: Callable[[Scene, Edge], None]
    readings: int = 240
    age_s: float = 0.0


def _needs_root() -> str | None:
    return None if os.geteuid() == 0 else "needs the rights of root"


def _needs_namespace() -> str | None:
    if (missing := _needs_root()) is not None:
        return missing
    if shutil.which("ip") is None:
        return "needs the program ip (Debian: iproute2)"
    tried = subprocess.run(["ip", "netns", "add", "hanlu-try"], capture_output=True, check=False, text=True)
    subprocess.run(["ip", "netns", "delete", "hanlu-try"], capture_output=True, check=False)
    return f"no network namespace: {tried.stderr.strip()}" if tried.returncode else None


def _needs_mount() -> str | None:
    if (missing := _needs_root()) is not None:
        return missing
    with _folder_of_its_own(Path("/tmp") / f"hanlu-try-{os.getpid()}") as folder:  # noqa: S108
        tried = _mount(folder)
        if tried.returncode:
            return f"no mount: {tried.stderr.strip()}"
        subprocess.run(["umount", str(folder)], check=False)
    return None


def _in_namespace(stage: Stage, stack: ExitStack, code: str) -> Edge:
    name = f"hanlu-{os.getpid()}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("netns", "add", name)
    stack.callback(ip, "netns", "delete", name)
    near, far = f"hf{os.getpid() % 100_000}a", f"hf{os.getpid() % 100_000}b"
    ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
    ip("address", "add", f"{_HOST}/{_NET}", "dev", near)
    ip("link", "set", near, "up")
    ip("-n", name, "address", "add", f"{_GUEST}/{_NET}", "dev", far)
    ip("-n", name, "link", "set", far, "up")
    return stage.add_edge(stack, code, 3, link_host=_HOST, prefix=("ip", "netns", "exec", name))


def _lose_packets(scene: Scene, edge: Edge) -> None:
    """Every frame goes to a hardware address nobody has: no error anywhere, only silence, in both directions."""
    name, number = f"hanlu-{os.getpid()}", os.getpid() % 100_000
    near, far = f"hf{number}a", f"hf{number}b"
    scene.some()

    def send_to(guest: str, host: str) -> None:
        for words in (
            ["neigh", "replace", _GUEST, "lladdr", guest, "dev", near, "nud", "permanent"],
            ["-n", name, "neigh", "replace", _HOST, "lladdr", host, "dev", far, "nud", "permanent"],
        ):
            subprocess.run(["ip", *words], check=True, capture_output=True)

    right = _address_of([], near), _address_of(["-n", name], far)
    send_to(_NOBODY, _NOBODY)
    time.sleep(_AWAY_S)
    send_to(right[1], right[0])


def _address_of(where: list[str], device: str) -> str:
    said = subprocess.run(["ip", *where, "-o", "link", "show", device], check=True, capture_output=True, text=True)
    return said.stdout.split("link/ether ")[1].split()[0]


def _on_small_disk(stage: Stage, stack: ExitStack, code: str) -> Edge:
    disk = stage.folder / "small-disk"
    disk.mkdir(mode=0o700)
    _mount(disk).check_returncode()
    stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
    return stage.add_edge(stack, code, 4, data_dir=disk / "data")


def _fill_disk(scene: Scene, edge: Edge) -> None:
    """Without a link and with somebody else's file beside it, the disk is full long before the spool is."""
    edge.link.become(Weather.CUT)
    disk = edge.config.data_dir.parent
    with (disk / "somebody-else").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4_096):
                pass
        except OSError:
            pass
    time.sleep(3.0)
    (disk / "somebody-else").unlink()
    edge.link.become(Weather.FAIR)


def _ordinary(stage: Stage, stack: ExitStack, code: str) -> Edge:
    return stage.add_edge(stack, code, 5)


def _away_for_days(scene: Scene, edge: Edge) -> None:
    """The link comes back when the devices have said all they measured in three days."""
    edge.link.become(Weather.CUT)
    time.sleep(scene.span_s + 1.0)
    edge.link.become(Weather.FAIR)


@contextmanager
def _folder_of_its_own(folder: Path) -> Iterator[Path]:
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        folder.rmdir()


def _mount(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0700", "tmpfs", str(folder)],
        capture_output=True, check=False, text=True,
    )  # fmt: skip


BACKLOG: Final = 72 * 3_600
"""Seconds of the long backlog."""

SPECIALS: Final = (
    Special("packets-lost", "packets vanish for 8 s, in a network namespace", _needs_namespace, _in_namespace,
            _lose_packets),
    Special("disk-full", "the gateway's disk is full for 3 s", _needs_mount, _on_small_disk, _fill_disk, 20_000),
    Special("backlog-72h", "72 hours without a link, a reading a minute", lambda: None, _ordinary, _away_for_days,
            4_320, float(BACKLOG)),
)  # fmt: skip
