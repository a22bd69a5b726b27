"""Whether something is a rule, field by field: every fault names the field and says what to write instead.

Rule files and the console's form use the same checks. What needs the registry (does that zone exist, which limits does
that profile have) is told by `survey.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hanlu.alerts.kind import Kind
from hanlu.alerts.rules.model import Applies, Rationalization, Rule
from hanlu.alerts.rules.parameters import PARAMETERS

__all__ = ["Fault", "check_rule"]


class Fault(NamedTuple):
    """One thing wrong with a rule.

    Attributes:
        field: dotted, as in a file: `parameters.on_delay_s`.
        reason: ends a key `rules.fault.…`.
        detail: what the text fills in: a limit, a near word.
    """

    field: str
    reason: str
    detail: str = ""

    def text(self, lang: str = "en") -> str:
        """Return what is wrong and what to write instead, in "zh" or "en", without the field's name."""
        from hanlu.alerts.wording import words

        return words(lang)(f"rules.fault.{self.reason}").format(detail=self.detail)

    def __str__(self) -> str:
        """Return field and English text."""
        return f"{self.field}: {self.text()}"


_LIMITS: Final = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("most", "le"),
    "string_too_long": ("long", "max_length"),
    "literal_error": ("choice", "expected"),
}
"""pydantic's type: our reason, and the part of its context that is our detail."""

_PLAIN: Final = {
    "missing": "missing",
    "string_too_short": "empty",
    "finite_number": "finite",
    "float_parsing": "number",
    "float_type": "number",
    "int_parsing": "whole",
    "int_type": "whole",
    "int_from_float": "whole",
    "bool_parsing": "boolean",
    "bool_type": "boolean",
    "string_type": "text",
    "model_type": "table",
    "model_attributes_type": "table",
    "dict_type": "table",
}
_WHOLE: Final = {
    "unit_missing": "parameters.unit",
    "unit_alone": "parameters.unit",
    "beyond_setpoint": "parameters.beyond",
    "profile_unprofiled": "applies.profiled",
    "high_unprofiled": "applies.profiled",
    "goods_place": "applies",
}
"""Faults of several fields together: which one is named."""


def check_rule(data: Mapping[str, Any]) -> Rule | list[Fault]:
    """Return the rule that `data` says, or everything that is wrong with it."""
    faults: list[Fault] = []
    kind = data.get("kind")
    known = Kind(kind) if isinstance(kind, str) and kind in set(Kind) else None
    if isinstance(kind, str) and known is None:
        near = difflib.get_close_matches(kind, list(Kind), n=1)
        faults.append(Fault("kind", "kind_near", near[0]) if near else Fault("kind", "kind", ", ".join(Kind)))
    elif known is None:
        faults.append(Fault("kind", "missing" if kind is None else "text"))
    given = data.get("parameters", {})
    if not isinstance(given, Mapping):
        faults.append(Fault("parameters", "table"))
    elif known is not None:
        model = PARAMETERS[known]
        try:
            model.model_validate(dict(given))
        except ValidationError as error:
            faults += [_fault(each, model, "parameters") for each in _details(error)]
    bare = dict(data)
    if faults:  # those of kind and parameters are told; judge the rest as of a kind that needs no parameters
        bare |= {"kind": Kind.DOOR, "parameters": {}}
    try:
        rule = Rule.model_validate(bare)
    except ValidationError as error:
        faults += [_fault(each, Rule, "") for each in _details(error)]
    else:
        if not faults:
            return rule
    return faults


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def _fault(each: ErrorDetails, model: type[BaseModel], before: str) -> Fault:
    path = [str(part) for part in each["loc"]]
    where = ".".join([before, *path] if before else path)
    kind, context = each["type"], each.get("ctx", {})
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], _fields(model, path[:-1]), n=1, cutoff=0.5)
        if near:
            return Fault(where, "unknown_near", near[0])
        return Fault(where, "unknown", ", ".join(_fields(model, path[:-1])))
    if kind in _LIMITS:
        reason, part = _LIMITS[kind]
        return Fault(where, reason, _plain(context[part]))
    if kind in _WHOLE:
        return Fault(_WHOLE[kind], kind)
    if kind == "string_pattern_mismatch":
        return Fault(where, "channel" if where == "applies.channel" else "code")
    return Fault(where, _PLAIN[kind]) if kind in _PLAIN else Fault(where, "other", each["msg"])


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    inner: dict[str, type[BaseModel]] = {"applies": Applies, "rationalization": Rationalization}
    return list((inner.get(path[0], model) if path else model).model_fields)


def _plain(limit: Any) -> str:
    if isinstance(limit, int | float):
        return str(int(limit)) if float(limit).is_integer() else repr(float(limit))
    return str(limit).replace("'", "").replace(" or ", " / ")
