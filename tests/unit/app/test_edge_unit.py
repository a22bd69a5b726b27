"""The gateway's systemd unit, and what its process says to systemd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hanlu.app.edge_process import checked, serve
from hanlu.app.edge_unit import UNIT, install_unit, unit_text
from hanlu.app.systemd import Systemd
from hanlu.core.errors import UsageError
from hanlu.gateway.config import BrokerConfig, GatewayConfig, LineConfig
from hanlu.gateway.remote import Remote, save_remote

ROOT = Path(__file__).parents[3]
STATE = Path("/var/lib/hanlu-gateway/gw-1")


def test_packaged_unit_is_the_written_one_for_the_usual_places():
    written = unit_text(Path("/opt/hanlu/bin/hanlu"), Path("/etc/hanlu/gateway.toml"))
    assert (ROOT / "packaging" / UNIT).read_text() == written
    assert "@" not in written.replace("@system-service", "").replace("@privileged", "").replace("@resources", "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit_and_calls_it_safe(tmp_path):
    unit = tmp_path / UNIT
    unit.write_text(unit_text(Path("/bin/true"), Path("/etc/hanlu/gateway.toml")))
    found = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    exposure = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert exposure.returncode == 0, exposure.stdout[-400:]


def test_unit_is_written_for_this_command_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/hanlu/bin/hanlu"])
    said = install_unit(tmp_path, Path("/srv/gw.json"), GatewayConfig(code="gw-1", partition=1, data_dir=STATE))
    assert "systemctl enable --now hanlu-gateway" in said
    text = (tmp_path / UNIT).read_text()
    assert "ExecStart=/opt/hanlu/bin/hanlu gateway ${CREDENTIALS_DIRECTORY}/gateway.json --status" in text
    assert "LoadCredential=gateway.json:/srv/gw.json" in text


def test_unit_that_could_not_run_is_not_written(tmp_path):
    with pytest.raises(UsageError, match="data_dir"):
        install_unit(tmp_path, Path("/srv/gw.toml"), GatewayConfig(code="gw-1", partition=1, data_dir=tmp_path))
    with pytest.raises(UsageError, match="plainer"):
        unit_text(Path("/opt/my hanlu/bin/hanlu"), Path("/etc/gw.toml"))
    with pytest.raises(UsageError, match="cannot be written"):
        install_unit(tmp_path / "none", Path("/a.toml"), GatewayConfig(code="gw-1", partition=1, data_dir=STATE))
    assert list(tmp_path.iterdir()) == []


def test_check_says_what_would_run_and_touches_nothing(tmp_path):
    folder = tmp_path / "gw-1"
    config = GatewayConfig(
        code="gw-1", partition=7, data_dir=folder, broker=BrokerConfig(username="gw-1", password="hush-hush", tls=True)
    )  # fmt: skip
    text = checked(config)
    assert "gateway gw-1, partition 07" in text
    assert "127.0.0.1:1883 as gw-1, TLS" in text
    assert "(will be made)" in text
    assert "hush" not in text
    assert not folder.exists()
    folder.mkdir()
    save_remote(folder, Remote(4, "[limits]\nmax_spool_bytes = 10485760"))
    assert "version 4" in checked(config)
    assert "up to 10 MiB" in checked(config)
    save_remote(folder, Remote(5, "[broker]\nport = 1"))
    with pytest.raises(UsageError, match="broker"):
        checked(config)


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock


def test_service_manager_hears_of_readiness_life_and_end(tmp_path, listener):
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "240000000"})
    assert systemd.watchdog_s == 240.0
    config = GatewayConfig(
        code="gw-1", partition=1, data_dir=tmp_path / "gw-1", broker=BrokerConfig(port=1),
        line=LineConfig(listen=f"unix:{tmp_path}/line"),
    )  # fmt: skip
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(config, None, stop, lambda: None), kwargs={"systemd": systemd})
    thread.start()
    try:
        assert listener.recv(1_000) == b"READY=1"
        life = listener.recv(1_000).decode()
        assert life.startswith("WATCHDOG=1\nSTATUS=no link, 0 messages pending, spool 0% in use")
    finally:
        stop.set()
        thread.join(15)
    assert listener.recv(1_000) == b"STOPPING=1"


def test_abstract_sockets_are_reached_and_nobody_is_no_error():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0hanlu-test-{os.getpid()}")
        sock.settimeout(5)
        Systemd({"NOTIFY_SOCKET": f"@hanlu-test-{os.getpid()}"}).ready()
        assert sock.recv(100) == b"READY=1"
    nobody = Systemd({"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "soon"})
    nobody.ready()
    assert nobody.watchdog_s is None
    Systemd({}).alive("well")


PLATFORM_ONLY = (
    "alembic", "apscheduler", "argon2", "defusedxml", "fastapi", "httptools", "jinja2", "multipart", "openpyxl", "PIL",
    "prometheus_client", "psycopg", "psycopg_pool", "pyarrow", "qrcode", "rfc8785", "starlette", "tqdm", "uvicorn",
    "uvloop", "web3",
)  # fmt: skip


def test_gateway_command_needs_nothing_of_the_platform(tmp_path):
    """As on an edge computer with the gateway extra alone; the real thing is tests/acceptance/test_gateway_install."""
    (tmp_path / "gw.toml").write_text(f'code = "gw-1"\npartition = 1\ndata_dir = "{tmp_path}/gw-1"\n')
    program = f"""
import sys
for name in {PLATFORM_ONLY!r}:
    sys.modules[name] = None  # importing it raises ImportError
from hanlu.app.cli import main
sys.exit(main(["gateway", sys.argv[1], "--check"]))
"""
    found = subprocess.run(
        [sys.executable, "-P", "-c", program, tmp_path / "gw.toml"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")
