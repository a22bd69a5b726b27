"""A whole gateway on one core with a real broker: what it sustains, and what that costs.

    .venv/bin/python -P benchmarks/gateway_whole.py [--seconds 20] [--rate 5000] [--folder DIR] [--json]

The gateway is a process of its own, `hanlu gateway`, pinned to one core; Mosquitto, a device and a platform that
receipts what it gets share the other. First the device keeps a given rate (readings a second, five a line, as fifty
rooms of a store would), then it sends as fast as it is answered. `CPU` is the gateway's share of its core, `RSS` its
resident memory at the end, `answer` the time from a line to its answer, the flush to the disk included, and `lag` how
many messages waited for a receipt when the device ended.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hanlu.app import process
from hanlu.app.embedded.broker import EmbeddedBroker
from hanlu.app.embedded.service import Work
from hanlu.app.settings import BrokerSettings
from hanlu.core.wire.documents import Receipt
from hanlu.core.wire.envelope import Envelope, digest, open_envelope
from hanlu.core.wire.topics import Lane, Topic, parse_topic, subscription

PARTITION = 7
PER_LINE = 5
METRICS = ("air_temperature", "product_temperature", "relative_humidity", "power", "setpoint")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Platform:
    """Counts what arrives in order and receipts it, a receipt for what came within 20 ms."""

    def __init__(self, url: Any) -> None:
        self.readings = 0
        self._last = (0, "", "")  # seq, epoch and digest of one message, changed together
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "bench-platform")
        client.username_pw_set(url.username, url.password)
        client.on_connect = lambda *_: client.subscribe(subscription(PARTITION), qos=1)
        client.on_message = self._on_message
        client.connect(url.hostname, url.port)
        client.loop_start()
        self.client = client
        threading.Thread(target=self._receipt, daemon=True).start()

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        topic = parse_topic(message.topic)
        if not isinstance(topic, Topic) or not topic.lane.upward or topic.lane is Lane.WILL:
            return
        envelope = open_envelope(message.payload)
        assert isinstance(envelope, Envelope)
        if envelope.header.seq == self._last[0] + 1:
            self._last = (envelope.header.seq, envelope.header.epoch.hex(), digest(message.payload).hex())
            self.readings += envelope.header.count

    def _receipt(self) -> None:
        said = 0
        while True:
            time.sleep(0.02)
            seq, epoch, of = self._last
            if seq > said:
                said = seq
                document = Receipt(epoch=epoch, committed=seq, digest=of, now_ms=time.time_ns() // 10**6)
                self.client.publish(str(Topic(PARTITION, "bench", Lane.RECEIPT)), document.model_dump_json(), qos=1)


def lines(number: int, count: int) -> bytes:
    """Return `count` lines of fifty rooms, five readings each."""
    now = time.time_ns() // 10**6
    out = []
    for step in range(count):
        records: list[dict[str, Any]] = [
            {"n": metric, "u": "Cel", "t": (now + number + step) / 1000, "v": -18.25} for metric in METRICS
        ]
        records[0]["bn"] = f"room-{(number + step) % 50}/"
        out.append(json.dumps({"id": number + step, "senml": records}, separators=(",", ":")))
    return "\n".join(out).encode() + b"\n"


def stream(path: Path, seconds: float, rate: float | None) -> tuple[int, list[float]]:
    """Send for `seconds` at `rate` readings a second (None: as fast as answered); return readings and answer times."""
    block = 64 if rate is None else max(1, round(rate / PER_LINE / 50))
    sent, waits = 0, []
    with socket.socket(socket.AF_UNIX) as device:
        device.connect(str(path))
        reader = device.makefile("rb")
        begin = time.perf_counter()
        while (now := time.perf_counter()) - begin < seconds:
            if rate is not None and sent * PER_LINE > (now - begin) * rate:
                time.sleep(0.002)
                continue
            body = lines(sent, block)
            asked = time.perf_counter()
            device.sendall(body)
            for _ in range(block):
                answer = reader.readline()
                assert b'"ok"' in answer, answer
            waits.append(time.perf_counter() - asked)
            sent += block
    return sent * PER_LINE, waits


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


def measured(child: subprocess.Popen[bytes], status: Path, path: Path, seconds: float, rate: float | None) -> Any:
    cpu, begin = cpu_s(child.pid), time.perf_counter()
    readings, waits = stream(path, seconds, rate)
    took = time.perf_counter() - begin
    used = cpu_s(child.pid) - cpu
    time.sleep(0.6)
    lag = json.loads(status.read_text())["spool"]["pending"]
    waits.sort()
    return {
        "readings_per_s": round(readings / took),
        "cpu": round(used / took, 3),
        "rss_mb": round(resident_mb(child.pid), 1),
        "answer_p50_ms": round(waits[len(waits) // 2] * 1000, 2),
        "answer_p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 2),
        "lag_messages": lag,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement, seconds")
    parser.add_argument("--rate", type=float, default=5_000.0, help="readings a second of the first one")
    parser.add_argument("--folder", type=Path, help="where the spool lies (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    ours, others = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, {others})
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        folder.chmod(0o711)
        service = EmbeddedBroker(folder / "broker", BrokerSettings(port=free_port(), kind="mosquitto"), ("bench",))
        service.prepare(Work(say=lambda _: None))
        with (folder / "broker.log").open("wb") as log:
            broker = process.start(service.command(), log)
        while not service.ready():
            time.sleep(0.05)
        url = urlsplit(service.url)
        platform = Platform(url)
        config, status = folder / "gateway.json", folder / "status.json"
        settings = {
            "code": "bench", "partition": PARTITION, "data_dir": str(folder / "data"),
            "broker": {"port": url.port, "username": "bench", "password": service.logins.password("bench")},
            "line": {"listen": f"unix:{folder}/line"},
        }  # fmt: skip
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-P", "-m", "hanlu.app", "gateway", config, "--status", status]
        with (folder / "gateway.log").open("wb") as log:
            child = subprocess.Popen(command, stderr=log)
        os.sched_setaffinity(child.pid, {ours})  # before it has made a thread
        try:
            while not status.exists() or not json.loads(status.read_text())["connected"]:
                time.sleep(0.1)
            results = {
                f"kept at {options.rate:,.0f} readings/s": measured(
                    child, status, folder / "line", options.seconds, options.rate
                ),
                "as fast as it answers": measured(child, status, folder / "line", options.seconds, None),
            }
            end = time.monotonic() + 30
            while json.loads(status.read_text())["spool"]["pending"] and time.monotonic() < end:
                time.sleep(0.1)
            said = json.loads(status.read_text())["spool"]
            results["arrived of produced"] = [platform.readings, said["produced"]]
        finally:
            child.terminate()
            child.wait(20)
            process.stop(broker, service.command().stop_signal, 10.0)
    if options.json:
        json.dump(results, sys.stdout, indent=2)
        print()
    else:
        for name, figures in results.items():
            print(f"{name}: {figures}")


main()
