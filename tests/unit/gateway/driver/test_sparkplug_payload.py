"""Sparkplug payloads and topics."""

from __future__ import annotations

import pytest
from fix_sparkplug import (
    BOOLEAN,
    DATASET,
    DATETIME,
    DOUBLE,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    TEMPLATE,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    metric,
    payload,
)
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.reading import Quality
from hanlu.core.rejected import Reason, Rejected
from hanlu.gateway.driver.sparkplug_payload import Metric, Payload, decode_payload, encode_rebirth, value_of
from hanlu.gateway.driver.sparkplug_topic import SparkplugTopic, Verb, filters, parse_topic

NOW = 1_750_000_000_000


def decoded(raw: bytes) -> Payload:
    content = decode_payload(raw)
    assert isinstance(content, Payload), content
    return content


def only(raw_metric: bytes) -> Metric:
    (found,) = decoded(payload(raw_metric)).metrics
    return found


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        (-1, INT8, -1.0), (0xFF, INT8, -1.0), (127, INT8, 127.0), (-128, INT8, -128.0),
        (-18_200, INT16, -18_200.0), (0xB8E8, INT16, -18_200.0), (-(2**31), INT32, -(2.0**31)), (-5, INT64, -5.0),
        (-(2**63), INT64, -(2.0**63)), (255, UINT8, 255.0), (65_535, UINT16, 65_535.0),
        (2**32 - 1, UINT32, 2.0**32 - 1), (2**63, UINT64, 2.0**63), (-18.5, FLOAT, -18.5), (1e300, DOUBLE, 1e300),
        (True, BOOLEAN, 1.0), (False, BOOLEAN, 0.0), (1, BOOLEAN, 1.0),
        (float("nan"), DOUBLE, None), (float("inf"), FLOAT, None), ("x", STRING, None), (NOW, DATETIME, None),
        (b"\x08\x01", DATASET, None), (b"\x08\x01", TEMPLATE, None), (7, 99, None),
    ],
)  # fmt: skip
def test_value_is_a_number_by_its_type_or_none(value: object, datatype: int, expected: float | None) -> None:
    assert value_of(only(metric("m", value, datatype)), datatype) == expected


def test_null_has_no_value() -> None:
    assert value_of(only(metric("m", 5.0, DOUBLE, null=True)), DOUBLE) is None


def test_everything_a_metric_says_is_read() -> None:
    found = only(
        metric(
            "Raum 1/温度",
            -3,
            INT16,
            alias=7,
            at=NOW,
            historical=True,
            properties={"Quality": 500, "engUnit": "°C", "x": 1},
        )
    )
    assert found == Metric(
        "Raum 1/温度", 7, NOW, INT16, historical=True, integer=2**32 - 3, quality=Quality.UNCERTAIN, unit="°C"
    )
    assert only(metric("m", 1.0, DOUBLE, properties={"Quality": 0})).quality is Quality.BAD
    assert only(metric("m", 1.0, DOUBLE, properties={"Quality": 192})).quality is Quality.GOOD


def test_payload_has_its_time_and_sequence() -> None:
    content = decoded(payload(metric("bdSeq", 3, INT64), seq=0, at=NOW))
    assert (content.seq, content.timestamp_ms, content.bd_seq) == (0, NOW, 3)
    empty = decoded(b"")
    assert (empty.seq, empty.timestamp_ms, empty.bd_seq, empty.metrics) == (None, None, None, ())


def test_timestamp_beyond_all_calendars_is_none() -> None:
    assert decoded(payload(metric("m", at=2**63), at=2**64 - 1)) == Payload(None, None, (Metric("m"),))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{}", Reason.MALFORMED),
        (b"\xff" * 20, Reason.MALFORMED),
        (payload(metric("a", 1.0, DOUBLE), seq=1)[:-5], Reason.MALFORMED),
        (payload(seq=256), Reason.FOREIGN_SCHEMA),
        (b"\x12\x03\x0a\x01\xff", Reason.MALFORMED),
    ],
)
def test_bytes_that_are_no_payload_are_refused(raw: bytes, reason: Reason) -> None:
    refused = decode_payload(raw)
    assert isinstance(refused, Rejected)
    assert refused.reason is reason


def test_too_many_metrics_are_refused() -> None:
    refused = decode_payload(payload(*[metric("a")] * 20_001))
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.OVERSIZED


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(raw: bytes) -> None:
    assert isinstance(decode_payload(raw), Payload | Rejected)


def test_rebirth_request_is_what_the_specification_asks_for() -> None:
    assert encode_rebirth(NOW) == payload(metric("Node Control/Rebirth", True, BOOLEAN, at=NOW), at=NOW)
    assert decoded(encode_rebirth(NOW)).seq is None


@pytest.mark.parametrize(
    ("topic", "parts"),
    [
        ("spBv1.0/G/NBIRTH/E", SparkplugTopic("G", Verb.NBIRTH, "E")),
        ("spBv1.0/G/DDATA/E/D", SparkplugTopic("G", Verb.DDATA, "E", "D")),
        ("spBv1.0/g/NDEATH/E e", SparkplugTopic("g", Verb.NDEATH, "E e")),
    ],
)
def test_topic_is_read(topic: str, parts: SparkplugTopic) -> None:
    assert parse_topic(topic) == parts


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/G/NBIRTH", "spBv1.0/G/NBIRTH/E/D", "spBv1.0/G/DDATA/E", "spAv1.0/G/NDATA/E", "spBv1.0/G/NCMD/E",
     "spBv1.0//NDATA/E", "spBv1.0/G/ndata/E", "spBv1.0/STATE/H", "x", "", "spBv1.0/G/DDATA/E/D/x"],
)  # fmt: skip
def test_topic_that_is_none_is_refused(topic: str) -> None:
    refused = parse_topic(topic)
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.BAD_TOPIC


def test_host_subscribes_to_its_state_and_to_what_edge_nodes_say() -> None:
    assert filters(("G",), "H") == (
        "spBv1.0/STATE/H", "spBv1.0/G/NBIRTH/+", "spBv1.0/G/NDATA/+", "spBv1.0/G/NDEATH/+",
        "spBv1.0/G/DBIRTH/+/+", "spBv1.0/G/DDATA/+/+", "spBv1.0/G/DDEATH/+/+",
    )  # fmt: skip
    assert "spBv1.0/+/NDATA/+" in filters((), "H")
