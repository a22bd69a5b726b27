"""How the commands over alarm rules reach the database, and what several of them print."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from hanlu.alerts.rules.assign import Versioned
from hanlu.alerts.rules.compare import Change
from hanlu.alerts.rules.file import RuleFile
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.parameters import Parameters
from hanlu.alerts.rules.store import read_facts, read_names, rules_in_force
from hanlu.alerts.rules.survey import clashes, strangers, survey
from hanlu.app.running import settings_of_running
from hanlu.app.settings import Settings
from hanlu.app.wiring import database_url
from hanlu.core.errors import UsageError
from hanlu.db.pool import Connection, connect

__all__ = [
    "Found",
    "add_database_flags",
    "author",
    "change_lines",
    "check_against",
    "plain",
    "rules_connection",
    "where",
]

_LOOSE = frozenset({"applies.metric", "applies.device_kind"})
"""Names that nothing may bear yet: a rule may be there before its first device."""


class Found:
    """What a check has found, told apart by whether it forbids an import."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def __str__(self) -> str:
        """Return everything, a line each; "" for nothing."""
        return "".join(f"{text}\n" for text in [*self.errors, *(f"warning: {each}" for each in self.warnings)])


def add_database_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flag that names a database directly, for machines where no Hanlu runs."""
    parser.add_argument("--database", metavar="URL", help="this database instead of the settings' or the running one's")


@contextmanager
def rules_connection(args: argparse.Namespace, settings: Settings) -> Iterator[Connection]:
    """Open a connection in the role of alerts, in autocommit, for the time of the block.

    Raises:
        UsageError: no settings file is named and no Hanlu runs on the data folder.
    """
    url = args.database or database_url(settings if args.config else settings_of_running(settings))
    with closing(connect(url, "hanlu_alerts", name="hanlu rules", autocommit=True)) as connection:
        yield connection


def author(given: str | None) -> str:
    """Return who the history shall name: `--author`, or the machine's user, marked as such."""
    if given is not None and not given.strip():
        raise UsageError("--author must name a person")
    return given.strip() if given else f"shell:{getpass.getuser()}"


def check_against(connection: Connection, file: RuleFile, found: Found, *, whole: bool = False) -> None:
    """Look at a file's rules as they would be among those in force: unknown names, limits, ties.

    Args:
        connection: any that may read rules and registry.
        file: without faults.
        found: is added to.
        whole: the file's rules replace all others.
    """
    facts = read_facts(connection)
    names = read_names(connection, facts)
    for rule in file.rules:
        for fault in strangers(rule, names):
            kept = found.warnings if fault.field in _LOOSE else found.errors
            kept.append(f"{rule.code}: {fault}")
    codes = {rule.code for rule in file.rules}
    others = [] if whole else [each for each in rules_in_force(connection) if each.rule.code not in codes]
    together = [*others, *(Versioned(rule, 0) for rule in file.rules)]
    told = set(found.errors)
    for code, fault in clashes([each.rule for each in together]):
        text = f"{code}: {fault}"
        if text not in told and (code in codes or fault.detail in codes):
            found.errors.append(text)
    for spot in survey(together, facts).spots:
        if spot.problem.code in codes or spot.problem.other in codes:
            more = f" (and on {spot.channels - 1} more channels)" if spot.channels > 1 else ""
            found.warnings.append(f"{spot.problem}{more}")


def where(rule: Rule) -> str:
    """Return where a rule holds, in a few words."""
    said = [f"{name}={value}" for name, value in rule.applies.model_dump(exclude_none=True).items()]
    return " ".join(said).replace("=True", "").replace("profiled=False", "not profiled") or "everywhere"


def plain(value: Any) -> str:
    """Return a value of a rule as people read it."""
    if value is None:
        return "(from the profile)"
    if isinstance(value, Parameters):
        shown = value.model_dump(mode="json", exclude_none=True)
        return ", ".join(f"{name} {plain(one)}" for name, one in shown.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def change_lines(changes: Sequence[Change]) -> Iterator[str]:
    """Yield what an import would do, one rule a paragraph."""
    marks = {"new": "+", "changed": "~", "withdrawn": "-"}
    for each in changes:
        version = f"version {each.seen} -> {each.seen + 1}" if each.seen else "version 1"
        yield (f"{marks[each.what]} {each.code}  {each.what}, {version}")
        for field in each.fields:
            yield (f"    {field.field}: {_said(field.before)} -> {_said(field.after)}")


def _said(value: Any) -> str:
    return "(not given)" if value is None else plain(value)
