"""`hanlu codec`: what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanlu.app.cli import main


def test_codecs_are_listed_with_their_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["milesight-em300-th", "Milesight", "EM300-TH,", "EM320-TH"] for line in lines)
    assert not any(line.startswith("milesight-any") for line in lines)


def test_codec_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec", "milesight-em300-th"]) == 0
    assert "temperature        air_temperature    Cel" in capsys.readouterr().out.splitlines()


def test_payload_is_decoded_to_values_and_channels(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec", "milesight-em300-th", "0175 6403 672A FF04 6864", "--port", "85"]) == 0
    table = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert table == ["battery", "temperature", "humidity"]


def test_payload_may_be_typed_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec", "milesight-em300-th", "0175640367", "2AFF046864", "--port", "85"]) == 0
    assert "air_temperature = -21.4 Cel" in capsys.readouterr().out


def test_what_cannot_be_read_is_told_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec", "milesight-em300-th", "A2cYAZmZ", "--base64"]) == 1
    assert "could not be read: type 99 99 at byte 4 is unknown" in capsys.readouterr().out


def test_codec_of_a_file_of_ones_own_with_parameters_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'maker = "Mine"\n[codecs.probe]\nparameters = { k = 1 }\n'
        'fields = [{ key = "t", type = "u16", expr = "x / k", metric = "probe", unit = "°F" }]\n'
    )
    assert main(["codec", "probe", "01F4", "--file", str(file), "--set", "k=10", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["values"][0] | {"at": ""} == {
        "key": "t", "value": 50.0, "word": "", "channel": "probe = 10 Cel", "at": "", "quality": "good"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing"], "there is no codec 'nothing'"),
        (["em300"], "milesight-em300-th"),
        (["elsys", "xyz"], "is not hexadecimal"),
        (["elsys", "00", "--set", "k"], "NAME=NUMBER"),
        (["elsys", "00", "--file", "/none.toml"], "/none.toml"),
    ],
)
def test_wrong_use_is_told(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec", *args]) == 2
    assert message in capsys.readouterr().err
