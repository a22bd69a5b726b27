"""A whole gateway with drivers of its own: exchanged by remote configuration, broken, hanging, without a time."""

from __future__ import annotations

import json
import logging
import queue
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from fix_gateway import Device, patiently

from hanlu.core import gateway_health
from hanlu.core.clock import Clock, ManualClock
from hanlu.core.errors import FatalError, UsageError
from hanlu.core.reading import Reading
from hanlu.core.senml import decode_json
from hanlu.core.wire.documents import Birth, BirthChannel
from hanlu.core.wire.envelope import ContentType, open_envelope
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LineConfig
from hanlu.gateway.driver.contract import Batch, Intake
from hanlu.gateway.driver.mapping import DriverConfig
from hanlu.gateway.service import Gateway

NOW = 1_790_000_000_000
CHANNEL = "room-1/air_temperature"


class Probe:
    """A driver that does what the test tells it."""

    everyone: ClassVar[dict[str, Probe]] = {}

    def __init__(self, config: ProbeConfig, intake: Intake, clock: Clock) -> None:
        if config.port == 666:
            raise UsageError("port 666 is not there")
        self.config, self.intake, self.clock = config, intake, clock
        self.counts: Counter[str] = Counter()
        self.orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.closed = threading.Event()
        self.address = f"probe:{config.port}"
        self.channels = (BirthChannel(name=f"{config.name}/air_temperature", unit="Cel", period_s=60),)
        Probe.everyone[config.name] = self

    def run(self) -> None:
        try:
            while (order := self.orders.get()) is not None:
                order()
        finally:
            self.close()

    def stop(self) -> None:
        self.orders.put(None)

    def close(self) -> None:
        self.closed.set()

    def take(self, *readings: Reading) -> None:
        done = threading.Event()
        self.orders.put(lambda: (self.intake.offer(Batch(readings)), self.counts.update(messages=1), done.set()))
        assert done.wait(5)


class ProbeConfig(DriverConfig):
    kind: Literal["probe"] = "probe"
    port: int = 1

    def build(self, intake: Intake, clock: Clock) -> Probe:
        return Probe(self, intake, clock)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatewayConfig:
    monkeypatch.setattr("hanlu.gateway.driver.catalogue.config_class", lambda _: ProbeConfig)
    Probe.everyone.clear()
    return GatewayConfig(
        code="gw-1", partition=1, data_dir=tmp_path / "gw-1", broker=BrokerConfig(port=1),
        line=LineConfig(listen=f"unix:{tmp_path}/line.sock"),
        drivers=(ProbeConfig(name="room-1"), ProbeConfig(name="room-2")),
    )  # fmt: skip


def toml(*drivers: tuple[str, int], more: str = "") -> str:
    return more + "".join(f'[[drivers]]\nkind = "probe"\nname = "{name}"\nport = {port}\n' for name, port in drivers)


def configure(gateway: Gateway, version: int, text: str) -> Birth:
    """Order a configuration as the platform does, and wait for the birth that answers it."""
    before = gateway._spool.head
    document = {"action": "configure", "version": version, "config": text}
    gateway._courier.heard("hanlu/1/01/gw-1/command", json.dumps(document).encode())
    patiently(lambda: gateway._spool.head > before, "birth")
    return births(gateway)[-1]


def births(gateway: Gateway) -> list[Birth]:
    envelopes = [open_envelope(message.raw) for message in gateway._spool.next_after(0, 100_000)]
    return [
        Birth.model_validate_json(each.payload) for each in envelopes if each.header.content_type is ContentType.BIRTH
    ]


def readings(gateway: Gateway) -> list[Reading]:
    envelopes = [open_envelope(message.raw) for message in gateway._spool.next_after(0, 100_000)]
    packs = [decode_json(e.payload, NOW) for e in envelopes if e.header.content_type is ContentType.SENML_JSON]
    return [reading for pack in packs for reading in pack.readings]


def reading(value: float, name: str = CHANNEL) -> Reading:
    return Reading(name, "Cel", int(time.time()) * 1000, value)


def test_drivers_share_the_spool_and_are_counted_and_announced(config):
    with Gateway(config) as gateway:
        gateway.start()
        Probe.everyone["room-1"].take(reading(1.0))
        Probe.everyone["room-2"].take(reading(2.0, "room-2/air_temperature"))
        device = Device(gateway.address)
        device.send_readings([reading(3.0, "room-3/air_temperature")])
        device.settle()
        assert [each.value for each in readings(gateway)] == [1.0, 2.0, 3.0]
        status = gateway.status()
        assert status.drivers == {"room-1": {"messages": 1}, "room-2": {"messages": 1}}
        assert (status.counts["readings"], status.intake["readings"]) == (1, 3)
        assert gateway.driver_addresses == {"room-1": "probe:1", "room-2": "probe:1"}
        names = [channel.name for channel in gateway._courier._birth.channels]
        assert names[:2] == ["room-1/air_temperature", "room-2/air_temperature"]
        assert set(names[2:]) == {metric.channel for metric in gateway_health.METRICS}
    assert all(probe.closed.is_set() for probe in Probe.everyone.values())


def test_remote_configuration_exchanges_what_changed_and_leaves_the_rest_and_the_store_alone(config):
    with Gateway(config) as gateway:
        gateway.start()
        staying, going = Probe.everyone["room-1"], Probe.everyone["room-2"]
        staying.take(reading(1.0))
        epoch = gateway.status().spool.epoch
        birth = configure(gateway, 5, toml(("room-1", 1), ("room-2", 2), ("room-9", 3), more="health_period_s = 0\n"))
        assert (birth.config_version, birth.config_error) == (5, "")
        assert [channel.name for channel in birth.channels] == [f"room-{n}/air_temperature" for n in (1, 2, 9)]
        assert (going.closed.is_set(), staying.closed.is_set()) == (True, False)
        assert Probe.everyone["room-1"] is staying
        assert Probe.everyone["room-2"].config.port == 2
        Probe.everyone["room-9"].take(reading(2.0))
        assert [each.value for each in readings(gateway)] == [1.0, 2.0]
        assert gateway.status().spool.epoch == epoch
        assert gateway.status().config_version == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (toml(("room-1", 1), ("room-3", 666)), "666"),
        (toml(("room-2", 666)), "666"),
        ('[broker]\nhost = "evil"', "broker"),
        ("[limits", "TOML"),
    ],
)
def test_refused_configuration_leaves_the_old_drivers_at_work_and_says_why(config, text, words):
    with Gateway(config) as gateway:
        gateway.start()
        birth = configure(gateway, 2, text)
        assert birth.config_version == 0
        assert words in birth.config_error
        for name in ("room-1", "room-2"):
            probe = Probe.everyone[name]
            assert not probe.closed.is_set()
            probe.take(reading(1.0, f"{name}/air_temperature"))
        assert len(readings(gateway)) == 2
        mended = configure(gateway, 2, toml(("room-1", 1)))
        assert (mended.config_version, mended.config_error) == (2, "")
        assert list(gateway.driver_addresses) == ["room-1"]


def test_old_version_changes_nothing_and_the_one_in_force_survives_a_restart(config):
    with Gateway(config) as gateway:
        gateway.start()
        configure(gateway, 3, toml(("room-7", 7), more="[limits]\nmax_readings = 5\n"))
        assert configure(gateway, 2, toml(("room-1", 1))).config_version == 3
        assert list(gateway.driver_addresses) == ["room-7"]
    with Gateway(config) as gateway:
        assert (gateway.status().config_version, list(gateway.driver_addresses)) == (3, ["room-7"])
        assert gateway.config.limits.max_readings == 5
        assert gateway._courier._birth.config_version == 3


def test_kept_configuration_that_does_not_fit_any_more_leaves_the_gateways_own_in_force(config):
    config.data_dir.mkdir(mode=0o700)
    (config.data_dir / "remote.json").write_text(json.dumps({"version": 4, "config": "[limits]\nold_name = 1"}))
    with Gateway(config) as gateway:
        assert (gateway.status().config_version, len(gateway.driver_addresses)) == (0, 2)
        assert "old_name" in gateway._courier._birth.config_error


def test_spool_survives_any_number_of_reconfigurations(config):
    """Rates, sizes, drivers, priorities and channels change at every start; nothing in the store moves."""
    sent, epoch = [], ""
    for run in range(12):
        changed = config.model_copy(
            update={
                "drivers": tuple(ProbeConfig(name=f"room-{n}", port=run + 1) for n in range(1, 2 + run % 3)),
                "limits": config.limits.model_copy(
                    update={"max_readings": 1 + run, "max_spool_bytes": 1 << (20 + run)}
                ),
                "health_period_s": float(run % 2 * 60),
                "uplink": config.uplink.model_copy(update={"live_rate": 1.0 + run}),
                "line": LineConfig(listen=f"unix:{config.data_dir.parent}/line-{run}.sock"),
            }
        )
        with Gateway(changed) as gateway:
            gateway.start()
            epoch = epoch or gateway.status().spool.epoch
            for step in range(5):
                sent.append(reading(run + step / 10)._replace(observed_ms=NOW - 10**9 + run * 1_000 + step))
                Probe.everyone["room-1"].take(sent[-1])
            if run % 4 == 3:
                configure(gateway, run, toml(("room-1", 99), more=f"[limits]\nmax_readings = {run}\n"))
                sent.append(reading(99.0)._replace(observed_ms=NOW - 10**8 + run))
                Probe.everyone["room-1"].take(sent[-1])
            assert gateway.status().spool.epoch == epoch
            assert readings(gateway) == sent


def test_driver_that_breaks_is_built_anew_and_the_others_go_on(config, caplog):
    with Gateway(config) as gateway:
        gateway.start()
        broken = Probe.everyone["room-1"]

        def fail() -> None:
            raise ZeroDivisionError("a register of zeros")

        broken.orders.put(fail)
        patiently(lambda: Probe.everyone["room-1"] is not broken, "new driver")
        assert broken.closed.is_set()
        Probe.everyone["room-2"].take(reading(1.0))
        Probe.everyone["room-1"].take(reading(2.0))
        gateway.check()
        assert gateway.status().drivers["room-1"]["broken"] == 1
        assert any(getattr(record, "action", "") == "gateway.driver.broken" for record in caplog.records)


def test_driver_that_cannot_be_built_anew_is_tried_until_it_can(config, monkeypatch):
    monkeypatch.setattr("hanlu.gateway.driver_set._PAUSES_S", (0.01,))
    with Gateway(config) as gateway:
        gateway.start()
        broken, tries = Probe.everyone["room-1"], []
        build = ProbeConfig.build

        def sometimes(config: ProbeConfig, intake: Intake, clock: Clock) -> Probe:
            tries.append(config.name)
            if len(tries) < 4:
                raise (OSError("address in use"), KeyError("no such map"), UsageError("no folder"))[len(tries) - 1]
            return build(config, intake, clock)

        monkeypatch.setattr(ProbeConfig, "build", sometimes)
        broken.orders.put(lambda: 1 // 0)
        patiently(lambda: Probe.everyone["room-1"] is not broken, "new driver")
        Probe.everyone["room-1"].take(reading(2.0))
        assert tries == ["room-1"] * 4


def test_driver_that_is_not_there_at_the_start_is_tried_again_while_the_others_serve(config, monkeypatch, caplog):
    monkeypatch.setattr("hanlu.gateway.driver_set._PAUSES_S", (0.05,))
    two = config.model_copy(update={"drivers": (ProbeConfig(name="share", port=666), ProbeConfig(name="room-2"))})
    Probe.everyone.pop("share", None)
    build = ProbeConfig.build
    with Gateway(two) as gateway:
        gateway.start()
        Probe.everyone["room-2"].take(reading(1.0))
        patiently(lambda: gateway.status().drivers["share"].get("broken", 0) > 0, "told")
        assert any(getattr(record, "action", "") == "gateway.driver.unbuilt" for record in caplog.records)

        def mounted(config: ProbeConfig, intake: Intake, clock: Clock) -> Probe:
            return build(config.model_copy(update={"port": 1}), intake, clock)

        monkeypatch.setattr(ProbeConfig, "build", mounted)
        patiently(lambda: "share" in Probe.everyone, "the driver, once its folder is there")
        Probe.everyone["share"].take(reading(2.0))
        gateway.check()


def test_configuration_a_driver_stumbles_over_is_refused_and_the_old_drivers_go_on(config, monkeypatch):
    build = ProbeConfig.build

    def stumbling(config: ProbeConfig, intake: Intake, clock: Clock) -> Probe:
        if config.port == 7:
            raise KeyError("nobody thought of this")
        return build(config, intake, clock)

    monkeypatch.setattr(ProbeConfig, "build", stumbling)
    with Gateway(config) as gateway:
        gateway.start()
        birth = configure(gateway, 2, toml(("room-1", 7)))
        assert birth.config_version == 0
        assert "KeyError: 'nobody thought of this'" in birth.config_error
        Probe.everyone["room-1"].take(reading(1.0))
        gateway.check()


def test_driver_named_like_a_thread_of_the_gateway_hides_nothing(config):
    own = config.model_copy(update={"drivers": (ProbeConfig(name="uplink"),)})
    with Gateway(own) as gateway:
        probe = Probe.everyone["uplink"]
        probe.beat = lambda: None
        gateway.start()
        patiently(lambda: "driver uplink" in gateway._beats._heard, "watched")
        configure(gateway, 1, toml(("room-1", 1)))
        assert sorted(gateway._beats._heard) == ["line", "steward", "uplink"]


def test_driver_that_finds_the_spool_damaged_ends_the_gateway(config):
    with Gateway(config) as gateway:
        gateway.start()

        def fail() -> None:
            raise FatalError("the spool is damaged: page 7")

        Probe.everyone["room-1"].orders.put(fail)
        patiently(lambda: gateway._failure is not None, "failure")
        with pytest.raises(FatalError, match="page 7"):
            gateway.check()
        assert not gateway.is_alive(60)


def test_thread_that_hangs_is_named_and_the_watchdog_hears_nothing(config, monkeypatch):
    with Gateway(config) as gateway:
        probe = Probe.everyone["room-1"]
        probe.beat = lambda: None
        gateway.start()
        patiently(lambda: probe.beat.__qualname__ != "<lambda>" and "driver room-1" in gateway._beats._heard, "watched")
        assert gateway.is_alive(60)
        go_on = threading.Event()
        probe.orders.put(lambda: go_on.wait(20))
        gateway._beats._heard["driver room-1"] -= 200
        assert not gateway.is_alive(60)
        monkeypatch.setattr("faulthandler.dump_traceback", lambda _: None)
        with pytest.raises(FatalError, match="room-1"):
            gateway.check()
        go_on.set()
        probe.orders.put(probe.beat)
        patiently(lambda: gateway.is_alive(60), "alive again")


def test_health_is_published_in_its_period_through_the_spool(config):
    clock = ManualClock(NOW)
    with Gateway(config, clock) as gateway:
        gateway._steward.look()
        assert readings(gateway) == []
        clock.advance(60)
        gateway._steward.look()
        gateway._steward.look()
        found = {each.name: each for each in readings(gateway)}
        assert found["gateway/uptime"] == Reading("gateway/uptime", "s", NOW + 60_000, 60.0)
        assert found["gateway/memory"].value > 1_000_000
        assert set(found) == {
            f"gateway/{name}" for name in ("spool_used", "spool_oldest", "clock_steps", "uptime", "memory")
        }
        gateway._courier.hears_time(NOW + 62_500)
        clock.advance(60)
        gateway._steward.look()
        last = {each.name: each.value for each in readings(gateway)}
        assert last["gateway/clock_offset"] == 2.5
        clock.step(clock.now_ms() - 3_600_000)
        clock.advance(60)
        gateway._steward.look()
        last = {each.name: each.value for each in readings(gateway)}
        assert (last["gateway/clock_steps"], last["gateway/clock_offset"]) == (1, 3602.5)


@pytest.mark.parametrize("changes", [{"health_period_s": 0}, {"replay": True}])
def test_gateway_without_health_or_with_a_replay_publishes_none(config, changes):
    clock = ManualClock(NOW)
    with Gateway(config.model_copy(update=changes), clock) as gateway:
        clock.advance(1_000)
        gateway._steward.look()
        assert readings(gateway) == []
        assert not any(each.name.startswith("gateway/") for each in gateway._courier._birth.channels)


def test_gateway_without_a_time_keeps_readings_until_the_platform_tells_it(config):
    clock = ManualClock(12_000)
    with Gateway(config, clock, boot="a") as gateway:
        gateway.start()
        Probe.everyone["room-1"].take(Reading(CHANNEL, "Cel", clock.now_ms(), -18.0))
        assert (readings(gateway), gateway.status().spool.held) == ([], 1)
    with Gateway(config, clock, boot="a") as gateway:  # a restart without a time changes nothing
        gateway.start()
        assert gateway.status().clocks.source == "none"
        clock.advance(30)
        Probe.everyone["room-1"].take(Reading(CHANNEL, "Cel", clock.now_ms(), -19.0))
        gateway._courier.hears_time(NOW)
        patiently(lambda: gateway.status().spool.held == 0, "release")
        assert [(each.observed_ms, each.value) for each in readings(gateway)] == [(NOW - 30_000, -18.0), (NOW, -19.0)]
        patiently(lambda: gateway._spool.known_time() is not None, "known time kept")
    with Gateway(config, clock, boot="a") as gateway:  # and a restart after it knows the time at once
        assert gateway.status().clocks.source == "platform"
        assert gateway._clock.now_ms() == NOW


@pytest.mark.parametrize("step_h", [-72, 72, 24 * 365])
def test_clock_that_jumps_does_not_move_the_times_of_readings(config, step_h):
    clock = ManualClock(NOW)
    with Gateway(config, clock) as gateway:
        gateway._courier.hears_time(NOW)
        device_clock = gateway._clock
        taken = []
        for minute in range(1, 10):
            clock.advance(60)
            if minute == 5:
                clock.step(clock.now_ms() + step_h * 3_600_000)
            gateway._steward.look()
            gateway._intake.offer(Batch((Reading(CHANNEL, "Cel", device_clock.now_ms(), float(minute)),)))
            taken.append(NOW + minute * 60_000)
        assert [each.observed_ms for each in readings(gateway) if each.name == CHANNEL] == taken
        assert gateway.status().clocks.steps == 1


def test_devices_beyond_the_descriptors_wait_without_a_spinning_thread(config, caplog):
    caplog.set_level(logging.ERROR)
    with Gateway(config) as gateway:
        gateway.start()
        path = gateway.address.removeprefix("unix:")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        callers = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        probe = socket.socket()
        lowest = probe.fileno()
        probe.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            for caller in callers:
                caller.connect(path)
            patiently(lambda: gateway.status().counts.get("no_descriptor", 0) >= 1, "shortage")
            time.sleep(0.5)
            assert gateway.status().counts["no_descriptor"] <= 2
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        callers[-1].sendall(b'{"id":1,"senml":[{"n":"room-1/air_temperature","u":"Cel","v":1}]}\n')
        callers[-1].settimeout(5)
        assert b'"ok":1' in callers[-1].recv(1_000)
        for caller in callers:
            caller.close()
