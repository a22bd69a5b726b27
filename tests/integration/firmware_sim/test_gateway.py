"""The simulator's devices and the real gateway driver understand each other."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fix_shared import shared_dir

from hanlu.core.clock import SystemClock
from hanlu.core.senml import Pack, decode_json
from hanlu.core.wire.documents import Loss
from hanlu.core.wire.envelope import ContentType, open_envelope
from hanlu.firmware_sim.line_client import tcp
from hanlu.firmware_sim.physics.schedule import HOUR_MS
from hanlu.firmware_sim.replay.guess import guess_file
from hanlu.firmware_sim.replay.plan import plan
from hanlu.firmware_sim.replay.play import play
from hanlu.firmware_sim.runner import run
from hanlu.firmware_sim.yanling import demo_county
from hanlu.gateway.clocks import GatewayClock
from hanlu.gateway.config import LineConfig
from hanlu.gateway.driver.line import LineServer
from hanlu.gateway.intake import SpoolIntake
from hanlu.gateway.packing import Packing
from hanlu.gateway.policy import Admission, Priorities
from hanlu.gateway.spool import Spool


@contextmanager
def edge(folder: Path) -> Iterator[tuple[Spool, LineServer]]:
    """A gateway's southern half: driver and spool, without an uplink."""
    spool = Spool(folder / "spool.sqlite", Ed25519PrivateKey.generate(), SystemClock())
    clock = GatewayClock(SystemClock(), "boot-1")
    intake = SpoolIntake(spool, Packing(), clock, Admission(Priorities()), lambda: None)
    server = LineServer(LineConfig(), intake, clock)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield spool, server
    finally:
        server.stop()
        thread.join()
        spool.close()


def port_of(server: LineServer) -> int:
    return int(str(server.address).rsplit(":", 1)[1])


def test_replayed_export_is_whole_in_the_spool_with_every_loss_declared(tmp_path: Path) -> None:
    path = shared_dir("real_data", "frozen_rooms", "atacadao_bangu_RJ__L1.csv")
    made = plan(path, guess_file(path, time_zone="-03:00").mapping)
    with edge(tmp_path) as (spool, server):
        summary = play(made, tcp("127.0.0.1", port_of(server)), lambda _: None, threading.Event())
        assert summary.complete
        values: set[tuple[str, int]] = set()
        lost: Counter[str] = Counter()
        for stored in spool.next_after(0, 1_000_000):
            envelope = open_envelope(stored.raw)
            header, payload = envelope.header, envelope.payload
            assert header.replayed
            if header.content_type is ContentType.LOSS:
                loss = Loss.model_validate_json(payload)
                lost[loss.reason] += loss.count
            else:
                pack = decode_json(payload, 0)
                assert isinstance(pack, Pack)
                values |= {(reading.name, reading.observed_ms) for reading in pack.readings}
        assert len(values) == made.values
        assert lost == {"no_value": 5_853}
        assert spool.stats().produced == made.cells


def test_demo_county_is_taken_by_its_gateways_without_a_refusal(tmp_path: Path) -> None:
    county = demo_county()
    began = SystemClock().now_ms()
    with (
        edge(tmp_path / "gw-zhongcun") as (orchard, orchard_server),
        edge(tmp_path / "gw-yanling") as (store, store_server),
    ):
        addresses = {
            "gw-zhongcun": ("127.0.0.1", port_of(orchard_server)),
            "gw-yanling": ("127.0.0.1", port_of(store_server)),
        }
        stop = threading.Event()
        answers = run(county, addresses, stop, start_ms=began - 25 * HOUR_MS, until_ms=began).answers
        assert orchard.stats().produced >= 8_000
        assert store.stats().produced >= 20_000
        assert set(answers) == {"taken"}
        events = [
            json.loads(open_envelope(stored.raw).payload)
            for spool in (orchard, store)
            for stored in spool.next_after(0, 1_000_000)
            if stored.kind == "event"
        ]
    assert {event["type"] for event in events} == {"EPCISDocument"}
    assert len(events) >= 10
