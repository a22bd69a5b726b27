"""From nothing to a reading on record: token, `hanlu enrol`, gateway process, unknown channel, approval; then renewal
and revocation. The real `hanlu up` with its own broker, and the real edge commands beside it."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fix_running import RunningHanlu, running_hanlu
from fix_services import free_port, temporary_folder, wait_until
from fix_visitor import Visitor, visiting

pytestmark = [pytest.mark.postgres, pytest.mark.broker, pytest.mark.slow]

CODE = "gw-barn"
CHANNEL = "barn-probe/air_temperature"


@pytest.fixture(scope="module")
def hanlu() -> Iterator[RunningHanlu]:
    environment = {"HANLU_DATABASE__TIMESCALEDB": "off", "HANLU_CHAIN__ENABLED": "false"}
    with running_hanlu(roles="ingest,web", environment=environment) as one:
        yield one


@pytest.fixture
def edge() -> Iterator[Path]:
    """The folder of a computer on the spot."""
    with temporary_folder("hanlu-edge-") as folder:
        yield folder


def rows(hanlu: RunningHanlu, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(hanlu.database_url) as connection:
        return connection.execute(statement, values).fetchall()


def stored(hanlu: RunningHanlu, channel: str = CHANNEL) -> int:
    statement = """
        SELECT count(*) FROM telemetry.reading JOIN registry.channel_v USING (channel_id)
        WHERE gateway = %s AND wire_name = %s
    """
    return int(rows(hanlu, statement, CODE, channel)[0][0])


@contextmanager
def gateway_running(hanlu: RunningHanlu, config: Path) -> Iterator[Path]:
    """The edge process; yields its status file. It is ended as a service manager would."""
    status = config.parent / "run" / "status.json"
    status.parent.mkdir(exist_ok=True)
    status.unlink(missing_ok=True)
    with (config.parent / "gateway.log").open("a") as log:
        child = hanlu.start("gateway", str(config), "--status", str(status), stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(status.exists, "the gateway serves devices")
            yield status
        finally:
            child.terminate()
            assert child.wait(20) == 0


def connected(status: Path) -> bool:
    return bool(json.loads(status.read_text())["connected"])


def measure(port: int, count: int) -> None:
    """Be a device: send readings as lines and wait until the gateway has taken each."""
    with socket.create_connection(("127.0.0.1", port), 10) as device, device.makefile("rwb") as lines:
        now = time.time() - count
        for number in range(count):
            record = {"n": CHANNEL, "u": "Cel", "t": now + number, "v": 4.0 + number / 100}
            lines.write(json.dumps({"id": number, "senml": [record]}).encode() + b"\n")
            lines.flush()
            assert b'"ok"' in lines.readline()


def approve(visitor: Visitor) -> None:
    page = visitor.get("/admin/channels").text
    assert "barn-probe" in page
    fields = {
        "csrf": visitor.token(),
        "act": "approve",
        "pick": CHANNEL,
        "kind:barn-probe": "sensor",
        "zone:barn-probe": "room-1",
        f"unit:{CHANNEL}": "Cel",
        f"period:{CHANNEL}": "60",
    }
    assert visitor.post(f"/admin/channels/{CODE}", data=fields).status_code == 303


def test_a_gateway_comes_into_the_world_and_leaves_it(hanlu: RunningHanlu, edge: Path):
    config, port = edge / "etc" / "gateway.toml", free_port()

    # A token at the page, spent at the edge.
    with visiting(hanlu, "admin") as visitor:
        page = visitor.post(
            "/admin/gateways", data={"code": CODE, "site": "yanling-store", "csrf": visitor.token()}
        ).text
        token = re.search(r"--token ([a-z0-9-]+)", page)
        assert token is not None
        words = ("enrol", "--server", hanlu.url, "--token", token[1], "--out", str(config))
        done = hanlu.run(*words)
        assert done.returncode == 0, done.stderr
        assert "next: add your devices" in done.stdout
        assert "WARNING" not in done.stderr, "this machine is the same one"
        for name in ("gateway.toml", "gateway.key", "enrolment.json"):
            assert stat.S_IMODE((config.parent / name).stat().st_mode) == 0o600, name
        assert "gw-barn" in hanlu.run("gateways", "list").stdout

        # Its own driver is configured outside of the platform's part; the process connects with its own login.
        text = config.read_text().replace("127.0.0.1:8050", f"127.0.0.1:{port}")
        text = text.replace("[line]", "health_period_s = 2\n[line]")
        config.write_text(text + "\n# mine\n")
        with gateway_running(hanlu, config) as status:
            wait_until(lambda: connected(status), "connected to the broker")
            measure(port, 40)

            # Nobody knows the channel: its readings wait, and none is stored.
            waiting = "SELECT readings_waiting FROM telemetry.unapproved_channel WHERE name = %s"
            wait_until(lambda: rows(hanlu, waiting, CHANNEL) == [(40,)], "the channel waits")
            assert stored(hanlu) == 0
            approve(visitor)
            wait_until(lambda: stored(hanlu) == 40, "what waited is stored", 60)
            wait_until(lambda: stored(hanlu, "gateway/uptime") > 0, "its own health is known", 90)
            measure(port, 5)
            wait_until(lambda: stored(hanlu) == 45, "what comes now is stored")

            # A new key and password, while messages go on; the old key counts until the restart and beyond.
            old = json.loads(hanlu.run("gateways", "list", "--json").stdout)
            renewed = hanlu.run("enrol", "--renew", "--out", str(config), "--json")
            assert renewed.returncode == 0, renewed.stderr
            told = json.loads(renewed.stdout)
            assert told["kid"] != next(each["kid"] for each in old if each["gateway"] == CODE)
            assert told["old_key_until_ms"] > 1000 * time.time()
            assert "# mine" in config.read_text()
            measure(port, 5)
        with gateway_running(hanlu, config) as status:
            wait_until(lambda: connected(status), "connected with the new password")
            measure(port, 5)
            wait_until(lambda: stored(hanlu) == 55, "messages of the old and the new key are stored")

            # Revoked: the broker hangs up at once and lets it in no more; what it took in stays at the edge.
            assert hanlu.run("gateways", "revoke", CODE).returncode == 0
            wait_until(lambda: not connected(status), "the session ended", 20)
            measure(port, 5)
            time.sleep(2)
            assert not connected(status)
        assert stored(hanlu) == 55
        page = visitor.get(f"/admin/gateways/{CODE}").text
        assert "Revoked" in page
        refused = hanlu.run("enrol", "--renew", "--out", str(config))
        assert (refused.returncode, "not in force" in refused.stderr) == (1, True)

        # It comes back with a new key, and what it measures from then on is stored again.
        (config.parent / "gateway.key").unlink()
        (config.parent / "gateway.key.next").unlink(missing_ok=True)
        again = json.loads(hanlu.run("gateways", "token", CODE, "--json").stdout)["token"]
        assert hanlu.run("enrol", "--server", hanlu.url, "--token", again, "--out", str(config)).returncode == 0
        with gateway_running(hanlu, config) as status:
            wait_until(lambda: connected(status), "connected with a new identity")
            measure(port, 7)
            wait_until(lambda: stored(hanlu) >= 62, "measured under the new key", 60)


def test_the_commands_say_what_is_wrong(hanlu: RunningHanlu, edge: Path):
    config = str(edge / "gateway.toml")
    cases = {
        ("enrol",): (2, "name --server and --token"),
        ("enrol", "--renew", "--out", config): (2, "does not say where this gateway enrolled"),
        ("enrol", "--server", "hanlu.example", "--token", "x" * 8, "--out", config): (2, "https://"),
        ("enrol", "--server", hanlu.url, "--token", "no-such-token", "--out", config): (1, "no such token"),
        ("enrol", "--server", "http://127.0.0.1:9", "--token", "x" * 8, "--out", config): (1, "does not answer"),
        ("gateways", "add", "Bad Code", "--site", "yanling-store"): (2, "a gateway's code"),
        ("gateways", "add", "gw-x", "--site", "nowhere"): (1, "site nowhere is not registered"),
        ("gateways", "revoke", "gw-none"): (1, "no gateway gw-none"),
        ("gateways", "token", "gw-yanling", "--hours", "0"): (2, "1 to 168 hours"),
        ("broker", "certificate", "--revoke", "gw-none", "--dir", str(edge / "ca")): (1, "no certificate was made"),
    }
    for words, (code, sentence) in cases.items():
        ended = hanlu.run(*words)
        assert (ended.returncode, sentence in ended.stderr) == (code, True), (words, ended.stderr)


def test_broker_files_hold_every_enrolled_gateway_and_change_only_with_them(hanlu: RunningHanlu, edge: Path):
    first = hanlu.run("gateways", "add", "gw-files", "--site", "yanling-store", "--json")
    token = json.loads(first.stdout)["token"]
    out = edge / "mosquitto"
    assert hanlu.run("broker", "files", "--out", str(out)).returncode == 0
    assert "gw-files" not in (out / "passwd").read_text()
    config = str(edge / "gateway.toml")
    assert hanlu.run("enrol", "--server", hanlu.url, "--token", token, "--out", config).returncode == 0
    assert "passwd, acl written" in hanlu.run("broker", "files", "--out", str(out)).stdout
    assert "gw-files:$7$" in (out / "passwd").read_text()
    assert re.search(r"user gw-files\ntopic write hanlu/1/\d\d/gw-files/live\n", (out / "acl").read_text())
    assert "nothing changed" in hanlu.run("broker", "files", "--out", str(out)).stdout
    assert all(path.stat().st_mode & 0o077 == 0 for path in out.iterdir())
