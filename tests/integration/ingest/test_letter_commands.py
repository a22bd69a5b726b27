"""`hanlu letters ...` against a real database."""

from __future__ import annotations

import base64
import json

import pytest
from fix_edge import NOON_MS, Edge, temperature
from fix_ingest import Platform

from hanlu.app import cli
from hanlu.ingest.decode import decode
from hanlu.ingest.directory import read_snapshot
from hanlu.ingest.writer import Writer

pytestmark = pytest.mark.postgres


class Shell:
    """Runs commands on a platform's database."""

    def __init__(self, platform: Platform, settings: str, capture: pytest.CaptureFixture[str]) -> None:
        self.platform, self._settings, self._capture = platform, settings, capture

    def __call__(self, *words: str) -> tuple[int, str]:
        """Return exit code and what was printed."""
        self._capture.readouterr()
        code = cli.main(["letters", *words, "--config", self._settings])
        return code, self._capture.readouterr().out


@pytest.fixture
def hanlu_letters(
    one_platform: Platform, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> Shell:
    edge = Edge()
    one_platform.register(edge)
    writer = Writer(one_platform.url)
    messages = [edge.readings([temperature(-18, NOON_MS, "room-9")]), (edge.topic(), b"\xffnonsense")]
    writer.commit([decode(*message, NOON_MS, read_snapshot(writer.connection)) for message in messages])
    writer.close()
    settings = tmp_path_factory.mktemp("settings") / "hanlu.json"
    settings.write_text(json.dumps({"database": {"url": one_platform.url}}))
    return Shell(one_platform, str(settings), capsys)


def test_list_and_counts_name_every_letter(hanlu_letters: Shell) -> None:
    code, out = hanlu_letters("list")
    assert code == 0
    assert [word for word in ("unknown_channel", "malformed", "gw-1") if word not in out] == []
    assert [each["reason"] for each in json.loads(hanlu_letters("list", "--reason", "malformed", "--json")[1])] == [
        "malformed"
    ]
    counts = json.loads(hanlu_letters("list", "--counts", "--json")[1])
    assert {each["reason"]: each["open_messages"] for each in counts} == {"malformed": 1, "unknown_channel": 1}
    assert "malformed" in hanlu_letters("list", "--counts")[1]


def test_show_prints_the_bytes_and_refuses_a_number_nobody_has(hanlu_letters: Shell) -> None:
    letter = hanlu_letters.platform.one("SELECT dead_letter_id FROM telemetry.dead_letter WHERE reason = 'malformed'")
    assert "ff 6e 6f 6e" in hanlu_letters("show", str(letter))[1]
    assert json.loads(hanlu_letters("show", str(letter), "--json")[1])["body"] == b"\xffnonsense".hex()
    assert hanlu_letters("show", "99999")[0] == 2


def test_replay_stores_what_is_good_now_and_says_what_stays(hanlu_letters: Shell) -> None:
    platform = hanlu_letters.platform
    assert json.loads(hanlu_letters("replay", "--gateway", "gw-1", "--json")[1]) == {"open": 2}
    platform.add_device(platform.one("SELECT gateway_id FROM registry.gateway"), "room-9")
    code, out = hanlu_letters("replay", "--reason", "unknown_channel", "--json")
    assert (code, json.loads(out)) == (0, {"replayed": 1})
    assert platform.rows("SELECT done_by, stored FROM telemetry.replay") == [("command line", 1)]
    letter = platform.one("SELECT dead_letter_id FROM telemetry.dead_letter WHERE reason = 'malformed'")
    assert hanlu_letters("replay", "--close", str(letter))[0] == 0
    assert hanlu_letters("replay", str(letter), "--json")[1].strip() == '{"not_open": 1}'
    assert hanlu_letters("replay")[0] == 2


def test_export_writes_every_byte(hanlu_letters: Shell) -> None:
    lines = [json.loads(line) for line in hanlu_letters("export")[1].splitlines()]
    assert {base64.b64decode(each["body"]) for each in lines} >= {b"\xffnonsense"}
    assert len(lines) == 2
