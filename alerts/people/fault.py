"""What is wrong with a form of people, in the reader's language: a key of a text, what fills it in, and the field.

It is a UsageError for whoever calls `manage`, and a ValueError for pydantic's validators. Its own text is English, as
commands and logs are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from hanlu.alerts.wording import words
from hanlu.core.errors import UsageError

__all__ = ["Fault", "FormError", "form_error"]

_FIELDS: Final = {
    "name": "people.name",
    "code": "people.code",
    "starts_on": "people.rota.starts_on",
    "turn_days": "people.rota.turn_days",
    "handover": "people.rota.handover",
    "members": "people.shift.members",
    "begins": "people.shift.begins",
    "ends": "people.shift.ends",
    "days": "people.shift.days",
    "after_min": "people.step.after",
    "receivers": "people.step.receivers",
    "rotas": "people.step.rotas",
    "priorities": "people.step.priorities",
    "upward_min": "people.escalation.upward",
    "rounds": "people.escalation.rounds",
    "repeat_min": "people.escalation.repeat",
    "shifts": "people.fault.shifts",
    "steps": "people.escalation.steps",
    "key": "people.fault.key",
    **{each: f"people.field.{each}" for each in ("to", "url", "base_url", "mobiles", "numbers", "sign_name")},
    **{each: f"people.field.{each}" for each in ("template_code", "format")},
}
"""Fields, and what the form calls them."""
_LIMITS: Final = {
    "greater_than": ("rules.fault.above", "gt"),
    "greater_than_equal": ("rules.fault.least", "ge"),
    "less_than": ("rules.fault.below", "lt"),
    "less_than_equal": ("rules.fault.most", "le"),
    "string_too_long": ("rules.fault.long", "max_length"),
    "too_long": ("people.fault.many", "max_length"),
}
_PLAIN: Final = {
    "missing": "people.fault.missing",
    "string_too_short": "people.fault.missing",
    "too_short": "people.fault.missing",
    "string_pattern_mismatch": "people.fault.pattern",
    "int_parsing": "rules.fault.whole",
    "int_type": "rules.fault.whole",
    "int_from_float": "rules.fault.whole",
    "date_from_datetime_parsing": "people.fault.date",
    "date_parsing": "people.fault.date",
    "date_type": "people.fault.date",
    "time_parsing": "people.fault.time",
    "time_type": "people.fault.time",
}
"""pydantic's type, and the key of our text."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        key: of the text.
        detail: what the text fills in; never a secret.
        field: dotted, "" for the form as a whole.
        english: pydantic's own words where we have none.
    """

    key: str
    detail: str = ""
    field: str = ""
    english: str = ""

    def text(self, lang: str) -> str:
        """Return what is wrong in "zh" or "en", after the field's name."""
        what = words(lang)(self.key).format(detail=self.detail or self.english)
        return f"{self._where(lang)}: {what}" if self.field and lang == "en" else f"{self._where(lang)}{what}"

    def _where(self, lang: str) -> str:
        if lang == "en" or not self.field:
            return self.field
        *before, last = self.field.split(".")
        # `to.3` is the fourth of a list; `shifts.0.name` the name in the first shift.
        last = next((each for each in (last, *reversed(before)) if not each.isdigit()), last)
        number = next((f"第 {int(each) + 1} 行，" for each in before if each.isdigit()), "")
        name = words(lang)(_FIELDS[last]) if last in _FIELDS else last
        return f"{number}{name}："


class FormError(UsageError, ValueError):
    """A form of people is wrong; the message says what to change."""

    def __init__(self, key: str = "", detail: str = "", *, faults: tuple[Fault, ...] = ()) -> None:
        """Say one thing by the end of its key (`people.fault.<key>`), or several by `faults`."""
        self.faults = faults or (Fault(f"people.fault.{key}", detail),)
        super().__init__(self.text("en"))

    def text(self, lang: str) -> str:
        """Return what is wrong, in "zh" or "en"."""
        return ("; " if lang == "en" else "；").join(each.text(lang) for each in self.faults)


def form_error(error: ValidationError) -> FormError:
    """Return what pydantic found wrong as our own error; what was given is not repeated, for it may be secret."""
    return FormError(faults=tuple(_fault(each) for each in error.errors(include_url=False, include_input=False)))


def _fault(each: Mapping[str, Any]) -> Fault:
    where = ".".join(str(part) for part in each["loc"])
    context = each.get("ctx", {})
    ours = context.get("error")
    if isinstance(ours, FormError):
        return replace(ours.faults[0], field=where)
    if each["type"] in _LIMITS:
        key, part = _LIMITS[each["type"]]
        return Fault(key, str(context[part]), where)
    if each["type"] in _PLAIN:
        return Fault(_PLAIN[each["type"]], "", where)
    return Fault("people.fault.other", "", where, str(each["msg"]).removeprefix("Value error, "))
