"""How a replay's gateway gets its login at the broker."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from hanlu.app.embedded.logins import Logins
from hanlu.app.replay_edge import login
from hanlu.app.replay_names import place_of
from hanlu.app.settings import Settings
from hanlu.core.errors import UsageError

PLACE = place_of(PurePath("room.csv"), "replay-room", "county", None, None, None)


def settings(folder: Path, broker_url: str) -> Settings:
    return Settings().with_values(data={"folder": folder}, broker={"url": broker_url})


@pytest.mark.parametrize("embedded_too", [False, True])
def test_external_broker_without_a_login_says_what_to_make(tmp_path: Path, embedded_too: bool) -> None:
    if embedded_too:  # left over from a run with the embedded broker
        Logins(tmp_path / "broker").ensure()
    with pytest.raises(UsageError) as refused:
        login(settings(tmp_path, "mqtts://platform:secret@mqtt.example"), PLACE, None)
    assert f"hanlu/1/{PLACE.partition:02d}/replay-room/receipt" in str(refused.value)
    assert "--broker-login" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_login_at_an_external_broker_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("mqtts://replay-room:p%40ss@mqtt.example:8884\n")
    broker = login(settings(tmp_path, "mqtts://platform:secret@mqtt.example"), PLACE, file)
    assert (broker.host, broker.port, broker.username, broker.tls) == ("mqtt.example", 8884, "replay-room", True)
    assert broker.password is not None
    assert broker.password.get_secret_value() == "p@ss"


@pytest.mark.parametrize("content", [None, "http://mqtt.example", "\udcff"])
def test_unusable_login_file_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "login"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError):
        login(settings(tmp_path, "mqtt://platform:secret@mqtt.example"), PLACE, file)
