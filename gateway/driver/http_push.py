"""HTTP push: devices that can only POST. 200 means on this gateway's disk.

    POST /cold-room-3                      {"temp": -18.2, "hum": 80}
    Authorization: Bearer <its token>      -> 200 {"readings": 2, "lost": 0}

A thread for each connection, their number bounded, and so is the time of a request, its head and its body: a device
that dribbles is cut off. The intake brings the requests of one moment under one flush.

What an answer means to the device: 200, forget it; 503, nothing was kept, send it again after Retry-After; 422, kept as
unreadable, do not send it again; 507, no room, the loss is counted and will be declared, do not send it again; no
answer, unknown, send it again: a repetition is harmless where values have times of their own.
Source: RFC 9110 15 (status codes), RFC 6750 2.1 (bearer tokens), RFC 8428 12.3 (media types of SenML).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, model_validator

from hanlu.core.clock import Clock
from hanlu.core.errors import FatalError, TransientError, UsageError
from hanlu.core.limits import MAX_MESSAGE_BYTES
from hanlu.core.observe import log
from hanlu.core.wire.documents import BirthChannel
from hanlu.gateway.driver.body import BodyRule, channels_of, decode_body
from hanlu.gateway.driver.contract import Driver, Intake, Verdict
from hanlu.gateway.driver.http_request import Answer, HttpRequest, Post
from hanlu.gateway.driver.listening import listen
from hanlu.gateway.driver.mapping import DriverConfig, Section

__all__ = ["HttpDevice", "HttpPushConfig", "HttpPushServer"]

_logger = logging.getLogger(__name__)

_TICK_S: Final = 0.25
"""How often connections are held against their time."""
_LINGER_S: Final = 0.5
_LINGER_READS: Final = 16
"""How long, and how often, the rest of a refused request is read and thrown away before its connection closes."""
_FORMATS: Final[dict[str, Literal["senml_json", "senml_cbor"]]] = {
    "application/senml+json": "senml_json",
    "application/senml+cbor": "senml_cbor",
}
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 58\r\n\r\n{"error":"busy","detail":"too many connections just now"}\n'
)


class HttpDevice(Section):
    """One device that may push."""

    device: str = Field(min_length=1, max_length=100, pattern=r"^[^/]+$", description="its id, as in the path")
    token: SecretStr | None = Field(default=None, min_length=16, description="its bearer token; secret")
    token_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the token in hex, instead of it"
    )
    body: BodyRule | None = Field(default=None, description="how to read what it sends; none: as the driver's `body`")

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if (self.token is None) == (self.token_sha256 is None):
            raise ValueError("give either token or token_sha256")
        return self

    @property
    def digest(self) -> bytes:
        """Return SHA-256 of the token."""
        if self.token is not None:
            return hashlib.sha256(self.token.get_secret_value().encode()).digest()
        return bytes.fromhex(self.token_sha256 or "")


class HttpPushConfig(DriverConfig):
    """Devices that push over HTTP."""

    kind: Literal["http_push"] = "http_push"
    listen: str = Field(
        default="127.0.0.1:8090",
        pattern=r"^\[?[0-9A-Za-z.:-]+\]?:\d{1,5}$",
        description="`host:port` to listen on (0: any free port); without TLS tokens travel in the clear",
    )
    cert_file: Path | None = Field(default=None, description="PEM file of our certificate and its chain; none: no TLS")
    key_file: Path | None = Field(default=None, description="PEM file of the certificate's key")
    devices: tuple[HttpDevice, ...] = Field(min_length=1, max_length=5_000, description="who may push")
    body: BodyRule = Field(default=BodyRule(), description="how to read what devices send")
    max_body_bytes: int = Field(default=MAX_MESSAGE_BYTES, ge=100, le=4 << 20, description="bytes of a body at most")
    max_connections: int = Field(default=32, ge=1, le=1_000, description="connections at once, a thread each")
    request_timeout_s: float = Field(
        default=15.0, gt=0, le=300, description="seconds a connection may wait for, or take over, one request"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        names = Counter(each.device for each in self.devices)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"device {twice[0]!r} is listed twice")
        for each in self.devices:
            for rule in (each.body or self.body).channels:
                rule.channel(each.device)  # an id no code can be made of is told now
        return self

    def build(self, intake: Intake, clock: Clock) -> Driver:
        """Return the driver, listening.

        Raises:
            UsageError: the address is taken, or the certificate cannot be used.
        """
        return HttpPushServer(self, intake, clock)


class HttpPushServer:
    """The southbound HTTP server. Satisfies `driver.contract.Driver` and `http_request.PostServer`."""

    def __init__(self, config: HttpPushConfig, intake: Intake, clock: Clock) -> None:
        """Listen at once, so that a taken address is known before anything starts.

        Raises:
            UsageError: the address is taken, or the certificate cannot be used.
        """
        self._config, self._intake, self._clock = config, intake, clock
        self._devices = {each.device: each for each in config.devices}
        self._digests = {each.device: each.digest for each in config.devices}
        self._tls = _tls(config)
        self.beat: Callable[[], None] = lambda: None
        """Called several times a second while it listens."""
        self.max_body = config.max_body_bytes
        self._listener, host_port = listen(config.listen)
        self.address = f"{'https' if self._tls else 'http'}://{host_port}"
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_write.setblocking(False)
        self._stopping = False
        self._fatal: FatalError | None = None
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        self._threads: set[threading.Thread] = set()
        self.counts: Counter[str] = Counter()
        """`messages`, `readings`, `refused` (readings there was no room for), `not_written`, `busy` (connections turned
        away), answers by status as `http_<status>`, and unreadable bodies by reason."""

    @property
    def channels(self) -> tuple[BirthChannel, ...]:
        """Return the channels the configuration names, for each device."""
        found: dict[str, BirthChannel] = {}
        for device in self._config.devices:
            rules = (device.body or self._config.body).channels
            for rule in rules:
                if rule.device == "{device}" and (device.body or self._config.body).device_source is None:
                    name = rule.channel(device.device)
                    found[name] = BirthChannel(name=name, unit=rule.senml_unit, period_s=rule.period_s)
            found |= {each.name: each for each in channels_of(rules)}
        return tuple(found.values())

    def run(self) -> None:
        """Serve until `stop`.

        Raises:
            FatalError: the spool is damaged.
        """
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._wake_read, selectors.EVENT_READ)
                while not self._stopping:
                    self.beat()
                    for key, _ in selector.select(_TICK_S):
                        if key.fileobj is self._listener:
                            self._accept()
                    self._cut_off(time.monotonic())
            self._finish()
        finally:
            self.close()
        if self._fatal is not None:
            raise self._fatal

    def stop(self) -> None:
        """Make `run` return soon; from any thread, and again without harm."""
        self._stopping = True
        try:
            self._wake_write.send(b"\0")
        except OSError:
            return  # awake already, or closed: run() has returned

    def close(self) -> None:
        """Give the address back; for a server that never ran (`run` does it at its end)."""
        for sock in (self._listener, self._wake_read, self._wake_write):
            sock.close()

    def knows(self, device_id: str, token: str) -> bool:
        """Tell whether this is the device's token; takes the same time for every wrong one."""
        expected = self._digests.get(device_id, bytes(32))
        return hmac.compare_digest(hashlib.sha256(token.encode(errors="replace")).digest(), expected)

    def begins(self, request: HttpRequest) -> bool:
        """Give a connection time for one more request; False: no more requests."""
        with self._lock:
            if self._stopping or request.connection not in self._open:
                return False
            self._open[request.connection] = time.monotonic() + self._config.request_timeout_s
            return True

    def count(self, name: str, number: int = 1) -> None:
        """Count something; requests run on threads of their own."""
        with self._lock:
            self.counts[name] += number

    def take(self, post: Post) -> Answer:
        """Keep what a device pushed, then answer: in this order, because 200 is a promise."""
        device = self._devices[post.device_id]
        rule = device.body or self._config.body
        if rule.format == "auto" and (form := _FORMATS.get(post.content_type)):
            rule = rule.model_copy(update={"format": form})
        source = f"{self._config.name} {post.device_id}"
        batch = decode_body(rule, post.device_id, source, post.body, self._clock.now_ms())
        self.count("messages")
        try:
            verdict = self._intake.offer(batch)
        except TransientError as error:
            self.count("not_written")
            log(_logger, logging.ERROR, "gateway.driver.not_written", f"{source}: {error}: it will be sent again")
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "not_written", "detail": "nothing was kept"})
        except FatalError as error:
            self._fatal = error
            self.stop()
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "stopping", "detail": "nothing was kept"})
        if verdict is Verdict.REFUSED:
            self.count("refused", len(batch.readings))
            detail = "no room; the loss is counted and will be declared: do not send this again"
            return Answer(HTTPStatus.INSUFFICIENT_STORAGE, {"error": "spool_full", "detail": detail})
        self.count("readings", len(batch.readings))
        for bad in batch.undecodable:
            self.count(bad.why.reason.value)
            return Answer(
                HTTPStatus.UNPROCESSABLE_ENTITY, {"error": bad.why.reason.value, "detail": bad.why.detail[:500]}
            )
        document = {"readings": len(batch.readings), "lost": sum(loss.count for loss in batch.losses)}
        problems = [f"{loss.channel or ''}: {loss.reason}: {loss.detail}"[:200] for loss in batch.losses[:10]]
        return Answer(HTTPStatus.OK, document | ({"problems": problems} if problems else {}))

    def _accept(self) -> None:
        try:
            sock, address = self._listener.accept()
        except OSError:
            return  # the caller went away before we looked
        sock.settimeout(self._config.request_timeout_s)
        with self._lock:
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            busy = len(self._threads) >= self._config.max_connections
        if busy:
            self.count("busy")
            with sock:
                if self._tls is None:
                    sock.send(_BUSY)
            return
        thread = threading.Thread(target=self._serve, args=(sock, address), name=self._config.name, daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _serve(self, sock: socket.socket, address: tuple[str, int]) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)  # within the socket's own time-out
            with self._lock:
                self._open[sock] = time.monotonic() + self._config.request_timeout_s
            HttpRequest(sock, address, self)  # type: ignore[arg-type]  # ours takes no part in socketserver
            _linger(sock)
        except (OSError, ValueError):
            self.count("broken")
        finally:
            with self._lock:
                self._open.pop(sock, None)
            sock.close()

    def _cut_off(self, now: float) -> None:
        """End the connections whose request takes too long; their threads notice and close them."""
        with self._lock:
            for sock, deadline in self._open.items():
                if now > deadline:
                    _shut(sock, socket.SHUT_RDWR)

    def _finish(self) -> None:
        """Let requests that are being kept be answered, and read no more."""
        with self._lock:
            threads = list(self._threads)
            for sock in self._open:
                _shut(sock, socket.SHUT_RD)
        end = time.monotonic() + 1.0
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._cut_off(float("inf"))


def _shut(sock: socket.socket, how: int) -> None:
    try:
        # The plain socket's way also under TLS, whose own would forget the cipher while an answer is on its way.
        socket.socket.shutdown(sock, how)
    except OSError:
        return  # gone already


def _linger(sock: socket.socket) -> None:
    """Read on a little after the last answer: closing on unread bytes would make TCP throw the answer away."""
    _shut(sock, socket.SHUT_WR)
    sock.settimeout(_LINGER_S)
    for _ in range(_LINGER_READS):
        if not sock.recv(65_536):
            return


def _tls(config: HttpPushConfig) -> ssl.SSLContext | None:
    if config.cert_file is None or config.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.cert_file, config.key_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{config.name}: the certificate cannot be used: {error}") from error
    return context
