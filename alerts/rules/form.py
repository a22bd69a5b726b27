"""A rule as a form: which fields there are, made from the models themselves, and what was typed as a rule again.

Names of inputs are the dotted names of rule files (`parameters.on_delay_s`), so a fault found by `check.py` belongs to
the input of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from hanlu.alerts.kind import ITEM_KINDS, Kind
from hanlu.alerts.rules.model import Applies, Rationalization, Rule
from hanlu.alerts.rules.parameters import PARAMETERS

__all__ = ["Input", "applies_inputs", "parameter_inputs", "rationalization_inputs", "typed", "values_of"]

_LISTS: Final = {
    "metric": "metrics",
    "profile": "profiles",
    "device_kind": "device_kinds",
    "organisation": "organisations",
    "site": "sites",
    "zone": "zones",
    "gateway": "gateways",
}
"""Fields of `applies` that the page can offer names for."""


class Input(NamedTuple):
    """One input of the form.

    Attributes:
        name: dotted, as in a rule file.
        label: ends a key `rules.field.…`.
        sort: "number", "whole", "choice", "flag", "text" or "prose".
        least: smallest value, "" for none; `most` likewise.
        open: may stay empty, which means the limit profile or nothing.
        choices: of a "choice".
        names: which of the registry's names it may be, "" for none.
        default: what it says when nothing is typed.
    """

    name: str
    label: str
    sort: str
    least: str = ""
    most: str = ""
    open: bool = False
    choices: tuple[str, ...] = ()
    names: str = ""
    default: Any = None


def parameter_inputs(kind: Kind) -> tuple[Input, ...]:
    """Return the inputs of a kind's parameters."""
    fields = PARAMETERS[kind].model_fields.items()
    return tuple(_input(f"parameters.{name}", name, info) for name, info in fields)


def applies_inputs(kind: Kind) -> tuple[Input, ...]:
    """Return the inputs that say where a rule holds; rules about goods have fewer."""
    names = ("organisation", "site") if kind in ITEM_KINDS else tuple(Applies.model_fields)
    found = []
    for name in names:
        each = _input(f"applies.{name}", name, Applies.model_fields[name])
        if name == "profiled":
            each = each._replace(sort="choice", choices=("true", "false"))
        found.append(each._replace(names=_LISTS.get(name, ""), open=True))
    return tuple(found)


def rationalization_inputs() -> tuple[Input, ...]:
    """Return the inputs of the rationalization, each text in both languages."""
    made = (_input(f"rationalization.{name}", name, info) for name, info in Rationalization.model_fields.items())
    return tuple(each if each.sort == "whole" else each._replace(sort="prose") for each in made)


def values_of(rule: Rule) -> dict[str, str]:
    """Return what the inputs say for a rule."""
    values: dict[str, str] = {}
    for name, value in rule.model_dump(mode="json").items():
        parts = {f"{name}.{inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
        values |= {key: _shown(one) for key, one in parts.items()}
    return values


def typed(kind: Kind, values: Mapping[str, str]) -> dict[str, Any]:
    """Return what was typed as a rule's data, for `check_rule`; an empty input is a field not given.

    What is no number stays the text it is, so that the check names the field.
    """
    data: dict[str, Any] = {"kind": kind.value, "applies": {}, "parameters": {}, "rationalization": {}}
    for name in ("code", "title_zh", "title_en"):
        if text := values.get(name, "").strip():
            data[name] = text
    for each in (*applies_inputs(kind), *parameter_inputs(kind), *rationalization_inputs()):
        table, field = each.name.split(".", 1)
        text = values.get(each.name, "").replace("\r\n", "\n").strip()
        if each.sort == "flag":
            data[table][field] = text == "true"
        elif text:
            data[table][field] = text == "true" if field == "profiled" else _value(each.sort, text)
    data["enabled"] = values.get("enabled", "true") == "true"
    data["latch"] = values.get("latch") == "true"
    for name in ("priority", "re_alarm_min"):
        if text := values.get(name, "").strip():
            data[name] = _value("whole", text)
    return data


def _input(name: str, label: str, info: FieldInfo) -> Input:
    kind, may_be_none = _bare(info.annotation)
    bounds = [*info.metadata, *_bounds(info.annotation)]
    default = None if info.is_required() else info.default
    low = next((_number(each.ge) for each in bounds if isinstance(each, Ge)), "")
    high = next((_number(each.le) for each in bounds if isinstance(each, Le)), "")
    low = next((_number(each.gt) for each in bounds if isinstance(each, Gt)), low)
    if get_origin(kind) is Literal:
        return Input(name, label, "choice", choices=get_args(kind), open=may_be_none, default=default)
    sort = {bool: "flag", int: "whole", float: "number"}.get(kind, "text")
    return Input(name, label, sort, low, high, may_be_none, default=default)


def _bare(annotation: Any) -> tuple[Any, bool]:
    """Return the type inside Optional and Annotated, and whether None may stand."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        inner = [each for each in get_args(annotation) if each is not NoneType]
        return _bare(inner[0])[0], True
    return annotation, False


def _bounds(annotation: Any) -> list[Any]:
    """Return the limits that stand inside Optional."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        found = _bounds(inner)
        for each in marks:
            found += each.metadata if isinstance(each, FieldInfo) else [each]
        return found
    if get_origin(annotation) in {Union, UnionType}:
        return [bound for each in get_args(annotation) for bound in _bounds(each)]
    return []


def _value(sort: str, text: str) -> Any:
    try:
        return int(text) if sort == "whole" else float(text) if sort == "number" else text
    except ValueError:
        return text


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: Any) -> str:
    """Return a number as one types it: 20 for 20.0."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
