"""How many readings a second get from a publisher through a real broker into the database, and how near that is to
a subscriber that throws everything away.

    .venv/bin/python benchmarks/ingest_rate.py [--messages 20000] [--rounds 1] [--plain] [--json]

Publisher (a raw socket, QoS 1), broker (Mosquitto with persistence), database (durable) and subscriber share the
machine; messages are made before the clock starts. `no-op paho` is the same client library taking and acknowledging
one message after the other; `no-op` is Hanlu's own subscriber doing only that; `ingest` is the worker, and its clock
stops when the last reading is committed. The ratios, not the figures, may be compared between machines.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mqtt_publisher import free_port, write_messages
from paho.mqtt.enums import CallbackAPIVersion

from hanlu.app import process
from hanlu.app.embedded.broker import find_mosquitto
from hanlu.app.embedded.postgres import EmbeddedPostgres
from hanlu.app.embedded.service import Work
from hanlu.app.process import Command
from hanlu.app.settings import DatabaseSettings
from hanlu.core.clock import SystemClock
from hanlu.core.reading import Reading
from hanlu.core.senml import encode_json
from hanlu.core.wire.envelope import NO_PREVIOUS, ContentType, Header, digest, key_id, public_bytes, seal
from hanlu.core.wire.topics import Lane, Topic
from hanlu.db.migrate import migrate
from hanlu.ingest.config import BrokerConfig, IngestConfig
from hanlu.ingest.service import run
from hanlu.ingest.subscriber import Subscriber

GATEWAYS, DEVICES = 10, 20
SIZES = (1, 10, 50, 500)
Message = tuple[str, bytes]


def made(count: int, size: int, *, signed: bool, start_ms: int) -> list[Message]:
    """Return `count` messages of `size` readings, spread over the gateways, no reading twice."""
    chains = [(bytes([g]) * 16, NO_PREVIOUS) for g in range(GATEWAYS)]
    messages: list[Message] = []
    for number in range(count):
        gateway, turn = number % GATEWAYS, number // GATEWAYS
        readings = [
            Reading(f"room-{i % DEVICES}/air_temperature", "Cel", start_ms + (turn * size + i) * 10, -18.0 + i % 7 / 10)
            for i in range(size)
        ]
        payload = encode_json(readings)
        if signed:
            epoch, prev = chains[gateway]
            header = Header(
                key_id(public_bytes(key_of(gateway))),
                ContentType.SENML_JSON,
                epoch,
                turn + 1,
                prev,
                size,
                (turn + 1) * size,
            )
            payload = seal(header, payload, key_of(gateway))
            chains[gateway] = (epoch, digest(payload))
        messages.append((str(Topic(gateway, f"gw-{gateway}", Lane.LIVE)), payload))
    return messages


def key_of(gateway: int) -> Ed25519PrivateKey:
    """Return a gateway's key, the same at every run."""
    return Ed25519PrivateKey.from_private_bytes(bytes([gateway + 1]) * 32)


def register(url: str) -> None:
    """Write the gateways and their channels into a fresh registry."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO registry.level_name VALUES (1, 'x', 'x')")
        connection.execute(
            "INSERT INTO registry.organisation (level, code, name_zh, name_en, path) VALUES (1, 'x', 'x', 'x', '/1/')"
        )
        connection.execute(
            "INSERT INTO registry.site (organisation_id, code, name_zh, name_en, kind)"
            " SELECT organisation_id, 'x', 'x', 'x', 'cold_store' FROM registry.organisation"
        )
        for gateway in range(GATEWAYS):
            connection.execute(
                "INSERT INTO registry.gateway (site_id, code, partition, accepts_unsigned)"
                " SELECT site_id, %s, %s, true FROM registry.site",
                (f"gw-{gateway}", gateway),
            )
            public = public_bytes(key_of(gateway))
            connection.execute(
                "INSERT INTO registry.gateway_key (kid, gateway_id, public_key)"
                " SELECT %s, gateway_id, %s FROM registry.gateway WHERE code = %s",
                (key_id(public), public, f"gw-{gateway}"),
            )
        connection.execute(
            "INSERT INTO registry.device (gateway_id, code, kind)"
            " SELECT gateway_id, 'room-' || n, 'cold_room' FROM registry.gateway, generate_series(0, %s) AS n",
            (DEVICES - 1,),
        )
        connection.execute(
            "INSERT INTO registry.channel (device_id, metric, unit, period_s)"
            " SELECT device_id, 'air_temperature', 'Cel', 60 FROM registry.device"
        )


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """Run Mosquitto without sign-in and without limits that drop; yield its port."""
    program = find_mosquitto()
    if program is None:
        sys.exit("Mosquitto is not installed: sudo apt-get install mosquitto")
    port = free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {folder}/",
    ]
    lines += ["autosave_on_changes true", "autosave_interval 1000", "max_queued_messages 0", "max_inflight_messages 0"]
    lines += ["set_tcp_nodelay true", *(["user root"] if os.geteuid() == 0 else [])]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    with (folder / "mosquitto.log").open("ab") as log:
        child = process.start(
            Command(argv=(str(program), "-c", str(folder / "mosquitto.conf")), env=dict(os.environ), cwd=folder), log
        )
    try:
        time.sleep(0.3)
        yield port
    finally:
        child.terminate()
        child.wait()


@contextmanager
def database(folder: Path, *, plain: bool) -> Iterator[str]:
    """Run a durable PostgreSQL with the registry filled; yield its URL."""
    service = EmbeddedPostgres(folder / "pg", DatabaseSettings(timescaledb="off" if plain else "auto"))
    service.prepare(Work(say=lambda line: print(line, file=sys.stderr)))
    command = service.command()
    with (folder / "pg.log").open("ab") as log:
        child = process.start(command, log)
    try:
        while not service.ready():
            time.sleep(0.02)
        migrate(service.url)
        register(service.url)
        print(service.description, file=sys.stderr)
        yield service.url
    finally:
        process.stop(child, command.stop_signal, 10.0)


def config_of(port: int, client_id: str) -> IngestConfig:
    """Return the worker's configuration, as it comes."""
    return IngestConfig(broker=BrokerConfig(port=port, client_id=client_id))


def forget(port: int, client_id: str) -> None:
    """End a session that outlives its connection, or the next run would begin with this one's messages."""
    done = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=True)
    client.on_connect = lambda *_: done.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait(10)
    client.disconnect()
    client.loop_stop()


def timed(port: int, messages: Path, finished: Callable[[], bool]) -> float:
    """Let the publisher run and return the seconds until `finished`."""
    begin = time.perf_counter()
    command = [sys.executable, "-P", str(Path(__file__).with_name("mqtt_publisher.py")), str(port), str(messages)]
    with subprocess.Popen(command):
        while not finished():
            time.sleep(0.005)
        return time.perf_counter() - begin


def paho_noop(port: int, messages: Path, count: int) -> float:
    """Take and acknowledge with the client library alone, in its own loop."""
    seen = 0

    def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        nonlocal seen
        seen += 1
        client.ack(message.mid, message.qos)

    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "noop-paho", clean_session=True, manual_ack=True)
    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()
    client.on_connect = lambda *_: client.subscribe("hanlu/1/+/+/live", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.wait(10)
    seconds = timed(port, messages, lambda: seen >= count)
    client.disconnect()
    client.loop_stop()
    return seconds


def own_noop(port: int, messages: Path, count: int) -> float:
    """Take and acknowledge with Hanlu's subscriber and do nothing else."""
    seen, stop = 0, threading.Event()

    def work() -> None:
        nonlocal seen
        with Subscriber(config_of(port, "noop-own"), SystemClock()) as subscriber:
            while not stop.is_set():
                subscriber.turn(0.05)
                batch = [subscriber.take() for _ in range(len(subscriber.inbox))]
                subscriber.acknowledge(batch)
                seen += len(batch)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)
    seconds = timed(port, messages, lambda: seen >= count)
    stop.set()
    thread.join()
    forget(port, "noop-own")
    return seconds


def ingest(port: int, messages: Path, url: str, readings: int) -> float:
    """Run the worker in a process of its own until the last message is committed."""
    command = [sys.executable, __file__, "--worker", str(port), url]
    with (
        psycopg.connect(url, autocommit=True) as connection,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker,
    ):
        connection.execute("TRUNCATE telemetry.reading, telemetry.arrival, telemetry.gateway_epoch CASCADE")
        assert worker.stdout is not None
        worker.stdout.readline()

        def finished() -> bool:
            time.sleep(0.02)
            row = connection.execute("SELECT coalesce(sum(stored), 0) FROM telemetry.arrival").fetchone() or (0,)
            return row[0] >= readings

        seconds = timed(port, messages, finished)
        worker.terminate()
        worker.wait()
        forget(port, "ingest")
        lost = connection.execute("SELECT sum(reading_count - stored) FROM telemetry.arrival").fetchone()
        assert lost == (0,), f"readings not stored: {lost}"
    return seconds


def worker(port: int, url: str) -> None:
    """Be the worker process."""
    import signal

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(config_of(port, "ingest"), url, stop, lambda: print("ready", flush=True))


def main() -> None:
    """Measure and print a table."""
    if sys.argv[1:2] == ["--worker"]:
        worker(int(sys.argv[2]), sys.argv[3])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000, help="messages in a run of single readings")
    parser.add_argument("--rounds", type=int, default=1, help="rounds, of which the median counts")
    parser.add_argument("--plain", action="store_true", help="PostgreSQL without TimescaleDB")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="hanlu-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "broker").mkdir()
        with broker(folder / "broker") as port, database(folder, plain=options.plain) as url:
            for signed in (False, True):
                for size in SIZES:
                    results.append(measured(options, port, url, folder / "messages", signed=signed, size=size))
                    if not options.json:
                        show(results[-1], first=len(results) == 1)
    if options.json:
        print(json.dumps(results))


def measured(
    options: argparse.Namespace, port: int, url: str, path: Path, *, signed: bool, size: int
) -> dict[str, float]:
    """Return the figures of one shape of message."""
    count = max(500, options.messages // (1 if size == 1 else size // 3))
    seconds: dict[str, list[float]] = {"no-op paho": [], "no-op": [], "ingest": []}
    for _ in range(options.rounds):
        now = time.time_ns() // 1_000_000
        write_messages(path, made(count, size, signed=signed, start_ms=now - 30 * 86_400_000))
        seconds["no-op paho"].append(paho_noop(port, path, count))
        seconds["no-op"].append(own_noop(port, path, count))
        seconds["ingest"].append(ingest(port, path, url, count * size))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    rates = {f"{name} messages/s": count / each for name, each in medians.items()}
    return {
        "signed": signed,
        "readings a message": size,
        "messages": count,
        **rates,
        "ingest readings/s": count * size / medians["ingest"],
        "of no-op paho": medians["no-op paho"] / medians["ingest"],
        "of no-op": medians["no-op"] / medians["ingest"],
    }


def show(row: dict[str, float], *, first: bool) -> None:
    """Print one line of the table, before the first one its head."""
    if first:
        heads = ["messages", "readings each", "no-op paho msg/s", "no-op msg/s", "ingest msg/s", "ingest readings/s"]
        print(f"| {' | '.join([*heads, 'of no-op paho', 'of no-op'])} |\n{'|---' * 8}|")
    rates = [f"{row[name + ' messages/s']:,.0f}" for name in ("no-op paho", "no-op", "ingest")]
    cells = ["signed" if row["signed"] else "bare", f"{row['readings a message']}", *rates]
    cells += [f"{row['ingest readings/s']:,.0f}", f"{row['of no-op paho']:.2f}", f"{row['of no-op']:.2f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
