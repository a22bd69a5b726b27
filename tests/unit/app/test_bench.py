"""What the ingest measurement sends is what it writes beside it, and its percentiles are those of the definition."""

from __future__ import annotations

import pytest

from hanlu.app.bench.latency import Percentiles
from hanlu.app.bench.messages import DEVICES, GATEWAYS, Shape, messages, paced, rows
from hanlu.core.senml import decode_json
from hanlu.core.wire.envelope import Envelope, open_envelope
from hanlu.core.wire.topics import Topic, parse_topic

START_MS = 1_750_000_000_000
CHANNELS = {(gateway, device): 100 * gateway + device for gateway in range(GATEWAYS) for device in range(DEVICES)}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("size", [1, 10, 50])
def test_rows_written_beside_are_the_readings_sent_and_none_comes_twice(signed: bool, size: int) -> None:
    shape = Shape(signed=signed, size=size, count=3 * GATEWAYS)
    sent = []
    for text, payload in messages(shape, START_MS):
        topic, opened = parse_topic(text), open_envelope(payload) if signed else None
        assert isinstance(topic, Topic)
        if signed:
            assert isinstance(opened, Envelope)
            assert opened.header.count == size
        pack = decode_json(opened.payload if isinstance(opened, Envelope) else payload, 0)
        for reading in getattr(pack, "readings", ()):
            device = int(reading.name.removeprefix("bench-").partition("/")[0])
            sent.append((CHANNELS[topic.partition, device], reading.observed_ms, reading.value))
    assert sent == list(zip(*rows(shape, START_MS, CHANNELS), strict=True))
    assert len({(channel_id, at_ms) for channel_id, at_ms, _ in sent}) == shape.readings


def test_paced_readings_are_told_apart_by_channel_and_time() -> None:
    made, places = paced(5_000, 6_440.0, START_MS)
    assert len(made) == len(places) == 5_000
    assert sorted(places.values()) == list(range(5_000))
    assert all(at_ms == START_MS + int(number * 1000 / 6_440) for (_, _, at_ms), number in places.items())


def test_percentiles_are_those_of_the_ordered_values() -> None:
    told = Percentiles.of([n / 1000 for n in range(1_000, 0, -1)], 10.0)
    assert (told.count, told.p50, told.p99, told.p999, told.most) == (1_000, 501.0, 991.0, 1_000.0, 1_000.0)
