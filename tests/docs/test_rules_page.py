"""The page about rules names every field with its default, and every kind of alarm has a runbook in both languages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from hanlu.alerts.kind import Kind
from hanlu.alerts.rules import runbook
from hanlu.alerts.rules.check import check_rule
from hanlu.alerts.rules.form import applies_inputs, parameter_inputs, rationalization_inputs, typed, values_of
from hanlu.alerts.rules.model import Applies, Rationalization, Rule
from hanlu.alerts.rules.parameters import PARAMETERS
from hanlu.alerts.rules.say import field_hint, field_name, place, sentence
from hanlu.alerts.rules.store import shipped_rules
from hanlu.app.commands import find_commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
HEADINGS = 6
"""Meaning comes first; then first look, causes, what to do, moving the goods, the technician, the note."""


def section(kind: Kind) -> str:
    """Return what the page says of a kind's parameters."""
    return next(part for part in PAGE.split("\n### ") if f"`{kind.value}`" in part.split("\n", 1)[0])


@pytest.mark.parametrize("kind", list(Kind))
def test_every_parameter_of_a_kind_is_documented_with_its_default(kind: Kind) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", section(kind), re.MULTILINE))
    fields = PARAMETERS[kind].model_fields
    assert set(rows) == set(fields)
    for name, info in fields.items():
        if info.is_required():
            assert rows[name] == "required", name
        elif isinstance(info.default, bool):
            assert rows[name] == str(info.default).lower(), name
        elif isinstance(info.default, int | float):
            assert float(rows[name]) == info.default, name
        elif isinstance(info.default, str):
            assert rows[name] == f"`{info.default}`", name


def test_every_field_of_a_rule_is_documented() -> None:
    for name in (*Rule.model_fields, *Applies.model_fields):
        assert f"`{name}`" in PAGE or f"[rule.{name}]" in PAGE or f"`{name}." in PAGE, name
    assert "time_to_respond_min" in PAGE


def test_the_example_on_the_page_is_a_rule() -> None:
    example = next(part for part in PAGE.split("```") if part.startswith("toml\n")).removeprefix("toml\n")
    assert isinstance(check_rule(tomllib.loads(example)["rule"][0]), Rule)


def test_every_command_over_rules_is_on_the_page() -> None:
    names = {" ".join(each.words) for each in find_commands() if each.words[0] == "rules"}
    assert names == {f"rules {word}" for word in ("check", "export", "history", "import", "list", "show", "test")}
    assert all(f"hanlu {name}" in PAGE for name in names)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("lang", runbook.LANGUAGES)
def test_every_kind_of_alarm_has_a_whole_runbook(kind: Kind, lang: str) -> None:
    text = runbook.text(kind, lang)
    assert text.startswith("# ")
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == HEADINGS
    assert all(len(part.strip()) > 3 for part in re.split(r"^## .*$", text, flags=re.MULTILINE))
    html = runbook.html(kind, lang)
    assert html.count("<h2>") == HEADINGS
    assert html.count("<li>") == html.count("</li>") == len(re.findall(r"^(?:- |\d+\. )", text, re.MULTILINE))
    assert html.count("<ol>") == html.count("</ol>") == 2
    assert "**" not in html
    assert "## " not in html


@pytest.mark.parametrize("kind", list(Kind))
def test_the_runbook_in_the_docs_is_the_console_s(kind: Kind) -> None:
    path = ROOT / "docs" / "runbooks" / f"{kind.value}.md"
    assert path.read_text(encoding="utf-8") == runbook.document(kind)


def test_no_runbook_is_left_over() -> None:
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"} == set(Kind)


def test_alarms_link_to_their_runbook() -> None:
    templates = ROOT / "alerts" / "templates" / "alerts"
    for name in ("alarm.html", "_alarms.html"):
        assert "/console/runbook/{{ alarm.kind }}" in (templates / name).read_text(encoding="utf-8")


def test_markup_in_a_runbook_is_shown_and_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runbook, "text", lambda kind, lang: "# t\n\n<script>1</script> **b <i>**\n\n- <a>\n")
    html = runbook.html.__wrapped__(Kind.DOOR, "en")
    assert html == (
        "<p>&lt;script&gt;1&lt;/script&gt; <strong>b &lt;i&gt;</strong></p>\n<ul>\n<li>&lt;a&gt;</li>\n</ul>"
    )


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_input_of_the_form_has_a_name_and_a_hint(kind: Kind, lang: str) -> None:
    for each in (*parameter_inputs(kind), *applies_inputs(kind), *rationalization_inputs()):
        assert field_name(each.label, lang) != each.label, each.label
        if not each.name.startswith("rationalization") or each.label == "time_to_respond_min":
            assert field_hint(each.label, lang), each.label
    assert len(rationalization_inputs()) == len(Rationalization.model_fields)


@pytest.mark.parametrize("rule", shipped_rules(), ids=lambda rule: rule.code)
def test_a_rule_survives_the_form_and_can_be_said_in_words(rule: Rule) -> None:
    assert check_rule(typed(rule.kind, values_of(rule))) == rule
    for lang in ("zh", "en"):
        text = sentence(rule, lang) + place(rule, lang)
        assert "{" not in text
        assert "None" not in text
