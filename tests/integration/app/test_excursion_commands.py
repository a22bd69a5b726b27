"""`hanlu excursion` as an administrator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fix_excursion import WARM, Accounts, minutes
from pypdf import PdfReader

from hanlu.app.cli import main

pytestmark = pytest.mark.postgres


@pytest.fixture
def typed(accounts: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Type a command against the county; returns the exit code."""
    monkeypatch.setenv("HANLU_DATABASE__URL", accounts.county.url)
    monkeypatch.chdir(tmp_path)

    def type_(*words: str) -> int:
        return main([*words, "--data", str(tmp_path / "data")])

    return type_


def test_list_as_json_has_the_figures(typed, reported: int, capsys) -> None:
    assert typed("excursion", "list", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["excursion_id"], one["zone"], one["corrections"], one["lots"]) == (1, "yanling-frozen", 1, 2)
    assert one["minutes"] == pytest.approx(34)


def test_list_for_people_is_filtered_and_says_when_there_is_nothing(typed, reported: int, capsys) -> None:
    assert typed("excursion", "list", "--state", "corrected") == 0
    assert "gw-yanling/room-1/air_temperature (yanling-store, corrected 1 times)" in capsys.readouterr().out
    assert typed("excursion", "list", "--from", "2025-06-17") == 0
    assert capsys.readouterr().out == "no excursions\n"


@pytest.mark.parametrize("words", [("--from", "2025-13-01"), ("--to", "tomorrow"), ("--most", "0")])
def test_list_refuses_what_it_cannot_read(typed, accounts: Accounts, words: tuple[str, ...], capsys) -> None:
    assert typed("excursion", "list", *words) == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_report_is_written_to_a_file(typed, reported: int, lang: str, tmp_path: Path, capsys) -> None:
    assert typed("excursion", "report", "1", "--lang", lang) == 0
    assert f"excursion-1-{lang}.pdf" in capsys.readouterr().out
    assert len(PdfReader(tmp_path / f"excursion-1-{lang}.pdf").pages) == 2


def test_report_is_found_by_its_alarm(typed, reported: int, tmp_path: Path) -> None:
    assert typed("excursion", "report", str(reported), "--alarm", "--out", "a.pdf") == 0
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_report_of_nothing_and_to_nowhere_is_refused_with_a_reason(typed, accounts: Accounts, capsys) -> None:
    assert typed("excursion", "report", "7") == 1
    assert "there is no excursion 7" in capsys.readouterr().err
    assert typed("excursion", "report", "7", "--alarm") == 1
    assert "alarm 7 has no excursion" in capsys.readouterr().err
    accounts.county.arrive(minutes(WARM))
    accounts.raised(11, returned=47)
    accounts.settle()
    assert typed("excursion", "report", "1", "--out", "no/such/folder.pdf") == 2
    assert "no/such/folder.pdf" in capsys.readouterr().err
