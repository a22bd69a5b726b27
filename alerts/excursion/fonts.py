"""Letters on paper: Latin ones from the standard fonts, all others from a Chinese font that can be embedded.

A PDF reader has the fourteen standard fonts; Chinese it may not have. So a TrueType font of the machine is embedded
where one is found, with just the letters used. Where there is none, the reader is asked for STSong-Light (Adobe-GB1),
which readers bring themselves or with their Asian font pack, and most systems replace by their own Chinese font.

OpenType fonts with PostScript outlines (Noto CJK as Linux distributions package it) cannot be embedded by reportlab.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFError, TTFont

__all__ = ["BOLD", "LATIN", "chinese_font", "find_font", "marked", "runs", "width"]

LATIN: Final = "Helvetica"
BOLD: Final = "Helvetica-Bold"
_CID: Final = "STSong-Light"
_EMBEDDED: Final = "HanluChinese"
_NEEDED: Final = "寒露温度超限报告冷库批次，。：（）"
"""A font without these letters is no Chinese font."""
_USUAL: Final = (
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/wqy-microhei/wqy-microhei.ttc",
    "/usr/share/fonts/wqy-zenhei/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/droid/DroidSansFallback.ttf",
    "/usr/share/fonts/truetype/arphic/uming.ttc",
    "/usr/share/fonts/truetype/arphic/ukai.ttc",
    "/usr/share/fonts/truetype/arphic-gbsn00lp/gbsn00lp.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansSC-Regular.ttf",
    "/usr/local/share/fonts/NotoSansSC-Regular.ttf",
    "/System/Library/Fonts/Supplemental/Songti.ttc",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
    "/Library/Fonts/Arial Unicode.ttf",
    "/System/Library/Fonts/STHeiti Light.ttc",
    "C:/Windows/Fonts/simsun.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simhei.ttf",
)
"""Where Linux distributions, macOS and Windows keep Chinese TrueType fonts."""
_PLAIN: Final = {"\u2212": "\u2013", "\u202f": "\u00a0"}
"""Signs the standard fonts lack, and the nearest they have."""


def find_font(paths: Iterable[str] = _USUAL, needed: str = _NEEDED) -> TTFont | None:
    """Return the first TrueType font that can be embedded and has the letters needed; None when there is none."""
    for each in paths:
        if not Path(each).is_file():
            continue
        try:
            font = TTFont(_EMBEDDED, each)
        except (TTFError, OSError, ValueError):
            continue
        if all(ord(letter) in font.face.charToGlyph for letter in needed):
            return font
    return None


@cache
def chinese_font() -> str:
    """Return the name of the font for all that is not Latin, registered with reportlab."""
    font = find_font()
    pdfmetrics.registerFont(font if font is not None else UnicodeCIDFont(_CID))
    return _CID if font is None else _EMBEDDED


def runs(text: str, latin: str = LATIN) -> Iterator[tuple[str, str]]:
    """Cut a line into (font, text): what the standard fonts can write, and the rest."""
    for sign, plain in _PLAIN.items():
        text = text.replace(sign, plain)
    for simple, letters in groupby(text, key=_is_latin):
        yield latin if simple else chinese_font(), "".join(letters)


def marked(text: str, latin: str = LATIN) -> str:
    """Return a text as a paragraph's markup, each run in its font; nothing in the text is markup itself."""
    return "".join(f'<font name="{font}">{escape(run)}</font>' for font, run in runs(text, latin)).replace(
        "\n", "<br/>"
    )


def width(text: str, size: float, latin: str = LATIN) -> float:
    """Return how wide a line is, points."""
    return float(sum(pdfmetrics.stringWidth(run, font, size) for font, run in runs(text, latin)))


def _is_latin(letter: str) -> bool:
    try:
        letter.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True
