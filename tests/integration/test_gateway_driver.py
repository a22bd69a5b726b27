"""The line driver over real sockets, without a broker."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_gateway import START_MS, Device

from hanlu.core.clock import ManualClock
from hanlu.core.errors import FatalError, TransientError, UsageError
from hanlu.core.reading import Reading
from hanlu.core.senml import decode_json
from hanlu.core.wire.documents import Loss
from hanlu.core.wire.envelope import ContentType, open_envelope
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LineConfig
from hanlu.gateway.driver.line import LineServer
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.service import run
from hanlu.gateway.spool import Spool


class Bench:
    def __init__(self, folder: Path, listen: str, max_bytes: int) -> None:
        self.spool = Spool(folder / "spool.sqlite", Ed25519PrivateKey.generate(), ManualClock(), max_bytes=max_bytes)
        self.commits = 0
        clock = GatewayClock(ManualClock(START_MS + 10_000_000), "boot-1")
        self.intake = SpoolIntake(self.spool, Packing(), clock, Admission(Priorities(high=("*",))), self.committed)
        self.server = LineServer(LineConfig(listen=listen), self.intake, ManualClock())

    def committed(self) -> None:
        self.commits += 1

    def envelopes(self):
        return [open_envelope(message.raw) for message in self.spool.next_after(0, 10_000)]

    def readings(self) -> list[Reading]:
        packs = [e for e in self.envelopes() if e.header.content_type is ContentType.SENML_JSON]
        return [reading for envelope in packs for reading in decode_json(envelope.payload, START_MS).readings]


@contextmanager
def running(folder: Path, listen: str = "127.0.0.1:0", max_bytes: int = 1 << 30) -> Iterator[Bench]:
    bench = Bench(folder, listen, max_bytes)
    thread = threading.Thread(target=bench.server.run)
    thread.start()
    try:
        yield bench
    finally:
        bench.server.stop()
        thread.join(5)
        assert not thread.is_alive()
        bench.spool.close()


def readings(count: int, name: str = "room-1/air_temperature") -> list[Reading]:
    return [Reading(name, "Cel", START_MS + 1000 * step, -18.0 - step / 8) for step in range(count)]


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_lines_are_in_the_spool_when_they_are_answered(tmp_path, kind):
    listen = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/line.sock"
    with running(tmp_path, listen) as bench:
        device = Device(bench.server.address)
        sent = readings(1_000)
        for reading in sent:
            device.send_readings([reading])
        device.settle()
        assert len(device.acked) == 1_000
        assert bench.readings() == sent
        assert bench.commits < 200  # many lines share a transaction
    assert not (tmp_path / "line.sock").exists()


def test_several_connections_share_transactions_and_lose_nothing(tmp_path):
    with running(tmp_path) as bench:
        devices = [Device(bench.server.address) for _ in range(8)]
        for number, device in enumerate(devices):
            for reading in readings(300, f"room-{number}/air_temperature"):
                device.send_readings([reading])
        threads = [threading.Thread(target=device.settle) for device in devices]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(len(device.acked) for device in devices) == 2_400
        assert len(set(bench.readings())) == 2_400
        assert bench.envelopes()[-1].header.produced == 2_400


def test_bad_lines_among_good_are_answered_in_order_and_counted(tmp_path):
    with running(tmp_path) as bench:
        host, _, port = bench.server.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as sock:
            good = json.dumps({"id": 1, "senml": [{"n": "a/b", "v": 1, "t": START_MS / 1000}]})
            lines = [good, "nonsense", '{"id":2}', "x" * 70_000, "", good.replace('"id": 1', '"id": 3')]
            sock.sendall("\n".join(lines).encode() + b"\n")
            with sock.makefile() as reader:
                answers = [json.loads(reader.readline()) for _ in range(5)]
        assert [answer.get("ok", answer.get("error")) for answer in answers] == [
            1, "malformed", "foreign_schema", "oversized", 3,
        ]  # fmt: skip
        assert [answer.get("id") for answer in answers] == [None, None, 2, None, None]
        assert bench.server.counts["lines"] == 5
        assert bench.server.counts["malformed"] == bench.server.counts["oversized"] == 1
        assert len(bench.readings()) == 2


def test_refused_records_and_declared_losses_are_part_of_produced(tmp_path):
    with running(tmp_path) as bench:
        device = Device(bench.server.address)
        record = {"n": "room-1/air_temperature", "u": "Cel", "t": START_MS / 1000}
        device.send({"senml": [{**record, "v": 1.5}, {**record, "vs": "---"}]})
        device.send({"lost": {"reason": "no_value", "count": 40}})
        device.send({"epcis": {"type": "EPCISDocument"}})
        device.settle()
        headers = [envelope.header for envelope in bench.envelopes()]
        assert sorted(header.count for header in headers) == [0, 1, 1, 40]
        assert headers[-1].produced == 42


def test_full_spool_answers_with_a_clear_error_and_declares_the_loss_later(tmp_path):
    with running(tmp_path, max_bytes=65_536) as bench:
        device = Device(bench.server.address)
        for start in range(0, 4_000, 20):
            device.send_readings([r._replace(observed_ms=r.observed_ms + start * 1000) for r in readings(20)])
        device.PIPELINE = 10
        device.settle()
        refused = len(device.errors)
        assert refused > 0
        assert set(device.errors.values()) == {"spool_full"}
        assert bench.spool.stats().refused == refused * 20
        assert bench.spool.stats().pending_bytes < 65_536 + 20_000
        bench.spool.delete_committed(bench.spool.head)
        (loss,) = [e for e in bench.envelopes() if e.header.content_type is ContentType.LOSS]
        assert loss.header.count == refused * 20
        assert loss.header.produced == 4_000
        assert Loss.model_validate_json(loss.payload).channel == "room-1/air_temperature"
        again = Device(bench.server.address)
        again.send_readings(readings(1))
        again.settle()
        assert len(again.acked) == 1


def test_disk_that_fails_answers_nothing_and_the_device_sends_again(tmp_path, monkeypatch):
    with running(tmp_path) as bench:
        append, failures = bench.spool.append, [1, 1, 1]

        def failing(*args: object, **more: object) -> range:
            if failures:
                failures.pop()
                raise TransientError("disk full")
            return append(*args, **more)

        monkeypatch.setattr(bench.spool, "append", failing)
        device = Device(bench.server.address)
        for reading in readings(50):
            device.send_readings([reading])
        device.settle()
        assert failures == []
        assert (len(device.acked), device.errors) == (50, {})
        assert set(bench.readings()) == set(readings(50))
        assert bench.server.counts["not_written"] == 3


def test_device_that_never_reads_its_answers_does_not_hold_others_up(tmp_path):
    with running(tmp_path) as bench:
        host, _, port = bench.server.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            flood, sent = b'{"id":1}\n' * 10_000, 0
            try:
                for _ in range(300):
                    sent += deaf.send(flood)
            except BlockingIOError:
                pass
            device = Device(bench.server.address)
            for reading in readings(20):
                device.send_readings([reading])
            device.settle(10)
            assert len(device.acked) == 20
            assert all(len(connection.out) < 2**20 for connection in bench.server._connections)


def test_taken_address_is_refused_with_its_name(tmp_path):
    with running(tmp_path) as bench, pytest.raises(UsageError, match=bench.server.address):
        LineServer(LineConfig(listen=bench.server.address), bench.intake, ManualClock())


def test_socket_file_left_by_a_crash_is_taken_over_and_a_living_one_is_not(tmp_path):
    address = f"unix:{tmp_path}/line.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(f"{tmp_path}/line.sock")
    left.close()
    with running(tmp_path, address) as bench:
        device = Device(address)
        device.send_readings(readings(1))
        device.settle()
        with pytest.raises(UsageError, match="another process"):
            LineServer(LineConfig(listen=address), bench.intake, ManualClock())


def test_more_devices_than_allowed_are_turned_away_and_counted(tmp_path):
    bench = Bench(tmp_path, "127.0.0.1:0", 1 << 30)
    bench.server.close()
    config = LineConfig(max_connections=2)
    bench.server = LineServer(config, bench.intake, ManualClock())
    thread = threading.Thread(target=bench.server.run)
    thread.start()
    host, _, port = bench.server.address.rpartition(":")
    socks = [socket.create_connection((host, int(port)), timeout=5) for _ in range(3)]
    assert socks[2].recv(10) == b""
    socks[1].sendall(b"{}\n")
    assert json.loads(socks[1].recv(1_000))["error"] == "foreign_schema"
    for sock in socks:
        sock.close()
    bench.server.stop()
    thread.join(5)
    assert bench.server.counts["too_many_connections"] == 1
    bench.spool.close()


def test_gateway_whose_spool_turns_out_damaged_ends_with_the_cause_and_answers_nobody(tmp_path, monkeypatch):
    config = GatewayConfig(
        code="gw-1", partition=1, data_dir=tmp_path / "gw-1", line=LineConfig(listen=f"unix:{tmp_path}/line.sock"),
        broker=BrokerConfig(port=1),
    )  # fmt: skip
    ready, failures = threading.Event(), []

    def serve() -> None:
        try:
            run(config, threading.Event(), ready.set)
        except FatalError as error:
            failures.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(5)

    def damaged(*_args: object, **_more: object) -> range:
        raise FatalError("the spool is damaged: page 7")

    monkeypatch.setattr(Spool, "append", damaged)
    device = Device(config.line.listen)
    device.send_readings(readings(1))
    with pytest.raises(AssertionError, match="unanswered"):
        device.settle(1.0)
    thread.join(10)
    assert not thread.is_alive()
    assert failures == ["gateway gw-1 failed: the spool is damaged: page 7"]
    assert device.acked == {}
