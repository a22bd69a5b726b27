"""Arithmetic of codec files: nothing but arithmetic, and bounded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.gateway.driver.lorawan.expression import MAX_LENGTH, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 - 3 - 4", -5),
        ("64 / 4 / 2", 8),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("2^-1", 0.5),
        ("--x", 5),
        ("+x - -x", 10),
        ("1.5e2 + .5", 150.5),
        ("max(min(x, 3), -1)", 3),
        ("abs(-x) + floor(2.9)", 7),
        ("sqrt(16) + ln(exp(2)) + log10(1000)", 9),
        ("(x0 + x1 * 65536) / 8388608", (1 + 2 * 65536) / 8388608),
    ],
)
def test_expression_has_the_usual_precedence(text: str, value: float) -> None:
    assert parse(text)({"x": 5, "x0": 1, "x1": 2}) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1 / x", "ln(x)", "ln(-1)", "sqrt(-1)", "(0 - 8)^0.5", "10^400", "exp(1000)", "0^-1"])
def test_what_has_no_value_is_no_number(text: str) -> None:
    assert not math.isfinite(parse(text)({"x": 0}))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "1 +", "(1", "1)", "1 2", "x x", "max(1)", "max(1, 2, 3)", "min 1", "__import__('os')", "x.real",
        "x[0]", "eval(1)", "1 if x else 2", "1; 2", "lambda: 1", "1 == 2", "1 // 2", "0x10", "1_000", "'a'", "1 ** 2",
        "(" * 100 + "1" + ")" * 100, "-" * 100 + "1", "1" + "^1" * 100, "1+" * MAX_LENGTH + "1",
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_names_are_told() -> None:
    assert parse("x0 * R + max(Pmin, 2)").names == {"x0", "R", "Pmin"}


@given(st.text(alphabet="x01.+-*/^()e, maxin", max_size=60), st.floats(allow_nan=False))
def test_any_text_is_refused_or_gives_a_float(text: str, x: float) -> None:
    try:
        expression = parse(text)
    except ValueError:
        return
    values = dict.fromkeys(expression.names, x)
    assert isinstance(expression(values), float)


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_expression_agrees_with_python(a: int, b: int) -> None:
    assert parse("(x0 - 16384) / 32768 * (x1 + 1) - x0^2")({"x0": a, "x1": b}) == pytest.approx(
        (a - 16384) / 32768 * (b + 1) - a**2
    )
