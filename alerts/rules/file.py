"""Rules as a TOML file: `[[rule]]` tables, read with faults that name file, line, rule, field and remedy, and written.

The format stands in `docs/reference/rules.md`. A field that may be empty is left out; TOML has no word for nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import tomli_w

from hanlu.alerts.rules.check import Fault, check_rule
from hanlu.alerts.rules.model import Rule
from hanlu.core.errors import UsageError

__all__ = ["MOST_BYTES", "FileFault", "RuleFile", "parse_rules", "read_rules", "write_rules"]

MOST_BYTES: Final = 4_000_000
"""A file of rules is not larger; a province's has a few hundred kilobytes."""
_TABLE: Final = re.compile(r"^\s*\[\[\s*rule\s*\]\]", re.MULTILINE)


class FileFault(NamedTuple):
    """A fault with where it stands.

    Attributes:
        file: name.
        line: of the rule's `[[rule]]`, from 1; 0 where no line can be told.
        code: of the rule, or `rule 3` for one without.
        fault: what is wrong.
    """

    file: str
    line: int
    code: str
    fault: Fault

    def __str__(self) -> str:
        """Return it as compilers do: `file:line: rule: field: text`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.code + ': ' if self.code else ''}{self.fault}"


class RuleFile(NamedTuple):
    """What a file says.

    Attributes:
        rules: those that are whole, in the order of the file.
        faults: everything wrong with the others.
    """

    rules: tuple[Rule, ...]
    faults: tuple[FileFault, ...]


def read_rules(path: Path) -> RuleFile:
    """Read a file.

    Raises:
        UsageError: it cannot be read, or is too large to be one of rules.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path} is larger than {MOST_BYTES:,} bytes; that is no file of rules")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    return parse_rules(text, path.name)


def parse_rules(text: str, name: str = "rules.toml") -> RuleFile:
    """Read the text of a file; `name` is what faults call it."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        fault = FileFault(name, int(found[1]) if found else 0, "", Fault("toml", "toml", str(error)))
        return RuleFile((), (fault,))
    top = [FileFault(name, 0, "", Fault(key, "unknown", "[[rule]]")) for key in table if key != "rule"]
    tables = table.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(each, Mapping) for each in tables):
        return RuleFile((), (*top, FileFault(name, 0, "", Fault("rule", "tables"))))
    return _each(tables, _lines(text), name, top)


def _each(tables: list[dict[str, Any]], lines: list[int], name: str, faults: list[FileFault]) -> RuleFile:
    rules: dict[str, Rule] = {}
    seen: dict[str, int] = {}
    for index, data in enumerate(tables):
        line = lines[index] if index < len(lines) else 0
        code = data.get("code")
        label = code if isinstance(code, str) and code else f"rule {index + 1}"
        checked = check_rule(data)
        if isinstance(code, str) and code in seen:
            faults.append(FileFault(name, line, label, Fault("code", "duplicate", str(seen[code]))))
        elif isinstance(code, str):
            seen[code] = line
        if isinstance(checked, Rule):
            rules.setdefault(checked.code, checked)
        else:
            faults += [FileFault(name, line, label, fault) for fault in checked]
    return RuleFile(tuple(rules.values()), tuple(faults))


def write_rules(rules: Iterable[Rule], heading: str = "") -> str:
    """Return the text of a file that says these rules; reading it again gives the same ones.

    Args:
        rules: in the order they shall stand.
        heading: lines of a comment at the top, without the `#`.
    """
    lead = "".join(f"# {line}\n".replace("# \n", "#\n") for line in heading.splitlines())
    tables = [each.model_dump(mode="json", exclude_none=True) for each in rules]
    return lead + ("\n" if lead else "") + tomli_w.dumps({"rule": tables}, multiline_strings=False)


def _lines(text: str) -> list[int]:
    """Return the lines, from 1, on which `[[rule]]` tables begin."""
    return [text.count("\n", 0, each.start()) + 1 for each in _TABLE.finditer(text)]
