"""The look of all rooms: light enough, readable, every text there, every class of the style sheet that pages use."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from hanlu.app.pages import ROOMS_WITH_PAGES, HtmlPages
from hanlu.app.problems import STATUS, status_of
from hanlu.core import errors

ROOT = Path(__file__).resolve().parents[3]
CSS = (ROOT / "app" / "static" / "hanlu.css").read_text(encoding="utf-8")
COLOURS = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6})", CSS))
TEMPLATES = [path for room in ROOMS_WITH_PAGES for path in (ROOT / room / "templates").rglob("*.html")]


@pytest.fixture(scope="module")
def pages() -> HtmlPages:
    return HtmlPages()


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(COLOURS[one]), luminance(COLOURS[other])), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_style_sheet_stays_small():
    assert len(CSS.encode()) < 20_000


@pytest.mark.parametrize(("text", "ground"), list(product(("ink", "soft", "accent-dark"), ("ground", "paper"))))
def test_text_is_readable_on_both_grounds(text: str, ground: str):
    assert contrast(text, ground) >= 4.5


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("on-accent", "accent"),
        ("paper", "alarm"),
        ("alarm", "paper"),
        ("warn", "warn-soft"),
        ("accent-dark", "accent-soft"),
        ("ink", "alarm-soft"),
        ("ink", "good-soft"),
    ],
)
def test_text_is_readable_on_every_coloured_surface(text: str, ground: str):
    assert contrast(text, ground) >= 4.5


def test_every_badge_has_a_shape_of_its_own():
    shapes = re.findall(r"\.badge(?:--\w+)?::before \{ content: \"(.)\"", CSS)
    assert len(shapes) == 8
    assert len(set(shapes)) == 8


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parent.parent.name}/{path.name}")
def test_every_text_a_template_asks_for_is_there(pages: HtmlPages, template: Path):
    text = template.read_text(encoding="utf-8")
    whole = set(re.findall(r"\bt\('([a-z0-9_.]+)'[,)]", text))
    assert [key for key in sorted(whole) if key not in pages.wording] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parent.parent.name}/{path.name}")
def test_no_template_has_anything_inline(template: Path):
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|javascript:", text)
    assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", text))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 421, 422, 429, 500, 503])
def test_every_status_has_its_words(pages: HtmlPages, status: int):
    for language in ("zh", "en"):
        assert pages.wording.text(language, f"app.problem.{status}.title")
        assert pages.wording.text(language, f"app.problem.{status}.text")


def test_every_error_of_ours_has_a_status():
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert set(kinds) == set(STATUS)
    assert all(400 <= status_of(kind()) < 600 for kind in kinds)


def test_an_error_of_a_room_has_the_status_of_its_kind():
    class OneMore(errors.NotFoundError):
        """A kind of a room."""

    assert status_of(OneMore()) == 404
