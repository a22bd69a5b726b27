"""`hanlu notify test` and `hanlu notify list`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fix_people import Team

from hanlu.app.cli import main

pytestmark = pytest.mark.postgres


@pytest.fixture
def settings_file(team: Team, tmp_path: Path) -> str:
    """A settings file that names the team's database and lets messages reach the servers of the test."""
    path = tmp_path / "hanlu.json"
    settings = {
        "database": {"url": team.county.url},
        "data": {"folder": str(tmp_path)},
        "notify": {"allow_networks": ["127.0.0.0/8"]},
    }
    path.write_text(json.dumps(settings))
    return str(path)


def test_test_message_says_what_the_channel_said(
    team: Team, settings_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    team.receiver("li")
    assert main(["notify", "test", "li", "--config", settings_file]) == 0
    assert capsys.readouterr().out == "sent: errcode 0 ok\n"
    team.channels.answer("/wecom", {"errcode": 93000, "errmsg": "invalid webhook url"})
    assert main(["notify", "test", "li", "--config", settings_file]) == 1
    assert "permanent: errcode 93000" in capsys.readouterr().err


def test_unknown_receiver_names_those_there_are(
    team: Team, settings_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    team.receiver("li")
    assert main(["notify", "test", "wang", "--config", settings_file]) == 2
    assert "there are: li" in capsys.readouterr().err


def test_list_as_json_has_what_was_sent(team: Team, settings_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    team.receiver("li")
    team.policy((0, "li"))
    alarm = team.alarm(priority=1)
    team.settle()
    assert main(["notify", "list", "--json", "--config", settings_file]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["code"], row["alarm_ids"], row["attempts"]) == ("sent", "li", [alarm], 1)
    assert "{acknowledge}" in row["text"]
    assert main(["notify", "list", "--state", "failed", "--config", settings_file]) == 0
    assert "li" not in capsys.readouterr().out
