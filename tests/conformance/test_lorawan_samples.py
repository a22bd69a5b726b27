"""Uplinks of many makers' devices, as two network servers publish them, against what the makers expect.

Each line goes the whole pure way, from the server's JSON to decoded values, and is compared under the maker's own keys:
numbers to 1e-9, words without regard to case, lists as sets, times to the millisecond. What is not compared stands in
the tables below, with the reason; nothing else may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from fix_shared import shared_dir

from hanlu.core.reading import Quality
from hanlu.core.rejected import Rejected
from hanlu.gateway.driver.lorawan.codec import Codec
from hanlu.gateway.driver.lorawan.codec_file import library
from hanlu.gateway.driver.lorawan.envelope import NETWORKS, Uplink
from hanlu.gateway.driver.lorawan.payload import Decoded, Value, decode
from hanlu.gateway.driver.lorawan.uplink_batch import Device, uplink_batch

FOLDER = "samples", "lorawan"
FILES = {"chirpstack": "chirpstack_uplinks.jsonl", "things_stack": "thingsstackcommunity_uplinks.jsonl"}
TOPICS = {"chirpstack": "application/1/device/x/event/up", "things_stack": "v3/app@tenant/devices/x/up"}
NOW = 1_790_000_000_000

BOOKKEEPING = {"uplinkId", "rfChain", "channel", "context", "crcStatus", "gatewayId", "hexString"}
"""Of the network server's own message, copied through by the sample's converter; nothing a device said."""

LORA = {
    "lora_frame_counter": "counter",
    "fCnt": "counter",
    "lora_frame_port": "port",
    "fPort": "port",
    "lora_frequency": "frequency",
    "lora_spreading_factor": "spreading_factor",
    "lora_rssi": "rssi",
    "rssi": "rssi",
    "lora_snr": "snr",
    "snr": "snr",
    "dr": "data_rate",
    "confirmed": "confirmed",
}
"""Keys that are told by the network server: the uplink's attribute they are compared with."""

EXCEPTIONS = {
    # In the history of the same payload's record the byte is 1, which the live value beside it and the maker's user
    # guide call "trigger"; the sample says "idle".
    ("Milesight", "AM3", "trigger"): "idle",
    # Half percents: 0x65 is 50.5, as the sample of EM300-SLD-ZLD says of the same byte; here integers were divided.
    ("Milesight", "EM300-DI", "humidity"): 50,
    # The position in the payload the sample's converter had reached.
    ("Milesight", "WT201", "plan_schedule.0.i"): 40,
    ("Milesight", "WT201", "plan_schedule.1.i"): 48,
    # Nwave publishes 3.344 V and "normal" for these very bytes; the sample read the byte as signed.
    ("Nwave", "G4_NPS", "battery_voltage"): 2.32,
    ("Nwave", "G4_NPS", "battery_health"): "critical",
}
"""(maker, beginning of the device, key) to the expected value that is not ours."""


@dataclass(frozen=True)
class Sample:
    """One line."""

    network: str
    line: int
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.network}-{self.line}-{self.content['vendor']}-{self.content['device']}"

    @property
    def uplink(self) -> Uplink:
        body = json.dumps(self.content["payload"]).encode()
        uplink = NETWORKS[self.network].read(TOPICS[self.network], body, "codec")
        assert isinstance(uplink, Uplink)
        return uplink

    @property
    def codec(self) -> Codec:
        """The codec whose models name the device; some codecs name a whole family by its beginning."""
        maker, device = self.content["vendor"], self.content["device"]
        own = [each for each in library().values() if each.maker == maker]
        exact = [each for each in own if device in each.models]
        return (exact or [each for each in own if any(device.startswith(model) for model in each.models)])[0]

    @property
    def expected(self) -> list[Mapping[str, Any]]:
        telemetry = self.content["expected"]["telemetry"]
        return telemetry if isinstance(telemetry, list) else [telemetry]


def samples() -> list[Sample]:
    return [
        Sample(network, number, json.loads(line))
        for network, name in FILES.items()
        for number, line in enumerate(shared_dir(*FOLDER, name).read_text(encoding="utf-8").splitlines())
    ]


SAMPLES = samples()


def flat(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves with dotted keys; lists of objects by number, other lists are leaves."""
    if isinstance(values, dict):
        for key, each in values.items():
            yield from flat(each, f"{path}{key}.")
    elif isinstance(values, list) and values and isinstance(values[0], dict):
        for number, each in enumerate(values):
            yield from flat(each, f"{path}{number}.")
    else:
        yield path[:-1], values


def excepted(sample: Sample, key: str, expected: Any) -> bool:
    return any(
        maker == sample.content["vendor"]
        and sample.content["device"].startswith(device)
        and (key, expected) == (k, value)
        for (maker, device, k), value in EXCEPTIONS.items()
    )


def agrees(value: Value | None, expected: Any) -> bool:
    if value is None:
        return False
    if isinstance(expected, list):
        return set((value.text or "").split(", ")) - {""} == set(expected)
    if isinstance(expected, str):
        if value.key.startswith("plan_schedule.") and value.key.endswith(".time"):  # we keep minutes since midnight
            minutes = int(value.number or 0)
            return f"{minutes // 60:02}:{minutes % 60:02}" == expected
        return (value.text or "").casefold() == expected.casefold()
    return value.number == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


def at_of(entry: Mapping[str, Any], decoded: Decoded) -> int | None:
    """The decoded values' own time an expected entry means, or None for that of the uplink; seconds happen, too."""
    stamp = entry.get("ts")
    own = {value.at_ms for value in decoded.values} - {None}
    if isinstance(stamp, int):
        return next((at for at in own if at in (stamp, stamp * 1000)), None)
    return None


def compared(sample: Sample) -> tuple[int, int, int]:
    """Compare one sample; return how many values were compared, excepted, and bookkeeping."""
    uplink = sample.uplink
    decoded = decode(sample.codec, uplink.port, uplink.payload)
    count, without, bookkeeping = 0, 0, 0
    for entry in sample.expected:
        at_ms = at_of(entry, decoded)
        if at_ms is None and isinstance(entry.get("ts"), int):
            assert uplink.observed_ms == entry["ts"], f"{sample.name}: time"
        found = {value.key: value for value in decoded.values if value.at_ms == at_ms}
        for key, expected in flat(entry["values"]):
            if key in found or key not in LORA.keys() | BOOKKEEPING:
                if excepted(sample, key, expected):
                    assert not agrees(found.get(key), expected), f"{sample.name}: {key} is excepted without need"
                    without += 1
                    continue
                assert agrees(found.get(key), expected), f"{sample.name}: {key} is {expected!r}, got {found.get(key)}"
                count += 1
            elif key in LORA:
                assert getattr(uplink, LORA[key]) == expected, f"{sample.name}: {key}"
                count += 1
            else:
                bookkeeping += 1
    return count, without, bookkeeping


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_says_what_its_maker_expects(sample: Sample) -> None:
    compared(sample)


def test_nearly_all_values_are_compared() -> None:
    totals = [compared(sample) for sample in SAMPLES]
    assert len(SAMPLES) == 232
    assert tuple(sum(column) for column in zip(*totals, strict=True)) == (1_867, 15, 70)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_becomes_readings_in_the_units_of_their_channels(sample: Sample) -> None:
    uplink = sample.uplink
    decoded = decode(sample.codec, uplink.port, uplink.payload)
    batch = uplink_batch("lora x", uplink, Device("room-1", sample.codec), NOW)
    units = {each.metric: each.rule.senml_unit for each in decoded.values if each.rule}
    by_name = {(each.name, each.observed_ms): each for each in batch.readings}
    assert len(by_name) == len(batch.readings), "one value for a channel and instant"
    for value in decoded.values:
        if value.rule is None or value.number is None:
            continue
        observed_ms = value.at_ms or uplink.observed_ms or NOW
        reading = by_name[f"room-1/{value.metric}", observed_ms]
        assert reading.unit == units[value.metric]
    assert bool(batch.undecodable) == bool(decoded.problem)


def test_what_devices_say_of_themselves_is_shown_as_the_makers_do() -> None:
    count = 0
    for sample in SAMPLES:
        uplink = sample.uplink
        found = {value.key: value for value in decode(sample.codec, uplink.port, uplink.payload).values}
        for key, expected in sample.content["expected"]["attributes"].items():
            if key in found and key != "manufacturer":  # a constant of the converter's, longer than the device says it
                assert agrees(found[key], expected), f"{sample.name}: {key} is {expected!r}, got {found[key]}"
                count += 1
    assert count == 31


def test_impossible_values_of_a_maker_are_kept_as_bad() -> None:
    smtp = next(
        each for each in SAMPLES if each.content["device"] == "DL-SMTP" and "payload_02" in each.content["source"]
    )
    batch = uplink_batch("lora x", smtp.uplink, Device("field-1", smtp.codec), NOW)
    bad = {each.name: each.value for each in batch.readings if each.quality is Quality.BAD}
    assert bad == {"field-1/soil_temperature_6": -327.68, "field-1/soil_temperature_7": -327.68}


def test_every_sample_cut_short_anywhere_is_read_up_to_there_or_refused() -> None:
    for sample in SAMPLES:
        uplink, codec = sample.uplink, sample.codec
        whole = decode(codec, uplink.port, uplink.payload)
        for length in range(len(uplink.payload)):
            part = decode(codec, uplink.port, uplink.payload[:length])
            assert len(part.values) <= len(whole.values)
            kept = {(value.key, value.at_ms): value.number for value in whole.values}
            for value in part.values:
                same = [number for (key, _), number in kept.items() if key == value.key]
                assert same, f"{sample.name} cut at {length} invents {value.key}"


def test_bodies_cut_short_are_refused() -> None:
    for sample in SAMPLES[::20]:
        body = json.dumps(sample.content["payload"]).encode()
        for length in range(0, len(body), 7):
            assert isinstance(NETWORKS[sample.network].read(TOPICS[sample.network], body[:length], "codec"), Rejected)
