"""Named queries: each room keeps its SQL in `queries.sql`, where it can be read, prepared and tested as a whole.

A block is `-- name: words_with_underscores`, one or more `-- purpose` lines, then the statement, with named parameters
in psycopg's form `%(name)s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import LiteralString

from hanlu.core.errors import FatalError

__all__ = ["Queries", "load_queries"]

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries(Mapping[str, LiteralString]):
    """The statements of one room by name."""

    def __init__(self, package: str, blocks: Mapping[str, str]) -> None:
        """Keep `blocks` of `package`."""
        self._package = package
        self._blocks = dict(blocks)

    def __getitem__(self, name: str) -> LiteralString:
        """Return the statement; an unknown name is a programming error and names the file."""
        try:
            # The text comes from our own file, not from input: it is as literal as the source code.
            return self._blocks[name]
        except KeyError:
            raise KeyError(f"no query {name!r} in the queries.sql of {self._package}") from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._blocks)

    def __len__(self) -> int:
        """Return the number of statements."""
        return len(self._blocks)


def load_queries(package: str, resource: str = "queries.sql") -> Queries:
    """Return the named queries of `package`, e.g. `hanlu.ingest`.

    Raises:
        FatalError: a name stands twice, or a block has no purpose line.
    """
    text = files(package).joinpath(resource).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    blocks: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in blocks:
            raise FatalError(f"query {name} stands twice in {resource} of {package}")
        if not body.lstrip().startswith("--"):
            raise FatalError(f"query {name} in {resource} of {package} has no line that says its purpose")
        lines = [line for line in body.strip().splitlines() if not line.startswith("--")]
        blocks[name] = "\n".join(lines).strip().rstrip(";")
    return Queries(package, blocks)
