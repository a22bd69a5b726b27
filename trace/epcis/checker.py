"""The walk through a document: problems with their places, and the rules for single values.

A `Rule` is a function of the checker, the value and its path; it notes what is wrong and never raises. `rules` puts
them together into the event types.

Source: EPCIS 2.0, section 7.3 (data types) and 10 (JSON binding).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hanlu.trace.epcis.event_tree import Namespaces
from hanlu.trace.epcis.hash_values import parse_instant
from hanlu.trace.epcis.vocabulary import WORDS_OF

__all__ = [
    "MAX_LIST",
    "MAX_PROBLEMS",
    "MAX_TEXT",
    "Checker",
    "Problem",
    "Rule",
    "a_boolean",
    "a_hex",
    "a_list_of",
    "a_number",
    "a_quantity",
    "a_text",
    "a_time",
    "a_unit",
    "a_uri",
    "a_word_of",
    "an_action",
    "an_object",
    "an_offset",
    "anything",
]

MAX_TEXT = 8192
"""Longest text in one field, characters."""

MAX_LIST = 20_000
"""Most entries in one list of an event."""

MAX_PROBLEMS = 100
"""Most problems that are kept of one document; more help nobody."""

_ACTIONS = frozenset({"ADD", "OBSERVE", "DELETE"})
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"{}|\\^`\x00-\x1f\x7f]+")
_OFFSET = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)")
_UOM = re.compile(r"[A-Z0-9]{2,3}")
_HEX = re.compile(r"[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Where, in the document's own names; empty for the document itself.
        message: What, for a person.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """Return ``path: message``."""
        return f"{self.path}: {self.message}" if self.path else self.message


Rule = Callable[["Checker", Any, str], None]


@dataclass(slots=True)
class Checker:
    """Gathers the problems of one event or document.

    Attributes:
        names: What prefixes and terms the context declares.
        problems: What was found, in the order of the walk; the first `MAX_PROBLEMS`.
        count: How many were found in all.
    """

    names: Namespaces
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def bad(self, path: str, message: str) -> None:
        """Note a problem."""
        self.count += 1
        if self.count <= MAX_PROBLEMS:
            self.problems.append(Problem(path, message))

    def fields(self, value: object, path: str, rules: Mapping[str, Rule], *, needed: Iterable[str] = ()) -> bool:
        """Check an object's standard fields by `rules`, and that any other is somebody's own.

        Returns:
            Whether `value` is an object at all.
        """
        if not isinstance(value, dict):
            self.bad(path, "must be an object")
            return False
        for name in needed:
            if name not in value:
                self.bad(f"{path}.{name}", "missing")
        for name, inner in value.items():
            inner_path = f"{path}.{name}"
            if name in rules:
                rules[name](self, inner, inner_path)
            else:
                self.own_field(name, inner_path)
        return True

    def own_field(self, name: str, path: str) -> None:
        """Check that `name` is somebody's own field with a known namespace."""
        if name in self.names.terms:
            return
        prefix, colon, local = name.partition(":")
        if not colon:
            self.bad(path, "unknown field")
        elif not local or (prefix not in self.names.prefixes and not _URI.fullmatch(name)):
            self.bad(path, "not a name")
        elif prefix not in self.names.prefixes and not local.startswith("//") and prefix != "urn":
            self.bad(path, f"prefix {prefix!r} is not declared in @context")


def a_text(checker: Checker, value: Any, path: str) -> None:
    """Text that says something, within `MAX_TEXT`."""
    if not isinstance(value, str) or not value.strip():
        checker.bad(path, "must be text")
    elif len(value) > MAX_TEXT:
        checker.bad(path, f"longer than {MAX_TEXT} characters")


def a_uri(checker: Checker, value: Any, path: str) -> None:
    """An absolute URI."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not _URI.fullmatch(value):
        checker.bad(path, "must be a URI")


def a_time(checker: Checker, value: Any, path: str) -> None:
    """An instant with seconds and zone."""
    if not isinstance(value, str) or parse_instant(value) is None:
        checker.bad(path, "must be a time with date, seconds and zone, such as 2026-07-01T06:30:00+08:00")


def an_offset(checker: Checker, value: Any, path: str) -> None:
    """An offset of local time."""
    if not isinstance(value, str) or not _OFFSET.fullmatch(value):
        checker.bad(path, "must be an offset between -14:00 and +14:00, such as +08:00")


def a_number(checker: Checker, value: Any, path: str) -> None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:  # NaN fails too
        checker.bad(path, "must be a number")


def a_quantity(checker: Checker, value: Any, path: str) -> None:
    """A number that is not negative."""
    before = checker.count
    a_number(checker, value, path)
    if checker.count == before and value < 0:
        checker.bad(path, "must not be negative")


def a_boolean(checker: Checker, value: Any, path: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        checker.bad(path, "must be true or false")


def a_hex(checker: Checker, value: Any, path: str) -> None:
    """Hexadecimal digits."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        checker.bad(path, "must be hexadecimal digits")


def a_unit(checker: Checker, value: Any, path: str) -> None:
    """A UN/CEFACT Recommendation 20 unit code."""
    if not isinstance(value, str) or not _UOM.fullmatch(value):
        checker.bad(path, "must be a UN/CEFACT unit of two or three characters, such as KGM")


def an_action(checker: Checker, value: Any, path: str) -> None:
    """One of the three actions."""
    if not isinstance(value, str) or value not in _ACTIONS:
        checker.bad(path, "must be ADD, OBSERVE or DELETE")


def anything(checker: Checker, value: Any, path: str) -> None:
    """Accept what other rules have checked or nobody restricts."""


def a_word_of(field_name: str) -> Rule:
    """Return the rule for a word of the CBV or a URI in its place."""
    words = WORDS_OF[field_name]

    def rule(checker: Checker, value: Any, path: str) -> None:
        if not isinstance(value, str) or not (value in words or _URI.fullmatch(value)):
            checker.bad(path, "must be a word of the CBV or a URI")

    return rule


def a_list_of(item_rule: Rule, *, least: int = 0, unique: bool = False) -> Rule:
    """Return the rule for a list whose every item keeps `item_rule`."""

    def rule(checker: Checker, value: Any, path: str) -> None:
        if not isinstance(value, list):
            checker.bad(path, "must be a list")
            return
        if len(value) < least:
            checker.bad(path, "must not be empty")
        if len(value) > MAX_LIST:
            checker.bad(path, f"more than {MAX_LIST} entries")
            return
        for place, item in enumerate(value):
            item_rule(checker, item, f"{path}[{place}]")
        texts = [item for item in value if isinstance(item, str)]
        if unique and len(texts) != len(set(texts)):
            checker.bad(path, "names something twice")

    return rule


def an_object(rules: Mapping[str, Rule], *, needed: Iterable[str] = (), own: bool = False) -> Rule:
    """Return the rule for an object.

    Args:
        rules: Its standard fields.
        needed: Those that must be there.
        own: Whether somebody's own fields may stand in it.
    """

    def rule(checker: Checker, value: Any, path: str) -> None:
        if not checker.fields(value, path, rules, needed=needed) or own:
            return
        for name in value:
            if name not in rules and ":" in name:
                checker.bad(f"{path}.{name}", "no own fields here")

    return rule
