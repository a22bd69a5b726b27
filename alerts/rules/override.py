"""Exceptions: a general rule copied for one room, with other numbers or switched off."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from hanlu.alerts.rules.model import Rule

__all__ = ["override_code", "override_data"]

_LONGEST: Final = 60
_TITLE: Final = 120
_MARK: Final = 6


def override_code(code: str, place: str) -> str:
    """Return the code of the exception to a rule at a place; the same two always give the same one.

    A place whose name does not fit into a code, or is too long for it, is shortened and told apart by a digest.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", place.lower()).strip("-")
    made = f"{code}-{plain}" if plain else code
    if plain == place and len(made) <= _LONGEST:
        return made
    mark = hashlib.sha256(f"{code}/{place}".encode()).hexdigest()[:_MARK]
    return f"{made[: _LONGEST - _MARK - 1].rstrip('-')}-{mark}"


def override_data(rule: Rule, zone: str, **changes: Any) -> dict[str, Any]:
    """Return the data of a rule's exception for one zone, to be checked like any other.

    Args:
        rule: the general one.
        zone: code.
        changes: fields of the rule; `parameters` are put over the rule's own.
    """
    data = rule.model_dump(mode="json", exclude_none=True)
    data["code"] = override_code(rule.code, zone)
    data["applies"] = {**data["applies"], "zone": zone}
    for name in ("title_zh", "title_en"):
        data[name] = f"{data[name][: _TITLE - len(zone) - 3]} · {zone}"
    data["parameters"] = {**data["parameters"], **changes.pop("parameters", {})}
    return data | changes
