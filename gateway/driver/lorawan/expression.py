"""Arithmetic of a codec file: a parser of its own instead of `eval`; pure and bounded.

Numbers, names, `+ - * / ^ ( )` and a few functions, with the usual precedence; `^` binds tightest and to the right, so
`-x^2` is `-(x^2)`. There is nothing else: no attribute, no call of anything not listed, no loop.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["FUNCTIONS", "MAX_LENGTH", "Expression", "parse"]

MAX_LENGTH: Final = 500
"""Longest expression, characters."""
_MAX_DEPTH: Final = 40
"""Deepest nesting of parentheses, signs and powers."""

_Step = Callable[[list[float], Mapping[str, float]], None]
_TOKEN: Final = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\S))")

FUNCTIONS: Final[dict[str, tuple[int, Callable[..., float]]]] = {
    "abs": (1, abs),
    "exp": (1, math.exp),
    "floor": (1, lambda value: float(math.floor(value))),
    "ln": (1, math.log),
    "log10": (1, math.log10),
    "max": (2, max),
    "min": (2, min),
    "sqrt": (1, math.sqrt),
}
"""Functions by name, with the number of their arguments."""

_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "^": math.pow,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: as written.
        names: the names it needs values for.
    """

    text: str
    names: frozenset[str]
    _steps: tuple[_Step, ...] = field(repr=False, compare=False)

    def __call__(self, values: Mapping[str, float]) -> float:
        """Return its value; NaN where the arithmetic has none (division by zero, logarithm of a negative number).

        Raises:
            KeyError: a name has no value.
        """
        stack: list[float] = []
        try:
            for step in self._steps:
                step(stack, values)
        except (ArithmeticError, ValueError):
            return math.nan
        return stack[0]


def parse(text: str) -> Expression:
    """Return the expression `text` says.

    Raises:
        ValueError: it is no expression; the message names the place.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} characters, this one has {len(text)}")
    parser = _Parser(text)
    parser.sum(0)
    if parser.word:
        parser.fail("expected an operator")
    return Expression(text, frozenset(parser.names), tuple(parser.steps))


class _Parser:
    """Recursive descent; leaves the steps of a stack machine in `steps`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps: list[_Step] = []
        self.names: set[str] = set()
        self.at = 0
        self.word = ""
        self.kind = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.word, self.kind, self.at = "", 0, len(self.text)
            return
        self.kind = match.lastindex or 0
        self.word = match.group(self.kind)
        self.at = match.end()

    def fail(self, what: str) -> None:
        found = repr(self.word) if self.word else "the end"
        raise ValueError(f"{what} where {found} stands (character {self.at}) in {self.text!r}")

    def expect(self, word: str) -> None:
        if self.word != word:
            self.fail(f"expected {word!r}")
        self.advance()

    def sum(self, depth: int) -> None:
        self.product(depth)
        while self.word in ("+", "-"):
            self.binary(self.product, depth)

    def product(self, depth: int) -> None:
        self.sign(depth)
        while self.word in ("*", "/"):
            self.binary(self.sign, depth)

    def sign(self, depth: int) -> None:
        if self.word not in ("+", "-"):
            self.power(depth)
            return
        negative = self.word == "-"
        self.advance()
        self.sign(self.deeper(depth))
        if negative:
            self.steps.append(_negate)

    def power(self, depth: int) -> None:
        self.atom(depth)
        if self.word == "^":
            self.advance()
            self.sign(self.deeper(depth))
            self.steps.append(_apply("^"))

    def atom(self, depth: int) -> None:
        word, kind = self.word, self.kind
        if kind == 1:
            self.advance()
            self.steps.append(_push(float(word)))
        elif kind == 2:
            self.advance()
            self.name(word, self.deeper(depth))
        elif word == "(":
            self.advance()
            self.sum(self.deeper(depth))
            self.expect(")")
        else:
            self.fail("expected a number, a name or '('")

    def name(self, name: str, depth: int) -> None:
        if self.word != "(":
            self.names.add(name)
            self.steps.append(lambda stack, values: stack.append(float(values[name])))
            return
        known = FUNCTIONS.get(name)
        if known is None:
            raise ValueError(f"there is no function {name!r}; there are {', '.join(FUNCTIONS)}")
        self.advance()
        self.sum(depth)
        for _ in range(known[0] - 1):
            self.expect(",")
            self.sum(depth)
        self.expect(")")
        self.steps.append(_call(*known))

    def binary(self, right: Callable[[int], None], depth: int) -> None:
        operator = self.word
        self.advance()
        right(depth)
        self.steps.append(_apply(operator))

    def deeper(self, depth: int) -> int:
        if depth >= _MAX_DEPTH:
            self.fail(f"nested deeper than {_MAX_DEPTH}")
        return depth + 1


def _push(number: float) -> _Step:
    return lambda stack, _values: stack.append(number)


def _negate(stack: list[float], _values: Mapping[str, float]) -> None:
    stack[-1] = -stack[-1]


def _apply(operator: str) -> _Step:
    return _call(2, _OPERATORS[operator])


def _call(arguments: int, function: Callable[..., float]) -> _Step:
    def step(stack: list[float], _values: Mapping[str, float]) -> None:
        given = stack[-arguments:]
        del stack[-arguments:]
        stack.append(function(*given))

    return step
