"""HTTP push over real sockets: 200 is a promise, and nobody can hold the server up."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cbor2
import pytest
from fix_drivers import FakeIntake, running_driver
from fix_services import wait_until
from pydantic import ValidationError

from hanlu.core.clock import SystemClock
from hanlu.core.errors import FatalError, UsageError
from hanlu.gateway.driver.contract import Batch, Verdict
from hanlu.gateway.driver.http_push import HttpPushConfig, HttpPushServer

TOKEN = "a-token-of-room-3"
CHANNELS = [{"source": "temp", "metric": "air_temperature", "unit": "°F"}]


def configured(**others: object) -> HttpPushConfig:
    devices = [{"device": "Room 3", "token": TOKEN}, {"device": "other", "token": "quite-another-token"}]
    return HttpPushConfig.model_validate(
        {"name": "push", "listen": "127.0.0.1:0", "devices": devices, "body": {"channels": CHANNELS}} | others
    )


@contextmanager
def serving(intake: FakeIntake, **others: object) -> Iterator[HttpPushServer]:
    server = HttpPushServer(configured(**others), intake, SystemClock())
    with running_driver(server):
        yield server


def port_of(server: HttpPushServer) -> int:
    return int(server.address.rpartition(":")[2])


def post(
    server: HttpPushServer, body: bytes | object, path: str = "/Room%203", token: str = TOKEN, **headers: str
) -> tuple[int, dict[str, object], dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {token}"} | {key.replace("_", "-"): value for key, value in headers.items()}
    try:
        connection.request("POST", path, raw, sent)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), dict(response.getheaders())
    finally:
        connection.close()


def test_reading_is_kept_and_then_answered() -> None:
    intake = FakeIntake()
    with serving(intake) as server:
        status, answer, _ = post(server, {"temp": 14})
    assert (status, answer) == (200, {"readings": 1, "lost": 0})
    (reading,) = intake.readings
    assert (reading.name, reading.unit, round(reading.value, 9)) == ("room-3/air_temperature", "Cel", -10.0)


def test_senml_is_taken_as_json_and_as_cbor() -> None:
    intake = FakeIntake()
    with serving(intake) as server:
        assert post(server, [{"n": "t", "u": "Cel", "v": 4}], Content_Type="application/senml+json")[0] == 200
        pack = cbor2.dumps([{0: "t", 1: "Cel", 2: 5}])
        assert post(server, pack, Content_Type="application/senml+cbor; charset=x")[0] == 200
        assert post(server, pack)[0] == 200
    assert [(each.name, each.value) for each in intake.readings] == [("room-3/t", 4.0)] + [("room-3/t", 5.0)] * 2


def test_disk_that_refuses_makes_the_device_come_again() -> None:
    intake = FakeIntake()
    intake.failures = 1
    with serving(intake) as server:
        status, answer, headers = post(server, {"temp": 14})
        assert (status, answer["error"], headers["Retry-After"]) == (503, "not_written", "5")
        assert not intake.kept
        assert post(server, {"temp": 14})[0] == 200
    assert len(intake.readings) == 1


def test_no_room_is_an_end_that_says_so() -> None:
    intake = FakeIntake()
    intake.full = True
    with serving(intake) as server:
        status, answer, _ = post(server, {"temp": 14})
    assert (status, answer["error"]) == (507, "spool_full")
    assert server.counts["refused"] == 1


def test_unreadable_body_is_kept_and_refused() -> None:
    intake = FakeIntake()
    with serving(intake) as server:
        assert post(server, b"{")[:1] == (422,)
        assert post(server, {"nothing": 1})[1]["error"] == "foreign_schema"
        assert post(server, {"temp": "open"})[1]["lost"] == 1
    assert [bad.body for bad in intake.undecodable] == [b"{", b'{"nothing": 1}']


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/Room%203", "wrong", 401),
        ("/Room%203", "quite-another-token", 401),
        ("/Room%203", "", 401),
        ("/nobody", TOKEN, 401),
        ("/%ff", TOKEN, 401),
        ("/", TOKEN, 404),
        ("/a/b", TOKEN, 404),
    ],
)
def test_stranger_is_turned_away(path: str, token: str, status: int) -> None:
    intake = FakeIntake()
    with serving(intake) as server:
        assert post(server, {"temp": 14}, path, token)[0] == status
    assert not intake.offers


def test_other_methods_lengths_and_sizes_are_refused_in_words() -> None:
    intake = FakeIntake()
    with serving(intake, max_body_bytes=1_000) as server:
        status, answer, _ = post(server, b"x" * 1_000_000)
        assert (status, answer["error"]) == (413, "request_entity_too_large")
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
        connection.request("GET", "/Room%203")
        assert (response := connection.getresponse()).status == 405
        assert response.getheader("Allow") == "POST"
        connection.close()
        connection.request("POST", "/Room%203", iter([b"{}"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        assert connection.getresponse().status == 411
        connection.close()
    assert not intake.offers


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\0" * 70_000])
def test_junk_on_the_wire_never_ends_the_server(junk: bytes) -> None:
    intake = FakeIntake()
    with serving(intake) as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), 5) as sock:
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            while sock.recv(4_096):
                pass
        assert post(server, {"temp": 14})[0] == 200


def test_connection_serves_several_requests() -> None:
    intake = FakeIntake()
    with serving(intake) as server:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=5)
        for number in range(3):
            connection.request(
                "POST", "/other", json.dumps({"temp": number}), {"Authorization": "Bearer quite-another-token"}
            )
            assert connection.getresponse().read()
        connection.close()
    assert len(intake.readings) == 3


def test_device_that_dribbles_is_cut_off() -> None:
    intake = FakeIntake()
    with serving(intake, request_timeout_s=0.5) as server:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port_of(server)), 5) as sock:
            sock.sendall(b"POST /other HTTP/1.1\r\n")
            with suppress(ConnectionError):
                while time.monotonic() - began < 5:
                    sock.sendall(b"X: y\r\n")
                    time.sleep(0.1)
        assert time.monotonic() - began < 3


def test_too_many_connections_are_turned_away_and_room_returns() -> None:
    intake = FakeIntake()
    with serving(intake, max_connections=2) as server:
        held = [socket.create_connection(("127.0.0.1", port_of(server)), 5) for _ in range(2)]
        wait_until(lambda: len(server._open) == 2, "both accepted")
        with socket.create_connection(("127.0.0.1", port_of(server)), 5) as third:
            assert third.recv(100).startswith(b"HTTP/1.1 503")
        for sock in held:
            sock.close()
        wait_until(lambda: not server._open, "both gone")
        assert post(server, {"temp": 14})[0] == 200
    assert server.counts["busy"] == 1


def test_requests_of_one_moment_are_all_kept() -> None:
    intake = FakeIntake()
    with serving(intake) as server:
        threads = [threading.Thread(target=post, args=(server, {"temp": number})) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(intake.readings) == server.counts["readings"] == server.counts["http_200"] == 20


def test_damaged_spool_ends_the_driver() -> None:
    class Damaged(FakeIntake):
        def offer(self, batch: Batch) -> Verdict:
            raise FatalError("torn")

    server = HttpPushServer(configured(), Damaged(), SystemClock())
    failed: list[BaseException] = []

    def run() -> None:
        try:
            server.run()
        except FatalError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert post(server, {"temp": 14})[0] == 503
    thread.join(5)
    assert [str(error) for error in failed] == ["torn"]


def test_taken_address_is_told_at_once() -> None:
    intake = FakeIntake()
    with serving(intake) as server, pytest.raises(UsageError, match="listen"):
        HttpPushServer(configured(listen=f"127.0.0.1:{port_of(server)}"), intake, SystemClock())


def test_tls_is_spoken_where_a_certificate_is_given(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    intake = FakeIntake()
    with serving(intake, cert_file=str(cert), key_file=str(key)) as server:
        assert server.address.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", port_of(server), timeout=5, context=context)
        connection.request("POST", "/Room%203", b'{"temp": 14}', {"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().status == 200
        connection.close()
        with socket.create_connection(("127.0.0.1", port_of(server)), 5) as plain:
            plain.sendall(b"POST / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionError):
                assert not plain.recv(100).startswith(b"HTTP")
    assert len(intake.readings) == 1


def test_channels_are_known_before_anything_comes() -> None:
    server = HttpPushServer(configured(), FakeIntake(), SystemClock())
    assert [(each.name, each.unit) for each in server.channels] == [
        ("room-3/air_temperature", "Cel"),
        ("other/air_temperature", "Cel"),
    ]
    server.close()
    server.stop()


@pytest.mark.parametrize(
    "mistake",
    [
        {"devices": []},
        {"devices": [{"device": "a"}]},
        {"devices": [{"device": "a", "token": TOKEN, "token_sha256": "0" * 64}]},
        {"devices": [{"device": "a", "token": "short"}]},
        {"devices": [{"device": "a", "token": TOKEN}] * 2},
        {"devices": [{"device": "温", "token": TOKEN}]},
        {"cert_file": "x.pem"},
    ],
)
def test_mistakes_in_the_configuration_are_told_at_once(mistake: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        configured(**mistake)


def test_token_may_be_configured_by_its_hash() -> None:
    import hashlib

    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    server = HttpPushServer(configured(devices=[{"device": "a", "token_sha256": digest}]), FakeIntake(), SystemClock())
    assert server.knows("a", TOKEN)
    assert not server.knows("a", digest)
    assert not server.knows("b", "")
    server.close()
