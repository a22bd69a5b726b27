"""A JT/T 808 terminal, as far as a gateway can tell."""

from __future__ import annotations

import socket
from typing import Self

from hanlu.gateway.driver.jt808_frame import Frame, FrameSplitter, Header, encode_frames
from hanlu.gateway.driver.jt808_message import (
    AUTHENTICATE,
    BATCH,
    GENERAL_ANSWER,
    LOCATION,
    REGISTER,
    REGISTER_ANSWER,
    Location,
    encode_batch,
    encode_location,
)


class TerminalClient:
    """Connects, says things and hears answers; `modern` speaks the edition of 2019."""

    def __init__(self, address: str, number: str = "13800138000", *, modern: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), timeout=5)
        self.number = bytes.fromhex(number.zfill(20 if modern else 12))
        self.version = 1 if modern else None
        self.serial = 0
        self._splitter = FrameSplitter()
        self._heard: list[Frame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def frames(self, message: int, body: bytes = b"") -> bytes:
        """Return a message as it travels, and count it."""
        data = encode_frames(Header(message, self.serial, self.number, self.version), body)
        self.serial += max(1, -(-len(body) // 1_023))
        return data

    def say(self, message: int, body: bytes = b"") -> None:
        self.sock.sendall(self.frames(message, body))

    def hear(self, timeout_s: float = 5.0) -> Frame | None:
        """Return the next answer, None when none comes in time or the connection ends."""
        self.sock.settimeout(timeout_s)
        while not self._heard:
            try:
                data = self.sock.recv(4_096)
            except (TimeoutError, ConnectionError):
                return None
            if not data:
                return None
            for frame in self._splitter.feed(data):
                assert isinstance(frame, Frame), frame
                self._heard.append(frame)
        return self._heard.pop(0)

    def ask(self, message: int, body: bytes = b"") -> tuple[int, int, int]:
        """Return serial, message and result of the platform's general answer to a message."""
        self.say(message, body)
        return self.answer()

    def answer(self) -> tuple[int, int, int]:
        frame = self.hear()
        assert frame is not None, "no answer"
        assert frame.header.message == GENERAL_ANSWER
        assert frame.header.number == self.number
        assert frame.header.version == self.version
        body = frame.body
        return int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big"), body[4]

    def register(self) -> bytes | None:
        """Return the code to sign in with, None where the platform refuses."""
        lengths = (2, 2, 11, 30, 30, 1) if self.version else (2, 2, 5, 20, 7, 1)
        self.say(REGISTER, b"\x7e" * sum(lengths) + "浙A12345".encode("gbk"))
        frame = self.hear()
        assert frame is not None
        assert frame.header.message == REGISTER_ANSWER
        return frame.body[3:] if frame.body[2] == 0 else None

    def sign_in(self, code: bytes | None = None) -> int:
        """Register unless a code is given; return the result of signing in."""
        code = self.register() if code is None else code
        assert code is not None
        body = code if self.version is None else bytes([len(code)]) + code + b"8" * 15 + b"v1".ljust(20, b"\0")
        return self.ask(AUTHENTICATE, body)[2]

    def report(self, location: Location) -> int:
        """Return the result of a location report."""
        return self.ask(LOCATION, encode_location(location))[2]

    def upload(self, *locations: Location) -> int:
        """Return the result of a batch upload."""
        return self.ask(BATCH, encode_batch([encode_location(each) for each in locations]))[2]
