"""The sub-commands of `hanlu`: one file each, found by name.

`trace_verify.py` is `hanlu trace verify`, `gateways_declare__lost.py` is `hanlu gateways declare-lost`. A file offers

    configure(parser: argparse.ArgumentParser) -> None      its own flags
    run(args: argparse.Namespace, settings: Settings) -> int   0 done, 1 a check failed, 2 wrong use

and its docstring is the help text: first line the summary, the rest the description, which ends with examples. Files
are only read, not imported, until their command is asked for: `hanlu --help` stays fast whatever the commands need.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = ["CommandFile", "find_commands"]


@dataclass(frozen=True, slots=True)
class CommandFile:
    """One sub-command.

    Attributes:
        words: as typed, e.g. ("trace", "verify").
        summary: one line, without the full stop.
        module: its name below this package.
    """

    words: tuple[str, ...]
    summary: str
    module: str

    def load(self) -> ModuleType:
        """Import its file."""
        return importlib.import_module(f"{__name__}.{self.module}")


def find_commands() -> list[CommandFile]:
    """Return all sub-commands, in alphabetical order."""
    found = []
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        summary = doc.partition("\n")[0].rstrip(".")
        found.append(CommandFile(tuple(path.stem.replace("__", "-").split("_")), summary, path.stem))
    return found
