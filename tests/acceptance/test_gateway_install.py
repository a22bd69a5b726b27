"""The gateway as it is installed on an edge computer: the locked gateway extra, nothing of the platform's."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fix_gateway import EdgeBroker, Platform, patiently
from fix_services import unavailable

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.broker]


@pytest.fixture(scope="module")
def edge_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment made of requirements-gateway.lock and this package, by hashes and without resolving."""
    folder = tmp_path_factory.mktemp("edge")
    source = folder / "source"
    leave_out = shutil.ignore_patterns(".*", "__pycache__", "tests", "build", "node_modules")
    shutil.copytree(ROOT, source, symlinks=True, ignore=leave_out)
    python = folder / "venv" / "bin" / "python"
    quiet = [python, "-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-P", "-m", "venv", folder / "venv"], check=True)
    made = subprocess.run(
        [*quiet, "--require-hashes", "--no-deps", "-r", ROOT / "requirements-gateway.lock"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        unavailable(f"the package index cannot be reached: {made.stderr[-300:]}")
    subprocess.run([*quiet, "--no-deps", source], check=True)
    return python


def test_gateway_installed_alone_takes_a_reading_to_the_platform_in_under_80_mb(
    edge_python: Path, edge_broker: EdgeBroker, edge_platform: Platform, tmp_path: Path
):
    login = edge_broker.login("gw-1")
    assert login.password is not None
    config = tmp_path / "gateway.toml"
    config.write_text(f"""
code = "gw-1"
partition = 7
data_dir = "{tmp_path}/data"
[broker]
port = {login.port}
username = "gw-1"
password = "{login.password.get_secret_value()}"
[line]
listen = "unix:{tmp_path}/line.sock"
""")
    hanlu, said = edge_python.with_name("hanlu"), tmp_path / "status.json"
    check = subprocess.run([hanlu, "gateway", config, "--check"], capture_output=True, text=True, check=True)
    assert "gateway gw-1, partition 07" in check.stdout
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen([hanlu, "gateway", config, "--status", said], stderr=log, env=environment)
    try:
        patiently(said.exists, (tmp_path / "log").read_text())
        with socket.socket(socket.AF_UNIX) as device:
            device.settimeout(5)
            device.connect(f"{tmp_path}/line.sock")
            device.sendall(b'{"id":1,"senml":[{"n":"room-1/air_temperature","u":"Cel","v":-18.5}]}\n')
            assert b'"ok":1' in device.recv(1_000)
        patiently(lambda: len(edge_platform.readings()) == 1, "reading")
        patiently(lambda: json.loads(said.read_text())["spool"]["pending"] == 0, "receipt")
        status = Path(f"/proc/{child.pid}/status").read_text()
        resident_kb = int(status.partition("VmRSS:")[2].split()[0])
        assert resident_kb < 80_000
    finally:
        child.terminate()
        assert child.wait(20) == 0
    packages = subprocess.run(
        [edge_python, "-P", "-m", "pip", "list", "--format=json"], capture_output=True, check=True
    )
    installed = {each["name"].lower() for each in json.loads(packages.stdout)}
    assert not installed & {"fastapi", "psycopg", "web3", "jinja2", "argon2-cffi", "uvicorn", "pyarrow", "numpy"}
