"""The data folder has one owner at a time, and ports are refused in words that help."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from hanlu.app.datafolder import DataFolder, Listener, check_ports
from hanlu.core.errors import ConflictError, UsageError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    with folder.owned():
        assert folder.owner() == os.getpid()
        with pytest.raises(ConflictError, match=rf"pid {os.getpid()}.*--data"), DataFolder(tmp_path / "data").owned():
            pass
    assert folder.owner() is None
    with folder.owned():
        pass


def test_folder_nobody_ever_used_has_no_owner_and_no_status(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "nothing")
    assert folder.owner() is None
    assert folder.status() is None
    assert folder.ended_cleanly()


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--data"):
        DataFolder(tmp_path / "file" / "data").make()


def test_written_file_is_private_and_holds_secrets_in_clear(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.make()
    folder.write(folder.status_file, {"state": "ready", "password": SecretStr("桃子"), "path": Path("/x")})
    assert folder.status() == {"state": "ready", "password": "桃子", "path": "/x"}
    assert folder.status_file.stat().st_mode & 0o077 == 0
    assert not folder.ended_cleanly()


def test_taken_port_is_refused_with_the_setting_to_change(taken: int) -> None:
    with pytest.raises(UsageError, match=rf"port {taken} is taken.*--port or web\.port \(HANLU_WEB__PORT\)"):
        check_ports([Listener("127.0.0.1", taken, "web.port")], patient=False)


def test_one_port_for_two_services_is_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    with pytest.raises(UsageError, match=r"both web\.port and broker\.port"):
        check_ports(
            [Listener("127.0.0.1", free_port, "web.port"), Listener("127.0.0.1", free_port, "broker.port")],
            patient=False,
        )


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot be used on 192\.0\.2\.1"):
        check_ports([Listener("192.0.2.1", 18999, "web.port")], patient=False)
