"""Reading JSON that somebody else wrote, before anything else touches it.

Theory. Python's reader calls itself for each bracket and trusts the interpreter's recursion limit to stop it; libraries
raise that limit (the chain's do), and then a file of nothing but brackets ends the process. So brackets are counted
first, in one pass. A field that stands twice in one object is refused, because readers disagree on which one counts.

Source: RFC 8259, sections 4 (unique names), 8.1 (UTF-8), 9 (limits are the reader's to set).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

__all__ = ["parse_json"]

_TOKEN = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[\]{}]', re.DOTALL)


def parse_json(data: bytes, *, max_bytes: int, max_depth: int) -> Any:
    """Return the JSON value in `data`.

    Args:
        data: JSON text in UTF-8.
        max_bytes: Longest text accepted.
        max_depth: Deepest nesting of objects and lists accepted.

    Raises:
        ValueError: Says in words what is wrong.
    """
    if len(data) > max_bytes:
        raise ValueError(f"{len(data)} bytes, more than the {max_bytes} accepted")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if _nesting(text) > max_depth:
        raise ValueError(f"nested deeper than {max_depth}")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def _nesting(text: str) -> int:
    """Return how deep brackets are nested, those within strings left out."""
    depth = deepest = 0
    for match in _TOKEN.finditer(text):
        bracket = match[0]
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"the field {counts.most_common(1)[0][0]!r} stands twice in one object")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
