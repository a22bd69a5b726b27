"""What `hanlu enrol` writes, what it leaves alone, and what it does when the platform answers strangely."""

from __future__ import annotations

import json
import stat
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hanlu.core.errors import ConflictError, PermissionDeniedError, RemoteError, TransientError, UsageError
from hanlu.core.wire.enrolment import BrokerAccess, Enrolled, from_text, renewal_statement, signed_by
from hanlu.core.wire.envelope import key_id, public_bytes
from hanlu.gateway.config import GatewayConfig
from hanlu.gateway.enrol import SERVICE_STATE, Files, Platform, configuration, enrol, is_exposed, renew
from hanlu.gateway.identity import load_or_create_key

PASSWORD = "p" * 32


def enrolled(kid: str = "00" * 8, **broker: Any) -> Enrolled:
    access = {"host": "broker.example", "port": 8883, "tls": True, "username": "gw-1", "password": PASSWORD}
    return Enrolled(
        gateway="gw-1",
        partition=7,
        kid=kid,
        broker=BrokerAccess(**access | {"ca_pem": "-----BEGIN CERTIFICATE-----\n"} | broker),
        now_ms=1,
        platform="https://hanlu.example",
        software="1",
    )


def parsed(text: str) -> GatewayConfig:
    return GatewayConfig.model_validate(tomllib.loads(text))


class Answering:
    """A platform whose answers the test chooses; `asked` holds (path, body)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: Callable[[str, dict[str, Any]], tuple[int, bytes]] = lambda path, body: (
            200,
            enrolled().model_dump_json().encode(),
        )
        self.url = ""


@contextmanager
def serving(platform: Answering) -> Iterator[Answering]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            body = json.loads(raw) if raw else {}
            platform.asked.append((self.path, body))
            status, answer = platform.answer(self.path, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    platform.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def platform() -> Iterator[Answering]:
    with serving(Answering()) as one:
        yield one


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("https://hanlu.example", False),
        ("http://127.0.0.1:8077", False),
        ("http://[::1]:8077", False),
        ("http://localhost:8077", False),
        ("http://10.1.2.3", True),
        ("http://hanlu.example", True),
        ("http://127.0.0.1.example", True),
    ],
)
def test_only_https_or_this_machine_is_no_exposure(url: str, exposed: bool):
    assert is_exposed(url) is exposed


@pytest.mark.parametrize("url", ["hanlu.example", "ftp://hanlu.example", "file:///etc/passwd", "https://", ""])
def test_an_address_that_is_no_web_server_is_refused(url: str):
    with pytest.raises(UsageError):
        Platform(url)


def test_a_configuration_in_etc_has_its_state_where_the_service_may_write(tmp_path: Path):
    assert Files(Path("/etc/hanlu/gateway.toml")).key == SERVICE_STATE / "gateway.key"
    assert Files(tmp_path / "gateway.toml").key == tmp_path / "gateway.key"
    assert Files(Path("/etc/hanlu/gateway.toml"), tmp_path).key == tmp_path / "gateway.key"


def test_a_fresh_configuration_is_one_the_gateway_takes(tmp_path: Path):
    files = Files(tmp_path / "gateway.toml")
    config = parsed(configuration("", enrolled(), files))
    assert (config.code, config.partition, config.key_path) == ("gw-1", 7, files.key)
    assert (config.broker.host, config.broker.port, config.broker.tls) == ("broker.example", 8883, True)
    assert config.broker.ca_file == files.broker_ca
    assert config.broker.password is not None
    assert config.broker.password.get_secret_value() == PASSWORD
    plain = parsed(configuration("", enrolled(ca_pem=None, tls=False), files))
    assert (plain.broker.tls, plain.broker.ca_file) == (False, None)


def test_what_stands_outside_the_marks_stays(tmp_path: Path):
    files = Files(tmp_path / "gateway.toml")
    first = configuration("# above\n", enrolled(), files)
    mine = first.replace("[line]", "broker.keepalive_s = 60\nhealth_period_s = 5\n[limits]\nmax_readings = 9\n[line]")
    again = configuration(mine + "# below\n", enrolled(password="q" * 32), files)
    assert again.startswith("# above\n")
    assert again.endswith("# below\n")
    config = parsed(again)
    assert (config.broker.keepalive_s, config.limits.max_readings, config.health_period_s) == (60, 9, 5)
    assert PASSWORD not in again
    assert configuration(again, enrolled(password="q" * 32), files) == again


@pytest.mark.parametrize("broken", ["nonsense = 1\n", "code = 'other'\n", "[broker]\nport = 1\n", "= ="])
def test_what_does_not_go_with_the_platforms_part_is_told_before_anything_is_written(tmp_path: Path, broken: str):
    files = Files(tmp_path / "gateway.toml")
    text = configuration("", enrolled(), files).replace("[line]", broken + "[line]")
    with pytest.raises(UsageError, match=r"gateway\.toml"):
        configuration(text, enrolled(), files)


def test_a_host_with_quotes_stays_a_value(tmp_path: Path):
    hostile = 'x"\nreplay = true\ny = "'
    config = parsed(configuration("", enrolled(host=hostile), Files(tmp_path / "gateway.toml")))
    assert (config.broker.host, config.replay) == (hostile, False)


def test_enrolling_writes_private_files_and_shows_the_public_key_only(platform: Answering, tmp_path: Path):
    files = Files(tmp_path / "etc" / "gateway.toml")
    enrol(Platform(platform.url), "a-token-of-the-test", files)
    for path in (files.config, files.key, files.broker_ca, files.memory):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    [(path, body)] = platform.asked
    assert (path, set(body)) == ("/api/enrol", {"token", "public_key", "signature"})
    key = load_or_create_key(files.key)
    assert from_text(body["public_key"]) == public_bytes(key)
    assert "PRIVATE" not in json.dumps(platform.asked)
    assert not [each for each in files.config.parent.iterdir() if each.name.startswith(".")]


def test_the_same_key_is_shown_again_when_the_answer_was_lost(platform: Answering, tmp_path: Path):
    files = Files(tmp_path / "gateway.toml")
    good, platform.answer = platform.answer, lambda *_: (503, b'{"detail": "the database is away"}')
    with pytest.raises(TransientError, match="away"):
        enrol(Platform(platform.url), "a-token-of-the-test", files)
    assert not files.config.exists()
    platform.answer = good
    enrol(Platform(platform.url), "a-token-of-the-test", files)
    first, second = (body["public_key"] for _, body in platform.asked)
    assert first == second


@pytest.mark.parametrize("typed", ["", "abcd", "x" * 101])
def test_what_is_no_token_is_refused_before_a_key_is_made_and_not_repeated(
    platform: Answering, tmp_path: Path, typed: str
):
    files = Files(tmp_path / "gateway.toml")
    with pytest.raises(UsageError, match="the whole of it") as refused:
        enrol(Platform(platform.url), typed, files)
    assert platform.asked == []
    assert list(tmp_path.iterdir()) == []
    assert not typed or typed not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (403, b'{"detail": "the token was used"}', PermissionDeniedError),
        (429, b'{"detail": "wait"}', TransientError),
        (404, b"<html>", RemoteError),
        (404, b'{"detail": 5}', RemoteError),
        (200, b"<html>", RemoteError),
        (200, b"{}", RemoteError),
        (200, enrolled().model_dump_json().replace('"partition":7', '"partition":64').encode(), RemoteError),
    ],
)
def test_no_configuration_is_written_on_a_strange_answer(
    platform: Answering, tmp_path: Path, status: int, answer: bytes, error: type[Exception]
):
    platform.answer = lambda *_: (status, answer)
    files = Files(tmp_path / "gateway.toml")
    with pytest.raises(error):
        enrol(Platform(platform.url), "a-token-of-the-test", files)
    assert not files.config.exists()


def test_a_configuration_made_by_hand_or_of_another_gateway_is_not_written_over(platform: Answering, tmp_path: Path):
    files = Files(tmp_path / "gateway.toml")
    files.config.write_text('code = "gw-1"\n')
    with pytest.raises(UsageError, match="--out"):
        enrol(Platform(platform.url), "a-token-of-the-test", files)
    assert platform.asked == [], "the token is not spent"
    files.config.write_text(configuration("", enrolled(), files).replace('code = "gw-1"', 'code = "gw-2"'))
    with pytest.raises(ConflictError, match="gw-2"):
        enrol(Platform(platform.url), "a-token-of-the-test", files)


def test_a_renewal_is_signed_by_both_keys_and_swaps_them_when_granted(platform: Answering, tmp_path: Path):
    files = Files(tmp_path / "gateway.toml")
    enrol(Platform(platform.url), "a-token-of-the-test", files)
    old = public_bytes(load_or_create_key(files.key))
    platform.asked.clear()

    def answer(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        if path.endswith("/challenge"):
            return 200, b'{"challenge": "challenge-of-the-test", "expires_in_s": 60}'
        new = from_text(body["new_public_key"])
        statement = renewal_statement("challenge-of-the-test", "gw-1", key_id(old), new)
        assert body["kid"] == key_id(old).hex()
        assert signed_by(old, from_text(body["signature"]), statement)
        assert signed_by(new, from_text(body["new_signature"]), statement)
        return 200, enrolled(key_id(new).hex(), password="q" * 32).model_dump_json().encode()

    platform.answer = lambda *_: (503, b'{"detail": "away"}')
    with pytest.raises(TransientError):
        renew(files, new_key=True)
    assert public_bytes(load_or_create_key(files.key)) == old
    waiting = public_bytes(load_or_create_key(files.next_key))
    platform.answer = answer
    renew(files, new_key=True)
    assert public_bytes(load_or_create_key(files.key)) == waiting, "the key once announced is the one that is taken"
    assert not files.next_key.exists()
    assert "q" * 32 in files.config.read_text()


def test_renewing_where_nobody_enrolled_says_so(tmp_path: Path):
    with pytest.raises(UsageError, match="enrol it with a token"):
        renew(Files(tmp_path / "gateway.toml"), new_key=True)
