"""A spool and a disk that fill up: everything produced is kept or declared, killed on the way or not."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_gateway import START_MS, Device, patiently
from fix_services import temporary_folder, unavailable

from hanlu.core.clock import ManualClock
from hanlu.core.errors import TransientError
from hanlu.core.reading import Reading
from hanlu.core.wire.envelope import public_bytes
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LimitsConfig, LineConfig
from hanlu.gateway.driver.contract import Batch, Verdict
from hanlu.gateway.identity import load_or_create_key
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.service import Gateway
from hanlu.gateway.spool import Spool


class SlowDevice(Device):
    """Few lines at a time with a breath between, so that kills fall into the middle of everything."""

    PIPELINE = 8

    def _exchange(self) -> None:
        super()._exchange()
        time.sleep(0.001)


def minutes(number: int) -> list[Reading]:
    """Return two channels' readings of one minute; the second is of low priority."""
    at = START_MS + 60_000 * number
    return [Reading("room-1/air_temperature", "Cel", at, number / 16), Reading("room-1/rssi", "dBm", at, -70.0)]


@pytest.mark.broker
def test_gateway_killed_while_it_thins_and_refuses_accounts_for_every_line(
    gateway_config, edge_platform, edge_broker, tmp_path
):
    """The platform is deaf until the end, so the spool fills through all stages while the process is killed."""
    line = gateway_config.line.model_copy(update={"listen": f"unix:{tmp_path}/line.sock"})
    limits = LimitsConfig(max_spool_bytes=1 << 17)
    config = gateway_config.model_copy(update={"line": line, "limits": limits})
    public = public_bytes(load_or_create_key(config.key_path))
    document = json.loads(config.model_dump_json())
    document["broker"]["password"] = config.broker.password.get_secret_value()
    settings = tmp_path / "gateway.json"
    settings.write_text(json.dumps(document))
    edge_platform.deaf = lambda: True

    def start() -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("gateway_process.py")
        child = subprocess.Popen(
            [sys.executable, "-P", program, settings], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child

    device = SlowDevice(line.listen)
    sent = [reading for number in range(3_000) for reading in minutes(number)]
    for number in range(3_000):
        device.send_readings(minutes(number))
    streamer = threading.Thread(target=device.settle, args=(90.0,))
    child = start()
    streamer.start()
    chance, kills = random.Random(7), 0
    try:
        while streamer.is_alive() and kills < 10:
            time.sleep(chance.uniform(0.05, 0.3))
            child.kill()
            child.wait(15)
            child.stdout.close()
            kills += 1
            child = start()
        streamer.join()
        assert len(device.acked) + len(device.errors) == 3_000
        edge_platform.deaf = lambda: False

        def accounted() -> int:
            return len(edge_platform.readings()) + sum(loss.count for loss in edge_platform.losses())

        patiently(lambda: accounted() >= len(sent), "everything accounted for", 60)
    finally:
        child.terminate()
        child.wait(15)
        child.stdout.close()
    assert kills >= 3
    edge_platform.assert_whole(public)
    stored = set(edge_platform.readings())
    losses = edge_platform.losses()
    assert stored < set(sent)
    assert {loss.reason for loss in losses} == {"decimated", "spool_full"}
    lost = dict.fromkeys(("room-1/air_temperature", "room-1/rssi"), 0)
    for loss in losses:
        lost[loss.channel] += loss.count
        assert START_MS <= loss.from_ms <= loss.to_ms <= START_MS + 3_000 * 60_000
    for name, count in lost.items():  # channel by channel, exactly: nothing lost in silence, nothing counted twice
        assert count == sum(each.name == name for each in sent) - sum(each.name == name for each in stored)
    assert lost["room-1/rssi"] > lost["room-1/air_temperature"] > 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 24 MiB of its own."""
    with temporary_folder() as above:
        yield from mounted(above / "disk")


def mounted(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=False, capture_output=True
    )
    if not made or made.returncode:
        unavailable("no right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_disk(disk: Path) -> None:
    """Take every byte there is, as another program may."""
    with (disk / "others").open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


def offered(intake: SpoolIntake, start: int, count: int) -> int:
    """Offer readings one by one; return how many were refused."""
    refused = 0
    for number in range(start, start + count):
        batch = Batch((Reading("room-1/air_temperature", "Cel", START_MS + 1_000 * number, -18.0),) * 1)
        refused += intake.offer(batch) is Verdict.REFUSED
    return refused


@pytest.mark.parametrize("how", ["others", "spool"])
def test_disk_that_fills_up_refuses_counts_and_recovers(small_disk, how):
    """`others`: another program takes the whole disk at one blow; `spool`: the spool itself grows into its end."""
    clock = ManualClock(START_MS + 10**9)
    folder = small_disk / "gw-1"
    key = load_or_create_key(small_disk.parent / "gateway.key")

    def opened() -> tuple[Spool, SpoolIntake]:
        spool = Spool(folder / "spool.sqlite", key, clock)
        gateway_clock = GatewayClock(clock, "a")
        return spool, SpoolIntake(spool, Packing(), gateway_clock, Admission(Priorities(high=("*",))), lambda: None)

    spool, intake = opened()
    assert offered(intake, 0, 50) == 0
    if how == "others":
        fill_disk(small_disk)
        count = 4_000
        refused = offered(intake, 50, count)
        assert refused >= count - 2_500  # what the write-ahead log had room for may still have been kept
    else:
        filler, count, refused = os.urandom(150_000), 400, 0
        for number in range(count):
            big = Batch((Reading("room-1/air_temperature", "Cel", START_MS + 60_000_000 + number, 1.0),))
            refused += intake.offer(big) is Verdict.REFUSED
            if spool.stage < 4:
                intake.offer(Batch(events=(b'{"x":"' + filler.hex().encode()[:150_000] + b'"}',)))
        assert refused > 100
    stats = spool.stats()
    assert (stats.full, stats.refused) == (True, refused)
    assert stats.produced == 50 + count - refused
    spool.close()
    spool, intake = opened()  # counted on the disk
    assert spool.stats().refused == refused
    (small_disk / "others").unlink(missing_ok=True)
    spool.delete_committed(spool.head)
    spool.tidy()
    assert (spool.stats().refused, spool.stats().full) == (0, False)
    assert spool.stats().produced == 50 + count
    assert offered(intake, 10**6, 20) == 0
    spool.close()


@pytest.mark.slow
def test_start_on_two_million_readings_needs_no_more_memory_than_on_none(tmp_path):
    """A backlog of days: 10,000 messages of 200 readings, 100 MB."""
    key = load_or_create_key(tmp_path / "gateway.key")
    clock = ManualClock(START_MS)
    room = [Reading(f"room-1/metric_{n}", "Cel", START_MS, n / 8) for n in range(200)]
    (item,) = Packing(200).items([Batch(tuple(room))])
    (tmp_path / "full").mkdir()
    spool = Spool(tmp_path / "full" / "spool.sqlite", key, clock)
    for _ in range(100):
        spool.append([item] * 100)
    assert spool.stats().produced == 2_000_000
    spool.close()
    program = """
import re, sys
from pathlib import Path
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LineConfig
from hanlu.gateway.service import Gateway
folder = Path(sys.argv[1])
config = GatewayConfig(code="gw-1", partition=1, data_dir=folder, broker=BrokerConfig(port=1),
                       line=LineConfig(listen=f"unix:{folder}/line"), key_file=folder.parent / "gateway.key")
with Gateway(config) as gateway:
    gateway.start()
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    print(gateway.status().spool.pending, int(peak[1]) * 1024)
"""

    def started(folder: str) -> tuple[int, int]:
        (tmp_path / folder).mkdir(exist_ok=True)
        found = subprocess.run(
            [sys.executable, "-P", "-c", program, tmp_path / folder], capture_output=True, text=True, check=True
        )
        pending, peak = found.stdout.split()
        return int(pending), int(peak)

    pending, peak = started("full")
    nothing, least = started("empty")
    assert (pending, nothing) == (10_000, 0)
    assert peak < least + 10_000_000
    assert peak < 80_000_000


def test_gateway_starts_on_a_disk_without_a_byte_left_and_goes_on_when_there_is_room(small_disk):
    config = GatewayConfig(
        code="gw-1", partition=1, data_dir=small_disk / "gw-1", broker=BrokerConfig(port=1),
        line=LineConfig(listen=f"unix:{small_disk.parent}/line.sock"),
    )  # fmt: skip
    with Gateway(config) as gateway:
        gateway._intake.offer(Batch((minutes(1)[0],)))
    (small_disk / "gw-1" / "spool.sqlite.reserve").unlink()
    fill_disk(small_disk)
    with Gateway(config) as gateway:
        gateway.start()
        assert gateway.status().spool.full
        assert len(gateway._spool.next_after(0, 10)) == 1  # what is there can be sent
        with pytest.raises(TransientError):  # not even a refusal can be counted, so nothing is answered
            gateway._intake.offer(Batch((minutes(2)[0],)))
        (small_disk / "others").unlink()
        patiently(lambda: not gateway.status().spool.full, "room")
        gateway._spool.delete_committed(1)
        assert gateway._intake.offer(Batch((minutes(2)[0],))) is Verdict.KEPT
