from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from hanlu.ingest.socket_buffer import BufferedSocket


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    buffered = BufferedSocket(ours)
    with theirs:
        yield buffered, theirs
        buffered.close()


def test_bytes_are_served_one_by_one_from_a_block(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    theirs.sendall(b"abcdef")
    assert [buffered.recv(1), buffered.recv(1), buffered.recv(3)] == [b"a", b"b", b"cde"]
    assert buffered.readable_now
    assert buffered.recv(99) == b"f"
    assert not buffered.readable_now
    assert not buffered.drained
    with pytest.raises(BlockingIOError):
        buffered.recv(1)
    assert buffered.drained


def test_end_of_the_connection_shows_after_the_last_byte(pair: tuple[BufferedSocket, socket.socket]) -> None:
    buffered, theirs = pair
    theirs.sendall(b"x")
    theirs.shutdown(socket.SHUT_WR)
    assert buffered.recv(9) == b"x"
    assert buffered.recv(9) == b""
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
