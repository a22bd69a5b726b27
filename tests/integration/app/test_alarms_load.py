"""The command `hanlu alarms load`: the console's figures, from the database of a settings file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fix_alerts import CHILL, TRUCK, County
from fix_shift import add_alarm

from hanlu.app.cli import main

pytestmark = pytest.mark.postgres


@pytest.fixture
def config(county: County, tmp_path: Path) -> str:
    path = tmp_path / "hanlu.toml"
    path.write_text(f'[database]\nurl = "{county.url}"\n')
    return str(path)


def test_figures_are_told_as_json_for_a_place(county: County, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        add_alarm(county, CHILL, datetime.now(UTC) - timedelta(days=1, seconds=number))
    add_alarm(county, TRUCK, datetime.now(UTC) - timedelta(days=1))
    arguments = ["alarms", "load", "--config", config, "--span", "7d", "--json"]
    assert main([*arguments, "--place", "site:yanling-store"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["figures"]["calls"]["value"] == 3
    assert told["figures"]["chattering"] == {"value": 1, "unit": "", "target": 0, "verdict": "over"}
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["calls"]["value"] == 4


def test_check_fails_when_a_figure_is_over(county: County, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["alarms", "load", "--config", config, "--span", "7d", "--check"]
    assert main(arguments) == 0
    for number in range(3):
        add_alarm(county, CHILL, datetime.now(UTC) - timedelta(days=1, seconds=number))
    assert main(arguments) == 1
    assert "Chattering points" in capsys.readouterr().out


def test_unknown_place_says_how_to_name_one(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alarms", "load", "--config", config, "--place", "nowhere"]) != 0
    assert "org:CODE" in capsys.readouterr().err
