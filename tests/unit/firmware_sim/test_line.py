"""The device's side of the line protocol: nothing is forgotten before it is answered."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
from fix_line import LineServerDouble
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.errors import RemoteError
from hanlu.firmware_sim.line_client import LineClient, LineHub, tcp
from hanlu.firmware_sim.line_session import Answer, LineSession, frame, parse_answer


def body(number: int) -> dict[str, Any]:
    return {"lost": {"reason": "no_value", "count": number + 1}}


def ids(raw: bytes) -> list[int]:
    return [json.loads(line)["id"] for line in raw.splitlines()]


def oks(*line_ids: int) -> bytes:
    return b"".join(b'{"ok":%d}\n' % line_id for line_id in line_ids)


def session_with(count: int, **options: int) -> LineSession:
    session = LineSession(**options)
    for number in range(count):
        assert session.offer(body(number))
    return session


def pump_until_idle(hub: LineHub, seconds: float = 60.0) -> list[tuple[str, Answer]]:
    answers: list[tuple[str, Answer]] = []
    end = time.monotonic() + seconds
    while any(client.session.owed for client in hub.clients.values()):
        assert time.monotonic() < end, "the gateway never answered"
        answers += hub.pump(0.05)
    return answers


def test_frame_is_one_line_that_says_what_it_carries() -> None:
    raw = frame({"senml": [{"n": "t", "v": 1}]}, 7, replay=True)
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1
    assert json.loads(raw) == {"id": 7, "senml": [{"n": "t", "v": 1}], "replay": True}
    assert "replay" not in json.loads(frame(body(0), 1))


@pytest.mark.parametrize("broken", [{"senml": ["x" * 70_000]}, {"senml": [{"n": "t", "v": float("nan")}]}])
def test_frame_that_a_gateway_cannot_take_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"gateway takes|JSON compliant"):
        frame(broken, 1)


def test_answers_are_understood() -> None:
    assert parse_answer(b'{"ok":3}') == Answer(3)
    assert parse_answer(b'{"error":"malformed","id":4,"detail":"why"}') == Answer(4, "malformed", "why")
    assert parse_answer(b'{"error":"oversized","id":null}') == Answer(None, "oversized")


@pytest.mark.parametrize("raw", [b"", b"hello", b"[]", b'{"ok":"3"}', b'{"id":3}', b"\xff", b'{"error":5}'])
def test_foreign_answer_is_a_remote_error(raw: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_answer(raw)


def test_no_more_lines_are_on_their_way_than_the_window_allows() -> None:
    session = session_with(10, window=4)
    assert ids(session.outgoing()) == [1, 2, 3, 4]
    session.written(len(session.outgoing()))
    assert session.outgoing() == b""
    session.incoming(oks(1, 2))
    assert ids(session.outgoing()) == [5, 6]
    assert session.owed == 8


def test_answers_may_come_in_pieces() -> None:
    session = session_with(2)
    session.written(len(session.outgoing()))
    assert session.incoming(b'{"ok":1}\n{"o') == [Answer(1)]
    assert session.incoming(b'k":2}\n') == [Answer(2)]
    assert session.owed == 0
    assert session.counts["taken"] == 2


def test_broken_connection_brings_back_what_was_not_answered_in_order() -> None:
    session = session_with(6, window=4)
    session.written(len(session.outgoing()))
    session.incoming(oks(2))
    session.broken()
    assert ids(session.outgoing()) == [1, 3, 4, 5]
    assert session.counts["sent_again"] == 3
    with pytest.raises(RemoteError, match="not on its way"):
        session.incoming(oks(2))  # an answer to an earlier connection's line would be a lie here


def test_half_written_line_is_written_whole_on_the_next_connection() -> None:
    session = session_with(1)
    session.written(5)
    session.broken()
    assert ids(session.outgoing()) == [1]


def test_refused_line_is_counted_by_reason_and_not_sent_again() -> None:
    session = session_with(2)
    session.written(len(session.outgoing()))
    answers = session.incoming(b'{"error":"malformed","id":1}\n{"error":"oversized","id":null}\n')
    assert [answer.reason for answer in answers] == ["malformed", "oversized"]
    assert session.owed == 0
    assert session.counts == {"malformed": 1, "oversized": 1}


def test_full_session_refuses_and_keeps_what_it_has() -> None:
    session = session_with(3, capacity=3)
    assert not session.offer(body(9))
    assert session.room == 0
    assert session.owed == 3


def test_endless_answer_is_a_remote_error() -> None:
    session = session_with(1)
    with pytest.raises(RemoteError, match="no end"):
        session.incoming(b"x" * 70_000)


@given(st.lists(st.one_of(st.just("offer"), st.just("break"), st.integers(0, 7)), max_size=60))
def test_every_line_is_answered_once_and_sent_until_then(story: list[str | int]) -> None:
    session = LineSession(window=3)
    offered, answered = 0, set()
    on_wire: list[int] = []
    for act in [*story, *[0] * 80]:
        if act == "offer":
            session.offer(body(offered))
            offered += 1
        elif act == "break":
            session.broken()
            on_wire.clear()
        else:
            out = session.outgoing()
            session.written(len(out))
            on_wire += ids(out)
            if on_wire:
                line_id = on_wire.pop(int(act) % len(on_wire))
                assert line_id not in answered
                answered.add(line_id)
                session.incoming(oks(line_id))
    assert answered == set(range(1, offered + 1))
    assert session.owed == 0


def test_lines_reach_a_gateway_and_are_answered() -> None:
    with LineServerDouble() as server:
        session = session_with(1_000)
        hub = LineHub({"gw": LineClient("gw", tcp(server.host, server.port), session)})
        answers = pump_until_idle(hub)
        hub.close()
    assert [line["id"] for line in server.lines] == list(range(1, 1_001))
    assert len(answers) == 1_000
    assert server.connections == 1


@pytest.mark.parametrize("committed", [True, False])
def test_gateway_killed_thrice_has_every_line_in_the_end(committed: bool) -> None:
    with LineServerDouble(kill_after=20, kills=3, commit_before_kill=committed) as server:
        session = session_with(200)
        hub = LineHub({"gw": LineClient("gw", tcp(server.host, server.port), session)})
        pump_until_idle(hub)
        hub.close()
    assert server.connections == 4
    assert {line["id"] for line in server.lines} == set(range(1, 201))
    assert session.counts["sent_again"] >= 3


def test_answers_read_just_before_the_connection_breaks_are_handed_on() -> None:
    device, gateway = socket.socketpair()
    session = LineSession(window=3)
    for number in range(10):
        session.offer(body(number))
    hub = LineHub({"gw": LineClient("gw", lambda: device, session)})
    hub.pump(0)
    gateway.sendall(oks(1, 2, 3))
    gateway.close()  # reading the answers still works, sending the next lines does not
    answers = [answer.id for _, answer in hub.pump(1.0)]
    hub.close()
    assert answers == [1, 2, 3]
    assert session.owed == 7
    assert not hub.clients["gw"].connected


def test_gateway_that_refuses_one_line_takes_the_others() -> None:
    with LineServerDouble(refuse=lambda line: "malformed" if line["id"] == 3 else None) as server:
        hub = LineHub({"gw": LineClient("gw", tcp(server.host, server.port), session_with(5))})
        answers = pump_until_idle(hub)
        hub.close()
    assert [answer.reason for _, answer in answers] == [None, None, "malformed", None, None]
    assert [line["id"] for line in server.lines] == [1, 2, 4, 5]


def test_gateway_that_is_away_does_not_hold_up_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        gone = unused.getsockname()[1]
    with LineServerDouble() as server:
        hub = LineHub(
            {
                "away": LineClient("away", tcp("127.0.0.1", gone), session_with(5)),
                "here": LineClient("here", tcp(server.host, server.port), session_with(5)),
            }
        )
        end = time.monotonic() + 60
        while hub.clients["here"].session.owed and time.monotonic() < end:
            hub.pump(0.05)
        assert hub.clients["here"].session.owed == 0
        assert hub.clients["away"].session.owed == 5
        assert not hub.clients["away"].connected
        hub.close()
