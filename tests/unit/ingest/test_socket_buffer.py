from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.ingest.socket_buffer import BufferedSocket, Packet


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    buffered = BufferedSocket(ours)
    with theirs:
        yield buffered, theirs
        buffered.close()


ROOM = 1 << 20
CONNACK, PINGRESP = b"\x20\x02\x00\x00", b"\xd0\x00"


def _publish(topic: bytes, payload: bytes, mid: int = 0) -> bytes:
    body = len(topic).to_bytes(2) + topic + (mid.to_bytes(2) if mid else b"") + payload
    length, head = len(body), bytearray([0x32 if mid else 0x30])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def _read(buffered: BufferedSocket, size: int = 99) -> bytes:
    """Read as the client does: command, length, the rest, until there is no more."""
    got = b""
    with contextlib.suppress(BlockingIOError):
        while piece := buffered.recv(1 if len(got) < 2 else size):
            got += piece
    return got


def test_message_the_broker_kept_says_so(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    kept = bytearray(_publish(b"a", b"old", 3))
    kept[0] |= 1  # RETAIN, MQTT 3.1.1 3.3.1.3
    theirs.sendall(bytes(kept) + _publish(b"a", b"new", 4))
    assert buffered.fill()
    assert buffered.split(ROOM, 0)[0] == [Packet(b"a", b"old", 3, 1, True), Packet(b"a", b"new", 4, 1)]


def test_messages_are_taken_out_and_the_client_gets_the_rest_packet_by_packet(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    buffered, theirs = pair
    theirs.sendall(CONNACK + _publish(b"a/b", b"one", 7) + _publish(b"c", b"") + PINGRESP + _publish(b"d", b"x" * 300))
    assert buffered.fill()
    assert buffered.split(ROOM, 0) == ([], True)
    assert buffered.readable_now
    assert _read(buffered) == CONNACK, "and not a byte more"
    packets, other = buffered.split(ROOM, 0)
    assert packets == [Packet(b"a/b", b"one", 7, 1), Packet(b"c", b"", 0, 0)]
    assert other
    assert _read(buffered) == PINGRESP
    assert buffered.split(ROOM, 0) == ([Packet(b"d", b"x" * 300, 0, 0)], False)
    assert not buffered.readable_now
    assert not buffered.fill()
    with pytest.raises(BlockingIOError):
        buffered.recv(1)


@given(
    st.lists(st.one_of(st.just(None), st.integers(0, 20_000)), max_size=6), st.lists(st.integers(1, 40_000), max_size=9)
)
def test_stream_cut_anywhere_gives_the_same_packets(sizes: list[int | None], cuts: list[int]) -> None:
    expected = [PINGRESP if size is None else Packet(b"t/x", b"y" * size, n + 1, 1) for n, size in enumerate(sizes)]
    stream = b"".join(
        each if isinstance(each, bytes) else _publish(each.topic, each.payload, each.mid) for each in expected
    )
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        buffered, got = BufferedSocket(ours), list[Packet | bytes]()
        places = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
        for start, end in itertools.pairwise([0, *places]):
            theirs.sendall(stream[start:end])
            while buffered.fill():
                other = True
                while other:
                    packets, other = buffered.split(ROOM, 0)
                    got += packets
                    if other:
                        got.append(_read(buffered))
        buffered.close()
    assert got == expected


def test_full_memory_leaves_the_rest_where_it_is(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    theirs.sendall(b"".join(_publish(b"t", bytes([n]) * 100, n) for n in range(1, 9)))
    assert buffered.fill()
    assert [each.mid for each in buffered.split(250, 25)[0]] == [1, 2]
    assert buffered.readable_now
    theirs.sendall(PINGRESP)
    assert buffered.fill(), "there is something to split, and nothing more is read meanwhile"
    assert [each.mid for each in buffered.split(ROOM, 25)[0]] == [3, 4, 5, 6, 7, 8]
    assert buffered.fill()
    assert buffered.split(ROOM, 25) == ([], True)


@pytest.mark.parametrize(
    "packet",
    [
        b"\x34\x05\x00\x01t\x00\x01", b"\x32\x03\x00\x01t", b"\x30\x01\x00", b"\x30\x03\x00\x09t",
        b"\x30\xff\xff\xff\xff",
    ],
    ids=["QoS 2", "no packet id", "no topic", "topic beyond the end", "length of five bytes"],
)  # fmt: skip
def test_what_is_no_message_of_ours_is_the_clients_business(
    pair: tuple[BufferedSocket, socket.socket], packet: bytes
) -> None:
    buffered, theirs = pair
    theirs.sendall(packet)
    assert buffered.fill()
    assert buffered.split(ROOM, 0) == ([], True)
    assert _read(buffered) == packet


def test_acknowledgements_name_their_packets(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    buffered.acknowledge([1, 258])
    buffered.flush()
    assert theirs.recv(99) == b"\x40\x02\x00\x01\x40\x02\x01\x02"


def test_end_of_the_connection_shows_after_the_last_byte(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    theirs.sendall(PINGRESP + b"\x30")
    theirs.shutdown(socket.SHUT_WR)
    assert buffered.fill()
    assert buffered.split(ROOM, 0) == ([], True)
    assert _read(buffered) == PINGRESP
    assert buffered.split(ROOM, 0) == ([], False)
    assert not buffered.fill()
    assert buffered.readable_now
    assert buffered.split(ROOM, 0) == ([], True)
    assert buffered.recv(9) == b""


def test_writes_wait_for_the_flush(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    theirs.setblocking(False)
    assert buffered.send(b"ab") == 2
    buffered.send(b"c")
    with pytest.raises(BlockingIOError):
        theirs.recv(9)
    assert buffered.unsent
    buffered.flush()
    assert not buffered.unsent
    assert theirs.recv(9) == b"abc"


def test_reader_that_does_not_read_is_a_full_socket_not_a_full_memory(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    buffered, _ = pair
    with pytest.raises(BlockingIOError):
        _pour(buffered, 32 * 2**20)
    assert buffered.unsent


def _pour(buffered: BufferedSocket, size: int) -> None:
    for _ in range(size // 65_536):
        buffered.send(b"x" * 65_536)
        buffered.flush()


def test_broken_connection_is_told_by_the_next_read(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    theirs.close()
    buffered.send(b"x")
    buffered.flush()
    buffered.flush()
    assert buffered.split(ROOM, 0) == ([], True)
    assert buffered.recv(1) == b""
    assert not buffered.unsent


def test_farewell_lets_the_other_side_read_before_the_end(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    theirs.sendall(b"never read by us")
    buffered.send(b"last words")
    buffered.linger_s = 5.0
    heard: list[bytes] = []

    def listen() -> None:
        while word := theirs.recv(99):
            heard.append(word)
        theirs.shutdown(socket.SHUT_WR)

    listener = threading.Thread(target=listen)
    listener.start()
    buffered.close()
    listener.join(5)
    assert heard == [b"last words"]
