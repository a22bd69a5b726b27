"""Registers, maps and plans, without a bus; the maps against their makers' tables."""

from __future__ import annotations

import csv
import struct

import pytest
from fix_shared import shared_dir
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hanlu.core.errors import UsageError
from hanlu.core.reading import Quality
from hanlu.gateway.driver.modbus import ModbusConfig, ModbusDevice
from hanlu.gateway.driver.modbus_map import known_maps, load_map
from hanlu.gateway.driver.modbus_plan import MAX_WORDS, Request, apart, plan
from hanlu.gateway.driver.modbus_register import Absent, Register, Type, Value, evaluate


def register(**values) -> Register:
    return Register.model_validate({"source": "s", "metric": "m", "address": 0} | values)


def words(*given_words: int, function: int = 3, first: int = 0) -> dict[tuple[int, int], int]:
    return {(function, first + index): word for index, word in enumerate(given_words)}


@pytest.mark.parametrize(
    ("values", "given_words", "raw"),
    [
        ({"type": "int16"}, (0xFFF6,), -10.0),
        ({"type": "uint16"}, (0xFFF6,), 65_526.0),
        ({"type": "int32"}, (0xFFFF, 0xFFF6), -10.0),
        ({"type": "uint32"}, (0x0001, 0x0000), 65_536.0),
        ({"type": "uint32", "word_order": "little"}, (0x0000, 0x0001), 65_536.0),
        ({"type": "uint32", "byte_order": "little"}, (0x0100, 0x0000), 65_536.0),
        ({"type": "int64"}, (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE), -2.0),
        ({"type": "uint64"}, (0, 0, 1, 0), 65_536.0),
        ({"type": "float32"}, (0xC192, 0x0000), -18.25),
        ({"type": "float32", "word_order": "little"}, (0x0000, 0xC192), -18.25),
        ({"type": "float64"}, struct.unpack(">4H", struct.pack(">d", -0.1)), -0.1),
        ({"type": "bits", "mask": 0x0030}, (0x0025,), 2.0),
        ({"function": 1}, (1,), 1.0),
    ],
)
def test_words_become_the_number_their_type_says(values: dict, given_words: tuple[int, ...], raw: float) -> None:
    one = register(**values)
    assert evaluate(one, words(*given_words, function=one.function)) == Value(raw, Quality.GOOD)


@pytest.mark.parametrize(
    ("reference", "function", "first"),
    [(30011, 4, 10), ("40021", 3, 20), ("00001", 1, 0), (10002, 2, 1), (400001, 3, 0), ("365536", 4, 65_535)],
)
def test_reference_of_the_data_model_names_function_and_address(reference, function: int, first: int) -> None:
    one = Register.model_validate({"source": "s", "metric": "m", "reference": reference})
    assert (one.function, one.first) == (function, first)


@pytest.mark.parametrize(
    "values",
    [
        {"reference": 30000},
        {"reference": "20001"},
        {"reference": 30001, "address": 1},
        {"address": 0, "one_based": True},
        {"address": 65_535, "type": "float32"},
        {"address": 1, "function": 1, "type": "int16"},
        {"address": 1, "function": 3, "type": "bit"},
        {"address": 1, "low": 2.0, "high": 1.0},
        {"address": 1, "one_based": True, "reliability": {"address": 0}},
        {"address": 1, "unit": "furlong"},
    ],
)
def test_register_that_cannot_be_is_refused_where_it_is_read(values: dict) -> None:
    with pytest.raises((ValidationError, UsageError)):
        Register.model_validate({"source": "s", "metric": "m"} | values)


def test_reliability_decides_how_far_a_value_is_trusted() -> None:
    one = register(one_based=True, address=1, reliability={"address": 2, "uncertain": (5,)})
    found = [evaluate(one, words(100, state)) for state in (0, 1, 5)]
    assert found == [Value(100.0, quality) for quality in (Quality.GOOD, Quality.BAD, Quality.UNCERTAIN)]
    assert evaluate(one, words(100)) == Value(100.0, Quality.UNCERTAIN), "its reliability could not be read"


def test_value_outside_the_sensor_is_kept_and_bad() -> None:
    one = register(scale=0.1, low=-40.0, high=80.0)
    assert evaluate(one, words(900)) == Value(900.0, Quality.BAD)
    assert evaluate(one, words(800)) == Value(800.0, Quality.GOOD)


def test_sentinel_is_no_value_and_nan_without_one_is_a_loss() -> None:
    assert evaluate(register(sentinels=(-32_768,)), words(0x8000)) == Absent(produced=False, why="no_value")
    nan = words(0x7FC0, 0)
    assert evaluate(register(type="float32", sentinels=("nan",)), nan) == Absent(produced=False, why="no_value")
    assert evaluate(register(type="float32"), nan) == Absent(produced=True, why="not_finite")
    assert evaluate(register(type="float32"), words(0x7FC0)) == Absent(produced=False, why="not_read")


def test_neighbours_share_a_request_up_to_the_gap() -> None:
    registers = [register(address=0, type="float32"), register(address=4), register(address=20), register(address=3)]
    assert plan(registers, max_gap=1) == (Request(3, 0, 5), Request(3, 20, 1))
    assert plan(registers, max_gap=15) == (Request(3, 0, 21),)
    assert apart(Request(3, 0, 5), registers) == (Request(3, 0, 2), Request(3, 3, 1), Request(3, 4, 1))


_TYPES = st.sampled_from([each for each in Type if each is not Type.BIT])


@given(
    places=st.lists(st.tuples(st.integers(0, 400), _TYPES, st.sampled_from([3, 4])), min_size=1, max_size=40),
    max_gap=st.integers(0, 60),
    max_words=st.integers(4, MAX_WORDS),
)
def test_plan_reads_every_register_whole_and_keeps_the_limit(places, max_gap: int, max_words: int) -> None:
    registers = [register(address=address, type=kind.value, function=function) for address, kind, function in places]
    requests = plan(registers, max_gap, max_words)
    assert all(1 <= request.count <= max_words for request in requests)
    for one in registers:
        assert any(
            request.function == one.function and request.first <= one.first and one.first + one.words <= request.end
            for request in requests
        )


@given(st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4), _TYPES, st.sampled_from(["big", "little"]))
def test_any_words_are_a_value_or_none(given_words: list[int], kind: Type, order: str) -> None:
    one = register(type=kind.value, byte_order=order, word_order=order)
    assert isinstance(evaluate(one, words(*given_words)), Value | Absent)


MAKERS = {
    "ControlBox TB232 (DS18B20 class; -55..125 C)": "controlbox-tb232",
    "ControlBox TB232": "controlbox-tb232",
    "ControlBox TB260 (PT class; -200..850 C)": "controlbox-tb260",
    "ControlBox RM408": "controlbox-rm408",
    "Siemens QFA3150/MO": "siemens-qfa3150",
    "egnite Querx TH": "egnite-querx-th",
}
"""Device of the makers' tables to our map."""
PLACES = {
    "0": (0,),
    "2": (2,),
    "3-8": tuple(range(3, 9)),
    "0-1": (0, 1),
    "0/2/4": (0, 2, 4, *(15 + 9 * n + at for n in range(8) for at in (0, 2, 4))),
    "1 (1-based)": (0,),
    "2 (1-based)": (1,),
    "3 / 4 (1-based)": (2, 3),
    "30011 (offset 10)": (10,),
    "30012 (offset 11)": (11,),
    "40021-40023": (20, 21, 22),
}
"""Addresses as the makers print them to addresses on the wire."""


def test_maps_hold_what_the_makers_tables_say() -> None:
    with shared_dir("samples", "modbus_register_maps.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 12
    for row in rows:
        registers = load_map(MAKERS[row["device"]]).registers
        by_place = {(one.function, one.first): one for one in registers}
        trusted = {(one.function, one.trust_at): one for one in registers}
        for first in PLACES[row["address"]]:
            place = (int(row["function"]), first)
            assert place in by_place or place in trusted, (row, place)
            if (one := by_place.get(place)) is None:
                continue
            kinds = {"byte": {"bit"}}.get(row["type"], set(row["type"].replace("/", " ").split()))
            assert one.type.value in kinds, row
            scale = {"0.01 C": 0.01, "0.01 %": 0.01}.get(row["scale"]) or float(row["scale"])
            assert one.scale == (1.0 if one.type is Type.FLOAT32 or one.type is Type.BIT else scale), row


def test_maps_there_are_all_load_and_name_their_document() -> None:
    assert set(known_maps()) >= set(MAKERS.values())
    for name in known_maps():
        of_model = load_map(name)
        assert of_model.document
        names = [one.metric for one in of_model.registers]
        assert len(set(names)) == len(names)


def test_map_that_is_not_there_names_those_that_are() -> None:
    for name in ("siemens-qfa", "../modbus/siemens-qfa3150"):
        with pytest.raises(UsageError, match="known are controlbox-rm408"):
            load_map(name)


def test_register_of_its_own_replaces_the_maps() -> None:
    own = {"source": "temperature", "address": 0, "metric": "air_temperature", "unit": "°C", "scale": 0.1}
    device = ModbusDevice.model_validate(
        {"device": "room-1", "map": "controlbox-tb232", "registers": [own], "without": ["*_min", "*_max"]}
    )
    assert [(one.metric, one.type) for one in device.chosen()] == [
        ("state", Type.INT16),
        ("air_temperature", Type.INT16),
    ]


@pytest.mark.parametrize(
    ("devices", "url", "message"),
    [
        ([{"device": "room-1"}], "tcp://h:502", "name a `map`"),
        ([{"device": "room-1", "map": "abacus"}], "tcp://h:502", "no register map 'abacus'"),
        ([{"device": "r", "map": "siemens-qfa3150"}] * 2, "tcp://h:502", "two registers become r/air_temperature"),
        ([{"device": "r", "map": "siemens-qfa3150"}], "udp://h:502", "a link is tcp://"),
        ([{"device": "r", "map": "controlbox-tb232", "max_words": 1}], "tcp://h:502", "longer than `max_words`"),
    ],
)
def test_configuration_that_cannot_work_is_refused(devices: list, url: str, message: str) -> None:
    with pytest.raises((ValidationError, UsageError), match=message):
        ModbusConfig.model_validate({"name": "bus", "link": {"url": url}, "devices": devices})
