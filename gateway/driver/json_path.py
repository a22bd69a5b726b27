"""Where a value stands in a JSON document: `data.temp`, `sensors[0].t`, `"odd.key".v`. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

__all__ = ["MISSING", "find", "parse_path"]

MISSING: Final = object()
"""What is found where nothing is; not None, which JSON can say."""

_STEP: Final = re.compile(r'(?P<dot>\.?)(?:"(?P<quoted>[^"]+)"|(?P<plain>[^.\[\]"]+)|\[(?P<index>\d{1,6})\])')


@lru_cache(maxsize=4_096)
def parse_path(path: str) -> tuple[str | int, ...]:
    """Return the steps of a path: keys and positions.

    Raises:
        ValueError: it is no path; the message shows where.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        key = step and (step["quoted"] or step["plain"])
        # A dot stands between a key and what is before it, never before an index or at the start.
        if step is None or bool(step["dot"]) != bool(key and steps):
            raise ValueError(f"{path!r} is no path: after {path[:at]!r} comes neither .key nor [number]")
        steps.append(key or int(step["index"]))
        at = step.end()
    if not steps:
        raise ValueError("a path has at least one step")
    return tuple(steps)


def find(document: Any, path: str) -> Any:
    """Return what stands at `path`, or MISSING."""
    for step in parse_path(path):
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return MISSING
            document = document[step]
        else:
            if not isinstance(document, dict) or step not in document:
                return MISSING
            document = document[step]
    return document
