"""How many readings a second one core takes from a device's line to the disk.

    .venv/bin/python -P benchmarks/gateway_spool.py [--seconds 3] [--folder DIR] [--json]

Four ways, each pinned to one core: `spool` appends ready messages; `lines` decodes lines, packs and appends them, a
batch a transaction; `intake` has drivers' threads offer single readings; `socket` sends lines through the real driver
(device and gateway share the core). `gateway_whole.py` adds the link and a broker. Every figure includes the flush to
disk that comes before an answer, so the folder should lie on the disk in question.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanlu.core.clock import SystemClock
from hanlu.core.reading import Reading
from hanlu.gateway.clocks import GatewayClock, boot_identity
from hanlu.gateway.config import LineConfig
from hanlu.gateway.driver.contract import Batch
from hanlu.gateway.driver.decode import Line, decode_line
from hanlu.gateway.driver.line import LineServer
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.spool import Spool

START_MS = 1_750_000_000_000
METRICS = ("air_temperature", "product_temperature", "relative_humidity", "power", "setpoint")


def line_of(number: int, readings: int) -> bytes:
    """Return one line of one device with `readings` values."""
    records = [
        {
            "n": f"{METRICS[i % len(METRICS)]}",
            "u": "Cel",
            "t": START_MS / 1000 + number + i // len(METRICS),
            "v": -18.25,
        }
        for i in range(readings)
    ]
    records[0]["bn"] = f"room-{number % 50}/"
    return json.dumps({"id": number, "senml": records}, separators=(",", ":")).encode()


def measured(seconds: float, step: Callable[[], int]) -> tuple[float, int]:
    """Repeat `step` for `seconds`; return readings a second and the number of steps."""
    step()
    readings, steps, begin = 0, 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        readings += step()
        steps += 1
    return readings / elapsed, steps


def bench_spool(spool: Spool, seconds: float, per_message: int, messages: int) -> float:
    """Append ready messages, forgetting them as a receipt would."""
    line = decode_line(line_of(1, per_message), START_MS)
    assert isinstance(line, Line)
    items = Packing(per_message).items([Batch(line.readings)]) * messages

    def step() -> int:
        spool.append(items)
        if spool.head - spool.committed > 5_000:
            spool.delete_committed(spool.head)
        return per_message * messages

    return measured(seconds, step)[0]


def bench_lines(spool: Spool, seconds: float, per_line: int, lines: int) -> float:
    """Decode, pack and append batches of lines."""
    raw, packing = [line_of(number, per_line) for number in range(lines)], Packing()

    def step() -> int:
        decoded = [Batch(line.readings) for one in raw if isinstance(line := decode_line(one, START_MS), Line)]
        spool.append(packing.items(decoded))
        if spool.head - spool.committed > 5_000:
            spool.delete_committed(spool.head)
        return per_line * lines

    return measured(seconds, step)[0]


def intake_of(spool: Spool) -> SpoolIntake:
    clock = GatewayClock(SystemClock(), boot_identity())
    return SpoolIntake(spool, Packing(), clock, Admission(Priorities()), lambda: None)


def bench_intake(spool: Spool, seconds: float, threads: int) -> float:
    """Let several drivers offer single readings: those that wait for the disk at the same moment share its flush."""
    intake, counts = intake_of(spool), [0] * threads
    end = time.perf_counter() + seconds

    def offer(place: int) -> None:
        while time.perf_counter() < end:
            now_ms = time.time_ns() // 10**6
            intake.offer(Batch((Reading(f"room-{place}/air_temperature", "Cel", now_ms, -18.25),)))
            counts[place] += 1

    drivers = [threading.Thread(target=offer, args=(place,)) for place in range(threads)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    return sum(counts) / seconds


def bench_socket(spool: Spool, seconds: float, per_line: int, pipeline: int) -> float:
    """Pipeline lines through the driver and wait for their answers."""
    server = LineServer(LineConfig(), intake_of(spool), SystemClock())
    thread = threading.Thread(target=server.run)
    thread.start()
    host, _, port = server.address.rpartition(":")
    block = b"".join(line_of(number, per_line) + b"\n" for number in range(pipeline))
    try:
        with socket.create_connection((host, int(port))) as device:

            def step() -> int:
                device.sendall(block)
                answers = 0
                while answers < pipeline:
                    answers += device.recv(65_536).count(b"\n")
                if spool.head - spool.committed > 5_000:
                    spool.delete_committed(spool.head)
                return per_line * pipeline

            return measured(seconds, step)[0]
    finally:
        server.stop()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement, seconds")
    parser.add_argument("--folder", type=Path, help="where the spools lie (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    runs: list[tuple[str, Callable[[Spool], float]]] = [
        ("spool, 200 readings a message, 1 a transaction", lambda s: bench_spool(s, options.seconds, 200, 1)),
        ("spool, 1 reading a message, 50 a transaction", lambda s: bench_spool(s, options.seconds, 1, 50)),
        ("spool, 1 reading a message, 1 a transaction", lambda s: bench_spool(s, options.seconds, 1, 1)),
        ("lines, 1 reading a line, 256 a transaction", lambda s: bench_lines(s, options.seconds, 1, 256)),
        ("lines, 5 readings a line, 64 a transaction", lambda s: bench_lines(s, options.seconds, 5, 64)),
        ("intake, 1 driver, 1 reading a batch", lambda s: bench_intake(s, options.seconds, 1)),
        ("intake, 16 drivers at once, 1 reading a batch", lambda s: bench_intake(s, options.seconds, 16)),
        ("socket, 1 reading a line, 256 pipelined", lambda s: bench_socket(s, options.seconds, 1, 256)),
        ("socket, 5 readings a line, 256 pipelined", lambda s: bench_socket(s, options.seconds, 5, 256)),
        ("socket, 5 readings a line, not pipelined", lambda s: bench_socket(s, options.seconds, 5, 1)),
    ]
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for place, (name, run) in enumerate(runs):
            spool = Spool(Path(folder) / str(place) / "spool.sqlite", Ed25519PrivateKey.generate(), SystemClock())
            results[name] = round(run(spool))
            spool.close()
            if not options.json:
                print(f"{name:50s} {results[name]:>9,} readings/s", flush=True)
    if options.json:
        json.dump(results, sys.stdout, indent=2)
        print()


main()
