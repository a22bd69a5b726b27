"""Codecs as data: what a file may say, and how payloads are read by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.errors import UsageError
from hanlu.core.reading import Quality
from hanlu.gateway.driver.lorawan.codec_file import codecs_of, library
from hanlu.gateway.driver.lorawan.payload import MAX_PAYLOAD_BYTES, Decoded, decode

LIBRARY = library()


def codec_of(folder: Path, text: str, head: str = 'maker = "Example"\n') -> Path:
    path = folder / "codecs.toml"
    path.write_text(head + text, encoding="utf-8")
    return path


def read(folder: Path, text: str, payload: str, port: int | None = 1, **parameters: float) -> Decoded:
    codec = codecs_of(codec_of(folder, text))["probe"]
    return decode(codec, port, bytes.fromhex(payload), parameters)


def shown(decoded: Decoded) -> dict[str, float | str | None]:
    return {each.key: each.text if each.text is not None else each.number for each in decoded.values}


def numbers(decoded: Decoded) -> dict[str, float | None]:
    return {each.key: each.number for each in decoded.values}


def test_codec_of_five_lines_reads_a_value(tmp_path: Path) -> None:
    text = """
[codecs.probe]
fields = [{ key = "t", type = "i16", div = 100, metric = "air_temperature", unit = "°F" }]
"""
    decoded = read(tmp_path, text, "0c80")
    assert numbers(decoded) == {"t": 32.0}
    rule = decoded.values[0].rule
    assert rule is not None
    assert rule.reading(32.0, 0, "x").value == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("type_", "payload", "value"),
    [
        ("u8", "ff", 255), ("i8", "ff", -1), ("u16", "0102", 258), ("u16le", "0102", 513), ("i16", "fffe", -2),
        ("i16le", "feff", -2), ("u24", "010203", 66051), ("i24", "ffffff", -1), ("u32le", "01000000", 1),
        ("i32", "80000000", -(2**31)), ("u48", "000000000100", 256), ("u64", "ff" * 8, float(2**64)),
        ("f32", "c1920000", -18.25), ("f32le", "000092c1", -18.25), ("f64", "c032400000000000", -18.25),
        ("f16", "cc90", -18.25),
    ],
)  # fmt: skip
def test_numbers_of_every_type(tmp_path: Path, type_: str, payload: str, value: float) -> None:
    assert numbers(read(tmp_path, f'[codecs.probe]\nfields = [{{ key = "v", type = "{type_}" }}]', payload)) == {
        "v": value
    }


def test_values_are_shaped_as_said(tmp_path: Path) -> None:
    text = """
[codecs.probe]
parameters = { R = 10 }
fields = [
    { key = "flag", type = "u8", bit = 7 },
    { key = "low", type = "u8", at = 0, bits = [0, 4] },
    { key = "signed", type = "i8", at = 0, bits = [0, 4] },
    { key = "scaled", type = "u8", at = 0, scale = 4, div = 1000, offset = 2.5 },
    { key = "state", type = "u8", at = 1, values = { 0 = "off", 1 = "on" } },
    { key = "errors", type = "u8", at = 1, flags = { 0 = "probe", 1 = "lid" } },
    { key = "square", type = "u8", at = 1, expr = "x^2 + R" },
    { key = "words", expr = "x0 / 2" },
    { key = "serial", type = "hex2", at = 0 },
    { key = "name", type = "ascii2", at = 2 },
    { key = "version", type = "text2", at = 0, text = "v{0.hi}.{0.lo}-{1.hex}" },
]
"""
    assert shown(read(tmp_path, text, "8f014142")) == {
        "flag": 1.0, "low": 15.0, "signed": -1.0, "scaled": 3.072, "state": "on", "errors": "probe", "square": 11.0,
        "words": 0x8F01 / 2, "serial": "8f01", "name": "AB", "version": "v8.15-1",
    }  # fmt: skip
    assert numbers(read(tmp_path, text, "8f014142", R=0.5))["square"] == 1.5


def test_values_that_cannot_be_trusted_are_marked(tmp_path: Path) -> None:
    text = """
[codecs.probe]
[[codecs.probe.items."01"]]
fields = [
    { key = "t", type = "i16", div = 10, range = [-40, 85], missing = { 0x7fff = "none" }, failed = { "-1" = "s" } },
]
[[codecs.probe.items."02"]]
fields = [{ key = "door", type = "u8", values = { 0 = "shut", 1 = "open" } }]
[[codecs.probe.items."03"]]
fields = [{ key = "ratio", type = "u8", expr = "1 / x" }]
"""
    decoded = read(tmp_path, text, "01 00e1  01 0400  01 7fff  01 ffff  02 07  03 00")
    assert [(each.number, each.quality, each.missing, each.lost) for each in decoded.values] == [
        (22.5, Quality.GOOD, "", False),
        (102.4, Quality.BAD, "", False),
        (None, Quality.GOOD, "none", False),
        (None, Quality.GOOD, "s", True),
        (7.0, Quality.UNCERTAIN, "", False),
        (None, Quality.GOOD, "not a number", True),
    ]


def test_items_with_times_lengths_forms_and_channels(tmp_path: Path) -> None:
    text = """
[codecs.probe]
endian = "little"
[codecs.probe.items]
"20 ce" = [{ type = "u32", time = "record" }, { key = "t", type = "i8" }]
"?? 67" = [{ key = "t_{channel}", type = "i8", metric = "t_{channel}", unit = "°C" }]
"05" = [{ key = "n.{n}", type = "u8" }]
"30" = { size_at = 0, fields = [{ key = "label", type = "ascii", at = 1 }] }
"40" = 3
[[codecs.probe.items."50"]]
when = { at = 0, is = [1] }
fields = [{ key = "short", type = "u8", at = 1 }]
[[codecs.probe.items."50"]]
when = { at = 0, is = [2] }
fields = [{ key = "long", type = "u16", at = 1 }]
"""
    decoded = read(
        tmp_path,
        text,
        "20ce 00e40b54 f0  0967 15  0567 16  05 01  05 02  30 03 414243  40 ffffff  50 01 07  50 02 0700",
    )
    assert decoded.problem == ""
    assert [(each.key, each.number, each.text, each.at_ms, each.metric) for each in decoded.values] == [
        ("t", -16.0, None, 1_410_065_408_000, ""),
        ("t_9", 21.0, None, None, "t_9"),
        ("t_5", 22.0, None, None, "t_5"),
        ("n.0", 1.0, None, None, ""),
        ("n.1", 2.0, None, None, ""),
        ("label", None, "ABC", None, ""),
        ("short", 7.0, None, None, ""),
        ("long", 7.0, None, None, ""),
    ]


def test_time_of_the_frame_is_that_of_all_values_without_their_own(tmp_path: Path) -> None:
    text = """
[codecs.probe.items]
"01" = [{ key = "t", type = "i8" }]
"02" = [{ type = "u32", time = "frame" }]
"03" = [{ type = "u32", time = "record" }, { key = "old", type = "i8" }]
"""
    decoded = read(tmp_path, text, "01 05  03 00000001 07  02 00000009  01 06")
    assert [(each.key, each.number, each.at_ms) for each in decoded.values] == [
        ("t", 5.0, 9000),
        ("old", 7.0, 1000),
        ("t", 6.0, 9000),
    ]


@pytest.mark.parametrize(
    ("payload", "values", "problem"),
    [
        ("01 00e1", {"t": 22.5}, ""),
        ("01 00e1 99 00", {"t": 22.5}, "type 99 00 at byte 3 is unknown"),
        ("01 00e1 00 00 00", {"t": 22.5}, ""),
        ("01 00e1 01 00", {"t": 22.5}, "the payload ends inside item 01 at byte 3"),
        ("99", {}, "type 99 at byte 0 is unknown"),
    ],
)
def test_what_came_before_something_strange_is_kept(
    tmp_path: Path, payload: str, values: dict[str, float], problem: str
) -> None:
    decoded = read(tmp_path, '[codecs.probe.items]\n"01" = [{ key = "t", type = "i16", div = 10 }]', payload)
    assert (numbers(decoded), decoded.problem) == (values, problem)


def test_fixed_layout_says_what_is_missing_and_what_is_left(tmp_path: Path) -> None:
    text = '[codecs.probe]\nfields = [{ key = "a", type = "u8" }, { key = "b", type = "u16" }]'
    assert read(tmp_path, text, "01").problem == "the payload ends before b"
    assert numbers(read(tmp_path, text, "01")) == {"a": 1.0}
    assert read(tmp_path, text, "010002000000").problem == ""
    assert read(tmp_path, text, "01000200aa").problem == "nothing is known of the last 2 bytes"


def test_frame_is_chosen_by_port_and_first_bytes(tmp_path: Path) -> None:
    text = """
[[codecs.probe.frames]]
ports = [1, 2]
head = "01 ?? 03"
fields = [{ key = "a", type = "u8", at = 1 }]
[[codecs.probe.frames]]
ports = [7]
fields = [{ key = "b", type = "u8" }]
"""
    assert numbers(read(tmp_path, text, "010203", port=2)) == {"a": 2.0}
    assert numbers(read(tmp_path, text, "01", port=7)) == {"b": 1.0}
    assert numbers(read(tmp_path, text, "010203", port=None)) == {"a": 2.0}
    assert (
        read(tmp_path, text, "010203", port=9).problem == "probe knows no payload on port 9 that begins with 01 02 03"
    )
    assert "begins with nothing" in read(tmp_path, text, "", port=1).problem


def test_groups_are_chosen_by_flags(tmp_path: Path) -> None:
    text = """
[codecs.probe]
head = "02"
header = 3
flags_at = 1
[[codecs.probe.groups]]
words = 2
fields = [{ key = "a", expr = "x0 + x1" }]
[[codecs.probe.groups]]
words = 1
fields = [{ key = "b", expr = "x0 / 1000" }]
"""
    assert numbers(read(tmp_path, text, "02 0003 0001 0002 0bb8")) == {"a": 3.0, "b": 3.0}
    assert numbers(read(tmp_path, text, "02 0002 0bb8")) == {"b": 3.0}
    assert read(tmp_path, text, "02 0001 0001").problem == "the payload ends inside group 0"
    assert read(tmp_path, text, "02 00").problem == "the payload ends before its flags"
    assert "name groups this codec does not know" in read(tmp_path, text, "02 0006 0bb8 0bb8").problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[codecs.Probe]\n", "'Probe' is no name"),
        ("[codecs.probe]\ncolour = 1\n", "colour"),
        ('[codecs.probe]\nfields = [{ key = "t" }]', "needs a `type` or an `expr`"),
        ('[codecs.probe]\nfields = [{ type = "u8" }]', "needs a `key`"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "u12" }]', "type 'u12'"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "f24" }]', "floats have"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "u8", div = 0 }]', "divided by 0"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "u8", expr = "x +" }]', "expected a number"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "u8", expr = "x * R" }]', "'R' is neither"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "u8", metric = "Air Temp" }]', "metric"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "u8", metric = "t", unit = "furlong" }]', "furlong"),
        ('[codecs.probe.items]\n"01 02 03 04" = 1', "a type has one to three bytes"),
        ('[codecs.probe.items]\n"zz" = 1', "zz"),
        ('[codecs.probe.items]\n"01" = [{ key = "t", type = "ascii" }]', "say its `size`"),
        ('[codecs.probe.items]\n"01" = { size = 1, fields = [{ key = "t", type = "u16" }] }', "ends at byte 2"),
        ('[codecs.probe]\nbase = ["other"]', "must be a codec of the same file"),
        ('[codecs.probe]\nfields = [{ key = "t", type = "u8", values = { a = "b" } }]', "'a'"),
        ("not toml", "codec file"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_right_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"codecs\.toml") as refused:
        codecs_of(codec_of(tmp_path, text))
    assert message in str(refused.value)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        library((tmp_path / "none.toml",))


def test_codec_of_a_file_wins_over_one_that_comes_with_the_gateway(tmp_path: Path) -> None:
    own = codec_of(tmp_path, '[codecs.elsys]\nfields = [{ key = "mine", type = "u8" }]')
    assert numbers(decode(library((own,))["elsys"], 1, b"\x07")) == {"mine": 7.0}


def test_cold_room_sensor_reads_below_freezing() -> None:
    decoded = decode(LIBRARY["milesight-em300-th"], 85, bytes.fromhex("0175640367 2aff 046864"))
    assert numbers(decoded) == {"battery": 100.0, "temperature": -21.4, "humidity": 50.0}


def test_cayenne_lpp_gives_each_channel_its_own_metric() -> None:
    decoded = decode(LIBRARY["cayenne-lpp"], 1, bytes.fromhex("03670110 056700ff 018806765ff2960a0003e8"))
    assert {each.metric: each.number for each in decoded.values} == {
        "temperature_3": 27.2, "temperature_5": 25.5,
        "latitude_1": 42.3519, "longitude_1": -87.9094, "altitude_1": 10.0,
    }  # fmt: skip


def test_parameters_of_a_device_replace_the_usual_ones() -> None:
    payload = bytes.fromhex("02016700033e8060170c7f")
    usual, own = (
        numbers(decode(LIBRARY["decentlab-dl-pr26"], 1, payload, parameters))["pressure"]
        for parameters in ({}, {"Pmin": 0.0, "Pmax": 10.0})
    )
    assert (usual, own) == (pytest.approx(-0.01171875), pytest.approx(-0.1171875))


def test_every_codec_has_channels_of_one_unit_each() -> None:
    for codec in LIBRARY.values():
        units: dict[str, str] = {}
        for each in codec.fields():
            if each.rule is not None:
                assert units.setdefault(each.metric, each.rule.senml_unit) == each.rule.senml_unit, (
                    codec.name,
                    each.key,
                )


def test_payload_longer_than_any_of_lorawan_is_not_looked_at() -> None:
    assert "at most" in decode(LIBRARY["elsys"], 1, bytes(MAX_PAYLOAD_BYTES + 1)).problem


@given(st.sampled_from(sorted(LIBRARY)), st.none() | st.integers(0, 255), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(name: str, port: int | None, payload: bytes) -> None:
    decoded = decode(LIBRARY[name], port, payload)
    for value in decoded.values:
        assert value.number is None or value.number == value.number
        assert "{" not in value.key
