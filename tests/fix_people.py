"""Receivers for the tests: a local server that is every HTTP channel, a mail server, and alarms written as the engine
writes them. Nothing here reaches beyond this machine.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from fix_alerts import County

from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.directory import read_directory
from hanlu.alerts.people.escalation import Policy, Step
from hanlu.alerts.people.facts import AlarmFacts
from hanlu.alerts.people.manage import NewReceiver, add_receiver, save_policy
from hanlu.alerts.people.model import Receiver, ReceiverKind
from hanlu.alerts.people.planner import Planner
from hanlu.alerts.people.sender import Sender
from hanlu.core.clock import ManualClock, from_ms
from hanlu.db.pool import Connection, Pool, connect, open_pool

YANLING, HUNAN = 2, 1
"""Organisations of the county: the county itself and the province above."""
START_MS = 1_790_000_000_000
"""2026-09-21T13:33:20Z: a Monday evening in China, 21:33."""

OK = {
    "wecom": {"errcode": 0, "errmsg": "ok"},
    "dingtalk": {"errcode": 0, "errmsg": "ok"},
    "feishu": {"code": 0, "msg": "success", "data": {}},
    "sms": {"Code": "OK", "Message": "OK", "BizId": "900619746936498440^0", "RequestId": "F655A8D5"},
}


@dataclass(slots=True)
class Call:
    """One request the server got."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}


Reply = tuple[int, dict[str, str], bytes]


@dataclass(slots=True)
class ChannelServer:
    """A local HTTP server that answers what a test says.

    Attributes:
        port: of 127.0.0.1.
        calls: what came, in order.
        replies: path -> what is answered there, or a function of the call; anything else is answered 200 {}.
        arrived: set with every call.
        hang: set it to let hanging answers end.
    """

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    replies: dict[str, Any] = field(default_factory=dict)
    arrived: threading.Event = field(default_factory=threading.Event)
    hang: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, path: str, value: Any, status: int = 200, **headers: str) -> None:
        """Let a path answer JSON."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.replies[path] = (status, named, json.dumps(value).encode())

    def never(self, path: str) -> None:
        """Let a path take requests and never answer."""

        def wait(call: Call) -> Reply | None:
            self.hang.wait(30)
            return None

        self.replies[path] = wait

    def to(self, path: str) -> list[Call]:
        """Return what came to a path."""
        return [each for each in self.calls if each.path == path]


@contextmanager
def channel_server(context: ssl.SSLContext | None = None) -> Iterator[ChannelServer]:
    """Run the server."""
    kept = ChannelServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            call = Call(parts.path, query, headers, body)
            kept.calls.append(call)
            kept.arrived.set()
            reply = kept.replies.get(parts.path, (200, {}, b"{}"))
            reply = reply(call) if callable(reply) else reply
            if reply is None:
                self.close_connection = True
                return
            status, more, content = reply
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        kept.hang.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def channels() -> Iterator[ChannelServer]:
    """Every HTTP channel, on this machine, in good health."""
    with channel_server() as server:
        for name, value in OK.items():
            server.answer(f"/{name}", value)
        yield server


@dataclass(slots=True)
class MailServer:
    """A mail server on this machine.

    Attributes:
        port: of 127.0.0.1.
        mails: what it took: sender, recipients, message.
        refusal: what it answers to DATA instead of taking it, "" takes.
        secured: whether the last mail came over TLS.
        user: who signed in last.
    """

    port: int = 0
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    refusal: str = ""
    refused_addresses: set[str] = field(default_factory=set)
    secured: bool = False
    user: str = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        """Take an address or refuse it."""
        if address in self.refused_addresses:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a mail or refuse it."""
        if self.refusal:
            return self.refusal
        message = BytesParser(policy=default).parsebytes(envelope.content)
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), message))  # type: ignore[arg-type]
        self.secured = session.ssl is not None
        return "250 taken"


@contextmanager
def mail_server(context: ssl.SSLContext | None = None, password: str | None = None) -> Iterator[MailServer]:
    """Run a mail server; with a context it offers STARTTLS and asks for it, with a password it asks to sign in."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    kept = MailServer()

    def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        kept.user = data.login.decode()
        good = data.password.decode() == password
        return AuthResult(success=good, handled=good)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    more: dict[str, Any] = {}
    if context is not None:
        more |= {"tls_context": context, "require_starttls": True}
    if password is not None:
        more |= {"authenticator": sign_in, "auth_required": True, "auth_require_tls": context is not None}
    controller = Controller(kept, hostname="127.0.0.1", port=port, **more)
    controller.start()
    kept.port = port
    try:
        yield kept
    finally:
        controller.stop()


class AtOnce(Executor):
    """Runs work in the thread that asks for it, so that a test knows what has happened."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` and return its result as a future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future


@dataclass(slots=True)
class Team:
    """The county with a notifier whose clock the test moves.

    Attributes:
        county: the database.
        clock: the time.
        connection: as hanlu_alerts, autocommit.
        config: of the notifier.
        channels: where messages go.
    """

    county: County
    clock: ManualClock
    connection: Connection
    pool: Pool
    config: NotifyConfig
    channels: ChannelServer
    public_url: str | None = "https://hanlu.example"

    def notifier(self, **more: Any) -> tuple[Planner, Sender]:
        """Return planner and sender, as they are after a start; the sender works in the caller's thread."""
        sender = Sender(
            self.config, self.connection, self.pool, more.pop("executor", AtOnce()), self.clock,
            public_url=self.public_url, jitter=lambda: 1.0, **more,
        )  # fmt: skip
        return Planner(self.config, self.connection, self.clock), sender

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, then plan and send until there is nothing more to do at this instant."""
        self.clock.advance(seconds)
        planner, sender = self.notifier()
        while planner.turn() + sender.turn():
            pass

    def receiver(self, code: str, kind: str = "wecom", organisation: int = YANLING, **more: Any) -> Receiver:
        """Add a receiver whose channel is the local server, at /<kind>, or as a path says."""
        path = more.pop("path", f"/{kind}")
        settings: dict[str, Any] = more.pop("settings", {})
        if kind == "webhook":
            settings = {"url": self.channels.url(path)} | settings
        elif kind == "sms":
            settings = {"numbers": ["13800000001"], "sign_name": "寒露", "template_code": "SMS_1", **settings}
            settings["base_url"] = self.channels.url(path)
        elif kind == "email":
            settings = {"to": [f"{code}@example.org"]} | settings
        else:
            settings = {"base_url": self.channels.url(path)} | settings
        secret = more.pop(
            "secret",
            SECRETS_OF[kind] | ({"key": f"key-of-{code}"} if "key" in SECRETS_OF[kind] and kind != "webhook" else {}),
        )
        new = NewReceiver(organisation, code, more.pop("name", code), ReceiverKind(kind), settings, secret, **more)
        add_receiver(self.connection, self.config, new, "test")
        return read_directory(self.connection, self.clock.now_ms()).receivers[code]

    def policy(self, *steps: tuple[int, str], organisation: int = YANLING, **more: Any) -> None:
        """Write a policy of steps (minute, receiver)."""
        made = Policy(steps=tuple(Step(after_min=minute, receivers=(code,)) for minute, code in steps), **more)
        save_policy(self.connection, organisation, made, 0, "test")

    def alarm(self, channel: int = 1, kind: str = "high", *, priority: int = 2, **columns: Any) -> int:
        """Let an alarm be raised, as the engine writes it."""
        now = from_ms(self.clock.now_ms())
        values = {
            "channel_id": channel, "kind": kind, "priority": priority, "process_state": "UNACKNOWLEDGED",
            "limit_value": -15.0, "exceeded_at": now, "raised_at": now, "detected_at": now, "peak": -9.8,
            "peak_at": now, "cause": "door_open", **columns,
        }  # fmt: skip
        names = ", ".join(values)
        with psycopg.connect(self.county.url) as connection:
            row = connection.execute(
                f"INSERT INTO alerts.alarm ({names}) VALUES ({', '.join(f'%({each})s' for each in values)})"
                " RETURNING alarm_id",
                values,
            ).fetchone()
            assert row is not None
            state = values["process_state"]
            _journal(connection, row[0], 1, "raise", "NORMAL", state, now)
        return int(row[0])

    def happens(self, alarm_id: int, event: str, **columns: Any) -> None:
        """Write an event of an alarm and what it changes on its row."""
        now = from_ms(self.clock.now_ms())
        with psycopg.connect(self.county.url) as connection:
            before = connection.execute(
                "SELECT process_state, version FROM alerts.alarm WHERE alarm_id = %s FOR UPDATE", (alarm_id,)
            ).fetchone()
            assert before is not None
            sets = "".join(f", {each} = %({each})s" for each in columns)
            connection.execute(
                f"UPDATE alerts.alarm SET version = version + 1{sets} WHERE alarm_id = %(alarm_id)s",
                columns | {"alarm_id": alarm_id},
            )
            after = columns.get("process_state", before[0])
            _journal(connection, alarm_id, before[1] + 1, event, before[0], after, now)

    def acknowledge(self, alarm_id: int) -> None:
        """Let a person acknowledge it in the console."""
        self.happens(alarm_id, "acknowledge", process_state="ACKNOWLEDGED", acknowledged_by="li")

    def returns(self, alarm_id: int) -> None:
        """Let its condition be gone."""
        now = from_ms(self.clock.now_ms())
        self.happens(alarm_id, "return", process_state="RTN_UNACKNOWLEDGED", returned_at=now)

    def rows(self, text: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement as superuser."""
        return self.county.query(text, *parameters)

    def lines(self) -> list[tuple[Any, ...]]:
        """Return every line: alarm, purpose, step, target, state, reason."""
        return self.rows(
            "SELECT alarm_id, purpose, step, target, state, reason FROM alerts.notification_line"
            " ORDER BY notification_line_id"
        )

    def states(self) -> list[str]:
        """Return the states of all messages, in order."""
        return [str(row[0]) for row in self.rows("SELECT state FROM alerts.notification ORDER BY notification_id")]


RECEIVERS = [
    Receiver(
        receiver_id=number, organisation_id=2, code=f"r{number}", name="r", kind=ReceiverKind.WECOM, settings={},
        line=f"l{number}", enabled=number != 2,
    )
    for number in range(3)
]  # fmt: skip


def facts(alarm_id: int = 1, **more: object) -> AlarmFacts:
    """Return an alarm as messages know it."""
    values: dict[str, object] = {
        "alarm_id": alarm_id, "version": 1, "called_version": 1, "called_ms": 0, "kind": "high", "priority": 2,
        "process_state": "UNACKNOWLEDGED", "suppression_state": "NONE", "explained_by": None, "replayed": False,
        "organisation_path": "/1/2/", "site_id": 1, "site_zh": "站", "site_en": "s", "zone_zh": "间", "zone_en": "z",
        "metric": "air_temperature", "unit": "Cel", "limit_value": -15.0, "peak": -9.0, "value": None, "exceeded_ms": 0,
        "raised_ms": 0, "returned_ms": None, "respond_by_ms": None, "cause": "unknown",
    }  # fmt: skip
    return AlarmFacts(**(values | more))  # type: ignore[arg-type]


SECRETS_OF: dict[str, dict[str, str]] = {
    "wecom": {"key": "key"},
    "dingtalk": {"key": "key", "sign": "SEC-of-dingtalk"},
    "feishu": {"key": "key", "sign": "sign-of-feishu"},
    "webhook": {"key": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
    "sms": {"access_key_id": "testId", "access_key_secret": "testSecret"},
    "email": {},
}


def _journal(
    connection: psycopg.Connection, alarm_id: int, version: int, event: str, before: str, after: str, at: Any
) -> None:
    connection.execute(
        "INSERT INTO alerts.journal (alarm_id, version, at, event, from_state, to_state, actor)"
        " VALUES (%s, %s, %s, %s, %s, %s, 'engine')",
        (alarm_id, version, at, event, before, after),
    )
    connection.execute("NOTIFY hanlu_alarm")


def quick_config(**more: Any) -> NotifyConfig:
    """Return settings without waits that only cost tests time."""
    local = ("127.0.0.0/8", "::1/128")
    values = {
        "allow_networks": local,
        "group_wait_s": 20.0,
        "critical_wait_s": 0.0,
        "connect_s": 2.0,
        "deadline_s": 2.0,
        **more,
    }
    return NotifyConfig(**values)


@contextmanager
def team_over(county: County, channels: ChannelServer, **config: Any) -> Iterator[Team]:
    """A team over a county."""
    connection = connect(county.url, "hanlu_alerts", name="test notifier", autocommit=True)
    pool = open_pool(county.url, "hanlu_alerts", name="test workers", max_size=8)
    try:
        yield Team(county, ManualClock(START_MS), connection, pool, quick_config(**config), channels)
    finally:
        connection.close()
        pool.close()


@pytest.fixture
def team(county: County, channels: ChannelServer) -> Iterator[Team]:
    """The county with a notifier whose clock stands still until the test moves it."""
    with team_over(county, channels) as made:
        yield made


def certificates(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's context for 127.0.0.1 and localhost, and the file of the CA that made its certificate."""
    from datetime import UTC, datetime

    from hanlu.app.certificates import Authority

    authority = Authority(folder / "certificates", datetime.now(UTC))
    made = authority.server(["127.0.0.1", "localhost"], 30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context, authority.certificate
