"""How long a reading takes from its publish to the database, to an open console, and to the alarm.

    .venv/bin/python -P benchmarks/latency.py [--data .hanlu] [--seconds 30] [--rate 50] [--gateway] [--json] < password

Needs a running `hanlu up` with its embedded broker on the data folder, and the operator's password on the standard
input (asked for on a terminal). Registers a gateway of its own and leaves its readings and alarms behind: for folders
one may spoil. What is measured, each from the moment before the message is handed to the MQTT client, or with
`--gateway` from the moment before a device's line is handed to a real gateway, which spools and forwards it:

* committed: until another database session sees the reading;
* console: until the value is received on an open `/console/stream`;
* alarm, on-delay 0, 1, 2 s: from the first value over the limit until the alarm is received on that stream, less the
  on-delay. Every alarm channel reports twice a second.

Messages are signed, hold one reading each and are spread evenly over time. Device, gateway and receiver run in one
process on the same machine as the platform, so their own work is in the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import http.client
import json
import math
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import paho.mqtt.client as mqtt
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paho.mqtt.enums import CallbackAPIVersion

from hanlu.app.embedded.broker import EmbeddedBroker, signs_in
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings, default_data_folder, load
from hanlu.core.reading import Reading
from hanlu.core.senml import encode_json
from hanlu.core.wire.documents import Will
from hanlu.core.wire.envelope import NO_PREVIOUS, ContentType, Header, digest, key_id, public_bytes, seal
from hanlu.core.wire.topics import Lane, Topic
from hanlu.db.pool import open_pool
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LineConfig
from hanlu.gateway.service import Gateway
from hanlu.registry import records
from hanlu.registry.store import Registry

GATEWAY, PARTITION = "bench-latency", 63
ON_DELAYS_S = (0, 1, 2)
ALARM_CHANNELS = 4
"""For each on-delay."""
STEP_S = 0.5
"""Between two readings of an alarm channel; the on-delays are multiples of it."""
CYCLE_S, OVER_S = 6.0, 3.0
"""An alarm channel lies over its limit for the first part of every cycle."""
USUAL, OVER, LIMIT = 4.0, 30.0, 20.0
"""Degrees Celsius."""
FOUND_S = 1.1
"""Ingest looks for a name it does not know at most once a second."""
WARM_UP_S = 45.0
"""The console looks for new channels every half minute."""
TAIL_S = 5.0
"""What has not come this long after the last publish counts as missing."""
LONGEST_S = 500
"""The console's streams end after ten minutes."""

Key = tuple[int, int]
"""Channel and instant (Unix milliseconds) of a reading."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One reading to publish: when (seconds from the start), where, and what."""

    due_s: float
    name: str
    value: float
    begins_excursion: bool = False


@dataclass(slots=True)
class Seen:
    """When things happened, seconds of the monotonic clock; each field is written by one thread."""

    published: dict[Key, float] = field(default_factory=dict)
    committed: dict[Key, float] = field(default_factory=dict)
    console: dict[Key, float] = field(default_factory=dict)
    raised: dict[int, float] = field(default_factory=dict)


def steady_name(number: int) -> str:
    """Return the wire name of a channel without limits."""
    return f"steady-{number}/air_temperature"


def alarm_name(on_delay_s: int, number: int) -> str:
    """Return the wire name of a channel with limits."""
    return f"alarm-{on_delay_s}-{number}/air_temperature"


def planned_readings(seconds: float, rate: int) -> list[Planned]:
    """Return the readings in order: `rate` a second from channels that report once a second, and the alarm channels."""
    found = [Planned(n / rate, steady_name(n % rate), USUAL + n % 7 / 8) for n in range(int(seconds * rate))]
    for on_delay_s in ON_DELAYS_S:
        for number in range(ALARM_CHANNELS):
            offset = (number + on_delay_s / len(ON_DELAYS_S)) * CYCLE_S / ALARM_CHANNELS
            found += _alarm_channel(alarm_name(on_delay_s, number), offset, seconds)
    return sorted(found, key=lambda each: each.due_s)


def _alarm_channel(name: str, offset_s: float, seconds: float) -> Iterator[Planned]:
    """Yield the readings of one alarm channel; the last excursion ends before the end."""
    for step in range(int((seconds - offset_s) / STEP_S)):
        into_s, due_s = step * STEP_S % CYCLE_S, offset_s + step * STEP_S
        over = into_s < OVER_S and due_s - into_s + CYCLE_S <= seconds
        yield Planned(due_s, name, OVER if over else USUAL, begins_excursion=over and into_s == 0)


@contextlib.contextmanager
def registered(settings: Settings, rate: int) -> Iterator[tuple[Ed25519PrivateKey, dict[str, int]]]:
    """Register the gateway with its channels; yield its key, revoked at the end, and the channels' ids by wire name."""
    assert settings.database.url is not None
    key = Ed25519PrivateKey.generate()
    public = public_bytes(key)
    named: list[tuple[str, str | None]] = [(steady_name(number), None) for number in range(rate)]
    named += [(alarm_name(d, number), f"bench-{d}") for d in ON_DELAYS_S for number in range(ALARM_CHANNELS)]
    pool = open_pool(settings.database.url, "hanlu_registry", name="hanlu benchmark", max_size=2)
    with contextlib.closing(pool):
        registry = Registry(pool)
        site = registry.sites()[0].code
        with registry.editing() as editor:
            editor.put_gateway(records.Gateway(GATEWAY, site, PARTITION))
            editor.enrol_key(records.GatewayKey(GATEWAY, key_id(public), public))
            for on_delay_s in ON_DELAYS_S:
                editor.put_limit_profile(_limits(on_delay_s))
            for name, profile in named:
                device, metric = name.split("/")
                editor.put_device(records.Device(GATEWAY, device, "benchmark"))
                editor.put_channel(records.Channel(GATEWAY, device, metric, "Cel", 1.0, profile))
        with psycopg.connect(settings.database.url) as connection:
            query = "SELECT wire_name, channel_id FROM registry.channel_v WHERE gateway = %s"
            channels = dict(connection.execute(query, (GATEWAY,)).fetchall())
        try:
            yield key, channels
        finally:
            with registry.editing() as editor:
                editor.revoke_key(key_id(public), datetime.now(UTC))


def _limits(on_delay_s: int) -> records.LimitProfile:
    return records.LimitProfile(
        code=f"bench-{on_delay_s}",
        effective_from=date(2020, 1, 1),
        source="benchmark",
        high=LIMIT,
        on_delay_s=on_delay_s,
        off_delay_s=0,
        no_data_s=604_800,
        priority=3,
    )


class Source(Protocol):
    """Where readings come from."""

    def publish(self, name: str, at_ms: int, value: float) -> float:
        """Publish one reading and return when that began, seconds of the monotonic clock."""
        ...

    def close(self) -> None:
        """Sign off."""
        ...


def login(settings: Settings) -> str:
    """Give the gateway a login at the embedded broker and return its password."""
    broker = EmbeddedBroker(settings.data.folder / "broker", settings.broker)
    broker.add_gateways((GATEWAY,))
    port, password = settings.broker.port, broker.logins.password(GATEWAY)
    await_true(lambda: signs_in("127.0.0.1", port, GATEWAY, password), "the broker to know the gateway", 10)
    return password


class Publisher:
    """A gateway reduced to its signature: one message for each reading, published at QoS 1."""

    def __init__(self, settings: Settings, key: Ed25519PrivateKey) -> None:
        """Sign in at the broker."""
        self._key, self._kid = key, key_id(public_bytes(key))
        self._epoch, self._seq, self._prev = secrets.token_bytes(16), 0, NO_PREVIOUS
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=GATEWAY, protocol=mqtt.MQTTv311)
        self._client.username_pw_set(GATEWAY, login(settings))
        self._client.max_inflight_messages_set(1_000)
        self._client.connect("127.0.0.1", settings.broker.port)
        self._client.loop_start()
        await_true(self._client.is_connected, "the broker's answer", 10)

    def publish(self, name: str, at_ms: int, value: float) -> float:
        """Seal and publish one reading."""
        began = time.monotonic()
        self._seq += 1
        header = Header(self._kid, ContentType.SENML_JSON, self._epoch, self._seq, self._prev, 1, self._seq)
        message = seal(header, encode_json([Reading(name, "Cel", at_ms, value)]), self._key)
        self._prev = digest(message)
        self._client.publish(str(Topic(PARTITION, GATEWAY, Lane.LIVE)), message, qos=1)
        return began

    def close(self) -> None:
        """Say farewell and sign off."""
        will = Will(gateway=GATEWAY, epoch=self._epoch.hex()).model_dump_json()
        self._client.publish(str(Topic(PARTITION, GATEWAY, Lane.WILL)), will, qos=1).wait_for_publish(5)
        self._client.disconnect()
        self._client.loop_stop()


class Device:
    """A device on the line of a real gateway, whose spool lies in a temporary folder."""

    def __init__(self, settings: Settings, key: Ed25519PrivateKey) -> None:
        """Start the gateway and connect to it."""
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "gateway.key").write_bytes(pem)
        (folder / "gateway.key").chmod(0o600)
        broker = BrokerConfig(port=settings.broker.port, username=GATEWAY, password=login(settings))
        config = GatewayConfig(code=GATEWAY, partition=PARTITION, data_dir=folder, broker=broker, line=LineConfig())
        self._gateway = Gateway(config)
        self._gateway.start()
        host, _, port = self._gateway.address.rpartition(":")
        self._line = socket.create_connection((host, int(port)))
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await_true(lambda: self._gateway.status().connected, "the gateway's link", 10)

    def publish(self, name: str, at_ms: int, value: float) -> float:
        """Send one line; earlier answers are read and dropped."""
        began = time.monotonic()
        self._line.sendall(b'{"senml":%s}\n' % encode_json([Reading(name, "Cel", at_ms, value)]))
        with contextlib.suppress(BlockingIOError):
            self._line.recv(65_536, socket.MSG_DONTWAIT)
        return began

    def close(self) -> None:
        """Hang up and stop the gateway."""
        self._line.close()
        self._gateway.close()
        self._folder.cleanup()


def watch_commits(url: str, seen: Seen, stop: threading.Event) -> None:
    """Note when readings of the gateway become visible to a session of its own."""
    query = (
        "SELECT arrival_id, channel_ids, observed_ms FROM telemetry.arrival JOIN registry.gateway USING (gateway_id)"
        " WHERE code = %s AND arrival_id > %s ORDER BY arrival_id"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN hanlu_arrival")
        (last,) = connection.execute("SELECT coalesce(max(arrival_id), 0) FROM telemetry.arrival").fetchone() or (0,)
        while not stop.is_set():
            for _ in connection.notifies(timeout=0.5, stop_after=1):
                pass
            rows = connection.execute(query, (GATEWAY, last)).fetchall()
            now = time.monotonic()
            for arrival_id, channel_ids, observed_ms in rows:
                last = arrival_id
                seen.committed |= dict.fromkeys(zip(channel_ids, observed_ms, strict=True), now)


def watch_console(url: str, password: str, seen: Seen, stop: threading.Event, opened: threading.Event) -> None:
    """Sign in, open the live stream as a browser does, and note values and alarms as they come."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/signin", urlencode({"login": "operator", "password": password}), form)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 303:
        raise SystemExit(f"the operator's password is refused ({answer.status})")
    cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    connection.request("GET", "/console/stream", headers={"Cookie": cookie, "Accept-Encoding": "gzip, br"})
    stream = connection.getresponse()
    if stream.status != 200 or stream.getheader("Content-Encoding"):
        raise SystemExit(f"no plain stream: {stream.status} {stream.headers}")
    opened.set()
    kind = ""
    while not stop.is_set() and (line := stream.readline()):
        now = time.monotonic()
        word, _, text = line.decode().rstrip("\n").partition(": ")
        if word == "event":
            kind = text
        elif word == "data" and kind == "reading":
            for channel_id, at_ms, _value in json.loads(text)["readings"]:
                seen.console.setdefault((channel_id, at_ms), now)
        elif word == "data" and kind == "alarm":
            told = json.loads(text)
            if told["event"] == "raise":
                seen.raised.setdefault(told["alarm_id"], now)
    connection.close()


def await_true(condition: Callable[[], bool], what: str, deadline_s: float) -> None:
    """Wait for a condition or give up with a clear word."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {deadline_s:g} s for {what}")
        time.sleep(0.02)


def publish_all(source: Source, planned: Iterable[Planned], channels: dict[str, int], seen: Seen) -> list[Key]:
    """Publish everything at its time and return the readings that begin an excursion.

    A reading is stamped with the instant it was due, as by a device that samples by the clock.
    """
    began, began_ms = time.monotonic(), time.time_ns() // 1_000_000
    excursions = []
    for each in planned:
        time.sleep(max(0.0, began + each.due_s - time.monotonic()))
        at_ms = began_ms + round(1000 * each.due_s)
        key = channels[each.name], at_ms
        seen.published[key] = source.publish(each.name, at_ms, each.value)
        if each.begins_excursion:
            excursions.append(key)
    return excursions


def alarms_of(url: str, channel_ids: list[int]) -> dict[Key, int]:
    """Return the alarms of these channels by the reading that began them."""
    query = (
        "SELECT channel_id, (extract(epoch FROM exceeded_at) * 1000)::bigint, alarm_id FROM alerts.alarm"
        " WHERE channel_id = ANY(%s)"
    )
    with psycopg.connect(url) as connection:
        return {(channel_id, ms): alarm_id for channel_id, ms, alarm_id in connection.execute(query, (channel_ids,))}


def run(
    settings: Settings, password: str, seconds: float, rate: int, kind: Callable[[Settings, Ed25519PrivateKey], Source]
) -> dict[str, dict[str, float]]:
    """Measure for `seconds` and return the figures of each way."""
    assert settings.database.url is not None
    seen, stop, opened = Seen(), threading.Event(), threading.Event()
    watchers = [
        threading.Thread(target=watch_commits, args=(settings.database.url, seen, stop), daemon=True),
        threading.Thread(target=watch_console, args=(settings.web.base_url, password, seen, stop, opened), daemon=True),
    ]
    with registered(settings, rate) as (key, channels):
        time.sleep(FOUND_S)
        for watcher in watchers:
            watcher.start()
        await_true(opened.is_set, "the live stream", 15)
        with contextlib.closing(kind(settings, key)) as source:
            _warm_up(source, channels, seen)
            excursions = publish_all(source, planned_readings(seconds, rate), channels, seen)
            time.sleep(TAIL_S)
        stop.set()
    return _results(settings.database.url, seen, channels, excursions)


def _warm_up(source: Source, channels: dict[str, int], seen: Seen) -> None:
    """Publish now and then until the console shows it: by then everybody knows the new channels."""
    name = steady_name(0)
    end = time.monotonic() + WARM_UP_S
    while not any(channel_id == channels[name] for channel_id, _ in seen.console):
        if time.monotonic() > end:
            raise SystemExit("the console does not show the new gateway's readings")
        source.publish(name, time.time_ns() // 1_000_000, USUAL)
        time.sleep(0.5)


def _results(url: str, seen: Seen, channels: dict[str, int], excursions: list[Key]) -> dict[str, dict[str, float]]:
    delay_of = {channels[alarm_name(d, number)]: d for d in ON_DELAYS_S for number in range(ALARM_CHANNELS)}
    alarms = alarms_of(url, list(delay_of))
    found = {
        "publish to committed": _figures(
            [seen.committed.get(key, math.inf) - at for key, at in seen.published.items()]
        ),
        "publish to console": _figures([seen.console.get(key, math.inf) - at for key, at in seen.published.items()]),
    }
    for delay in ON_DELAYS_S:
        took = [
            seen.raised.get(alarms.get(key, -1), math.inf) - seen.published[key] - delay
            for key in excursions
            if delay_of[key[0]] == delay
        ]
        found[f"publish to alarm, on-delay {delay} s"] = _figures(took)
    return found


def _figures(took_s: list[float]) -> dict[str, float]:
    """Return count, missing, and the percentiles by nearest rank in milliseconds of those that came."""
    came = sorted(each for each in took_s if each != math.inf)
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    at = {name: came[math.ceil(rank * len(came)) - 1] if came else math.nan for name, rank in ranks.items()}
    counts = {"count": len(took_s), "missing": len(took_s) - len(came)}
    return counts | {name: round(1000 * value, 1) for name, value in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="data folder of the running Hanlu")
    parser.add_argument("--seconds", type=float, default=30.0, help=f"length of the measurement, at most {LONGEST_S}")
    parser.add_argument("--rate", type=int, default=50, help="readings a second besides those of the alarm channels")
    parser.add_argument("--gateway", action="store_true", help="from a device through a real gateway and its spool")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not 2 * CYCLE_S <= options.seconds <= LONGEST_S or not 1 <= options.rate <= 2_000:
        parser.error(f"--seconds lies between {2 * CYCLE_S:g} and {LONGEST_S}, --rate between 1 and 2000")
    settings = settings_of_running(load(flags={"data": {"folder": options.data.absolute()}}))
    if settings.database.url is None or settings.broker.url is None:
        raise SystemExit(f"no `hanlu up` runs on {options.data}")
    asked = sys.stdin.isatty()
    password = getpass.getpass("operator's password: ") if asked else sys.stdin.readline().strip()
    results: dict[str, Any] = run(
        settings, password, options.seconds, options.rate, Device if options.gateway else Publisher
    )
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'milliseconds':34s}{'count':>8}{'missing':>9}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}")
    for name, each in results.items():
        numbers = "".join(f"{each[column]:>9.1f}" for column in ("p50", "p95", "p99", "max"))
        print(f"{name:34s}{each['count']:>8}{each['missing']:>9}{numbers}")


main()
