"""The pages that say what an alarm means and what to do: one a kind and language, kept once, as package data.

`docs/runbooks/<kind>.md` is made of the same texts (`document`), so the printed one and the console's never differ. The
texts use a small part of Markdown: headings, paragraphs, lists, bold; anything else is shown as it is written.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

from markupsafe import Markup, escape

from hanlu.alerts.kind import Kind

__all__ = ["LANGUAGES", "document", "html", "text"]

LANGUAGES: Final = ("zh", "en")
_BOLD: Final = re.compile(r"\*\*(.+?)\*\*")
_NUMBERED: Final = re.compile(r"^\d+\. ")


@cache
def text(kind: Kind, lang: str) -> str:
    """Return a runbook as it is written; `lang` is "zh" or "en"."""
    place = files("hanlu.alerts.rules").joinpath("data", "runbooks", f"{kind.value}.{lang}.md")
    return place.read_text(encoding="utf-8")


def document(kind: Kind) -> str:
    """Return the page of the documentation: both languages in one file."""
    head = f"<!-- Made from alerts/rules/data/runbooks/{kind.value}.*.md; edit those. -->\n\n"
    chinese, english = text(kind, "zh").strip(), text(kind, "en").strip()
    return f"{head}{chinese}\n\n---\n\n{english}\n"


@cache
def html(kind: Kind, lang: str) -> Markup:
    """Return a runbook's body for the console; its first heading is left to the page."""
    out: list[str] = []
    listed = ""
    for line in [*text(kind, lang).splitlines(), ""]:
        mark = "ul" if line.startswith("- ") else "ol" if _NUMBERED.match(line) else ""
        if listed and mark != listed:
            out.append(f"</{listed}>")
        if mark and mark != listed:
            out.append(f"<{mark}>")
        listed = mark
        if mark:
            out.append(f"<li>{_inline(line.split(' ', 1)[1])}</li>")
        elif line.startswith("## "):
            out.append(f"<h2>{_inline(line[3:])}</h2>")
        elif line.strip() and not line.startswith("# "):
            out.append(f"<p>{_inline(line)}</p>")
    return Markup("\n".join(out))  # noqa: S704 - every piece of text is escaped


def _inline(line: str) -> str:
    return _BOLD.sub(r"<strong>\1</strong>", str(escape(line)))
