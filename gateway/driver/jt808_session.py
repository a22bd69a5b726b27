"""What a gateway answers to a JT/T 808 terminal, frame by frame; pure.

A terminal registers and gets a code, signs in with it, and reports. What it reports is answered when it is on disk;
sub-packages of one message all at once then. Its number is a telephone number and stays here: devices, logs and dead
letters know it by the code of the configuration's table, or by a keyed digest.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hanlu.core.reading import Reading
from hanlu.core.rejected import Reason, Rejected
from hanlu.core.wire.documents import Loss
from hanlu.gateway.driver.contract import Batch, Undecodable
from hanlu.gateway.driver.jt808_channels import ReportRule, readings_of
from hanlu.gateway.driver.jt808_frame import Assembly, BadFrame, Frame, Header, encode_frames
from hanlu.gateway.driver.jt808_message import (
    AUTHENTICATE,
    BATCH,
    GENERAL_ANSWER,
    HEARTBEAT,
    LOCATION,
    LOGOUT,
    REGISTER,
    REGISTER_ANSWER,
    TERMINAL_ANSWER,
    Result,
    auth_code_in,
    decode_batch,
    decode_location,
    general_answer,
    register_answer,
)

__all__ = ["Outcome", "Owed", "Session", "Terminals"]


@dataclass(frozen=True, slots=True)
class Terminals:
    """Who may report.

    Attributes:
        devices: device code by number, digits without zeros in front.
        codes: code to sign in with by number, where the configuration names one.
        key: of the digests: device codes and sign-in codes are made with it.
        open_to_all: terminals that are not in the table are taken, under a digest of their number.
    """

    devices: Mapping[str, str]
    codes: Mapping[str, str]
    key: bytes
    open_to_all: bool

    def device(self, number: bytes) -> str | None:
        """Return the device code of a terminal, None where it may not report."""
        digits = _digits(number)
        if digits is None:
            return None
        if digits in self.devices:
            return self.devices[digits]
        return f"t-{self._digest('device', digits)[:20]}" if self.open_to_all else None

    def code(self, number: bytes) -> bytes:
        """Return the code the terminal has to sign in with."""
        digits = _digits(number) or ""
        return self.codes.get(digits, self._digest("sign-in", digits)[:20]).encode()

    def _digest(self, purpose: str, digits: str) -> str:
        return hmac.new(self.key, f"{purpose}:{digits}".encode(), hashlib.sha256).hexdigest()


def _digits(number: bytes) -> str | None:
    digits = number.hex()
    return digits.lstrip("0") or None if digits.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Owed:
    """An answer that waits for the disk: to which frames, and how it may end."""

    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of one frame.

    Attributes:
        answer: bytes to send at once.
        batch: to be kept, None for nothing.
        owed: what to answer when it is.
        noise: unreadable and from nobody who has signed in: passed on only as far as there is room for noise.
    """

    answer: bytes = b""
    batch: Batch | None = None
    owed: Owed | None = None
    noise: Undecodable | None = None


@dataclass(slots=True)
class Session:
    """One connection.

    Attributes:
        name: of the driver, for dead letters.
        terminals: who may report.
        rules: what becomes of a report.
        counts: of the driver.
    """

    name: str
    terminals: Terminals
    rules: Sequence[ReportRule]
    counts: Counter[str]
    _assembly: Assembly = field(default_factory=Assembly)
    _signed_in: set[bytes] = field(default_factory=set)
    _serial: int = 0

    def hear(self, frame: Frame | BadFrame, arrived_ms: int) -> Outcome:
        """Return what comes of `frame`, which came at `arrived_ms`, Unix milliseconds."""
        self.counts["messages"] += 1
        if isinstance(frame, BadFrame):
            self.counts[frame.why] += 1
            return Outcome(noise=self._bad("unknown terminal", Reason.MALFORMED, frame.why, frame.raw))
        header = frame.header
        device = self.terminals.device(header.number)
        if device is None:
            self.counts["unknown_terminal"] += 1
            if header.message == REGISTER:
                return Outcome(self._message(header, REGISTER_ANSWER, register_answer(header.serial, None)))
            return Outcome(self._answer(header, Result.FAILED))
        if header.encryption:
            self.counts["encrypted"] += 1
            return Outcome(self._answer(header, Result.UNSUPPORTED))
        if header.total > 1 and header.number not in self._signed_in:
            return self._refused(header)
        frames = self._assembly.add(frame)
        if frames is None:
            return Outcome()
        if not frames:
            self.counts["too_many_parts"] += 1
            return Outcome(self._answer(header, Result.WRONG))
        return self._whole(frames, device, arrived_ms)

    def settle(self, owed: Owed, *, kept: bool) -> bytes:
        """Return the answers that were owed, now that the batch has ended."""
        result = Result.DONE if kept else Result.FAILED
        return b"".join(self._answer(header, result) for header in owed.headers)

    def _whole(self, frames: tuple[Frame, ...], device: str, arrived_ms: int) -> Outcome:
        header = frames[-1].header
        body = b"".join(frame.body for frame in frames)
        if header.message == TERMINAL_ANSWER:
            return Outcome()
        if header.message == REGISTER:
            code = self.terminals.code(header.number)
            return Outcome(self._message(header, REGISTER_ANSWER, register_answer(header.serial, code)))
        if header.message == AUTHENTICATE:
            return Outcome(self._answer(header, self._sign_in(header, body)))
        if header.number not in self._signed_in:
            return self._refused(header)
        if header.message == LOGOUT:
            self._signed_in.discard(header.number)
        if header.message in (LOGOUT, HEARTBEAT):
            return Outcome(self._answer(header, Result.DONE))
        if header.message not in (LOCATION, BATCH):
            self.counts["unsupported"] += 1
            return Outcome(self._answer(header, Result.UNSUPPORTED))
        owed = Owed(tuple(frame.header for frame in frames))
        batch = self._reports(header.message, body, device, arrived_ms)
        if batch is None:
            return Outcome(self.settle(owed, kept=True))
        return Outcome(batch=batch, owed=owed)

    def _refused(self, header: Header) -> Outcome:
        self.counts["not_signed_in"] += 1
        return Outcome(self._answer(header, Result.FAILED))

    def _sign_in(self, header: Header, body: bytes) -> Result:
        given = auth_code_in(body, header.version)
        if given is None:
            return Result.WRONG
        if not hmac.compare_digest(given, self.terminals.code(header.number)):
            self.counts["wrong_code"] += 1
            self._signed_in.discard(header.number)
            return Result.FAILED
        self._signed_in.add(header.number)
        return Result.DONE

    def _reports(self, message: int, body: bytes, device: str, arrived_ms: int) -> Batch | None:
        """Return what one message reports, None where that is nothing."""
        later = message == BATCH
        bodies = decode_batch(body) if later else [body]
        if isinstance(bodies, Rejected):
            return Batch(undecodable=(self._bad(device, bodies.reason, bodies.detail, body),), live=False)
        readings: list[Reading] = []
        losses: list[Loss] = []
        bad: list[Undecodable] = []
        for each in bodies:
            report = decode_location(each)
            if isinstance(report, Rejected):
                bad.append(self._bad(device, report.reason, report.detail, each))
                continue
            self.counts["reports"] += 1
            self.counts["cut_items"] += bool(report.cut)
            source = f"jt808:{hashlib.sha256(device.encode() + each).hexdigest()[:32]}"
            found, lost = readings_of(report, self.rules, device, arrived_ms, source, later=later)
            readings += found
            losses += lost
        if not (readings or losses or bad):
            return None
        return Batch(tuple(readings), tuple(losses), undecodable=tuple(bad), live=not later)

    def _bad(self, who: str, reason: Reason, detail: str, body: bytes) -> Undecodable:
        return Undecodable(f"{self.name} {who}", Rejected(reason, f"JT/T 808: {detail}"), body)

    def _answer(self, header: Header, result: Result) -> bytes:
        return self._message(header, GENERAL_ANSWER, general_answer(header.serial, header.message, result))

    def _message(self, to: Header, message: int, body: bytes) -> bytes:
        serial, self._serial = self._serial, (self._serial + 1) & 0xFFFF
        return encode_frames(Header(message, serial, to.number, to.version), body)
