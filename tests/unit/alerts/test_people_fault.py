"""What is wrong with a form of people, said in the reader's language."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from hanlu.alerts.people import fault
from hanlu.alerts.people.escalation import Policy
from hanlu.alerts.people.fault import Fault, FormError, form_error
from hanlu.alerts.people.rota import Rota
from hanlu.alerts.wording import words


def test_every_key_of_a_fault_has_its_text_in_both_languages() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(str(files("hanlu.alerts.people"))).rglob("*.py"))
    used = {f"people.fault.{each}" for each in re.findall(r'FormError\("(\w+)"', sources)}
    used |= set(re.findall(r'"((?:people|rules)\.fault\.\w+)"', sources)) | set(fault._FIELDS.values())
    assert len(used) > 40
    for key in used:
        assert words("zh")(key)
        assert words("en")(key)


def test_field_of_a_rota_is_named_as_the_form_names_it() -> None:
    shift = {"name": "a", "begins": "25:99", "ends": "08:00", "members": ["li"]}
    with pytest.raises(ValidationError) as caught:
        Rota.model_validate({"code": "n", "name": "", "starts_on": "x", "turn_days": 99, "shifts": [shift]})
    told = form_error(caught.value)
    assert not re.search(r"[a-z]{3}", told.text("zh"))
    assert "第 1 行，" in told.text("zh")
    assert "turn_days: must be at most 28." in told.text("en")


def test_step_without_anybody_is_told_with_its_row() -> None:
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate({"steps": [{"after_min": 0, "receivers": ["li"]}, {"after_min": 5}]})
    assert form_error(caught.value).text("zh").endswith("每一步至少要有一个接收人或一个值班表")
    assert str(form_error(caught.value)).endswith("a step needs a receiver or a rota")


def test_detail_with_braces_is_shown_as_it_was_given() -> None:
    assert FormError("receiver", "{x}").text("zh") == "没有这个接收人：{x}"
    assert Fault("people.fault.other", english="odd", field="zzz").text("zh") == "zzz：不对：odd"
