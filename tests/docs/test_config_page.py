"""The reference page of the settings says what the code says."""

from __future__ import annotations

from pathlib import Path

from hanlu.app.settings_text import as_markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "config.md"


def test_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown(), (
        "run: ./hanlu config --markdown > docs/reference/config.md"
    )
