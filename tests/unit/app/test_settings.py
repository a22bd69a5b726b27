"""Settings: which source wins, what is refused and in which words, what is hidden."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hanlu.app.settings import Settings, load, process_environment
from hanlu.app.settings_text import as_markdown, as_text, hidden
from hanlu.core.errors import UsageError


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "hanlu.toml"
    file.write_text('[web]\nport = 1001\nhost = "10.0.0.1"\npublic_url = "https://a.example"\n')
    settings = load(
        file,
        environ={"HANLU_WEB__PORT": "1002", "HANLU_WEB__HOST": "10.0.0.2", "PATH": "/bin"},
        flags={"web": {"port": 1003, "host": None}},
    )
    assert (settings.web.port, settings.web.host, settings.web.public_url) == (1003, "10.0.0.2", "https://a.example")
    assert settings.broker.port == 8078


def test_nothing_given_means_everything_embedded() -> None:
    settings = load(environ={})
    assert (settings.database.url, settings.broker.url, settings.chain.url) == (None, None, None)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HANLU_WEB__PROT": "1"}, ["web.prot", "did you mean port?"]),
        ({"HANLU_WEBB__PORT": "1"}, ["webb", "did you mean web?"]),
        ({"HANLU_WEB__PORT": "70000"}, ["web.port", "65535", "70000"]),
        ({"HANLU_WEB__PORT": "many"}, ["web.port", "'many'"]),
        ({"HANLU_LOG__LEVEL": "loud"}, ["log.level", "'DEBUG'"]),
    ],
)
def test_wrong_setting_is_refused_by_name_with_the_right_one(environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        load(environ=environ)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("text", ["web = 1", "[web", "[[web]]"])
def test_file_that_is_no_settings_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"broken\.toml"):
        load(file, environ={})


def test_absent_file_is_refused() -> None:
    with pytest.raises(UsageError, match="no-such-file"):
        load(Path("/no-such-file.toml"), environ={})


def test_settings_survive_their_json_file(tmp_path: Path) -> None:
    settings = load(environ={"HANLU_DATABASE__URL": "postgresql://u:secret@db/x", "HANLU_DATA__FOLDER": "/srv/h"})
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings.model_dump(mode="json")))
    assert load(file, environ={}) == settings


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        load(environ={}).web.port = 1  # type: ignore[misc]


def test_secrets_are_hidden_wherever_settings_are_shown() -> None:
    settings = load(environ={"HANLU_DATABASE__URL": "postgresql://u:secret@db/x"})
    assert hidden(settings)["database"]["url"] == "***"
    assert "secret" not in as_text(settings)


def test_printed_settings_are_read_again_as_the_same(tmp_path: Path) -> None:
    settings = load(environ={"HANLU_WEB__PORT": "9000", "HANLU_DATA__FOLDER": "/srv/寒露"})
    file = tmp_path / "hanlu.toml"
    file.write_text(as_text(settings))
    assert load(file, environ={}) == settings


def test_every_field_has_words() -> None:
    for section in Settings.model_fields.values():
        for name, field in section.annotation.model_fields.items():  # type: ignore[union-attr]
            assert field.description, f"{section.annotation}.{name} has no description"


def test_reference_page_names_every_variable() -> None:
    page = as_markdown()
    for section, info in Settings.model_fields.items():
        for name in info.annotation.model_fields:  # type: ignore[union-attr]
            assert f"`HANLU_{section.upper()}__{name.upper()}`" in page


def test_children_get_no_hanlu_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANLU_WEB__PORT", "9000")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environment = process_environment()
    assert "HANLU_WEB__PORT" not in environment
    assert "PYTHONPATH" not in environment
    assert "PATH" in environment
