"""Paths into JSON documents."""

from __future__ import annotations

import pytest

from hanlu.gateway.driver.json_path import MISSING, find, parse_path

DOCUMENT = {"a": {"b": [1, {"c": -18.2}], "d.e": None}, "温度": 4, "0": "zero"}


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("temp", ("temp",)),
        ("a.b[1].c", ("a", "b", 1, "c")),
        ("[0].t", (0, "t")),
        ('a."d.e"', ("a", "d.e")),
        ("a[0][2]", ("a", 0, 2)),
        ("0", ("0",)),
    ],
)
def test_path_is_read_as_steps(path: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(path) == steps


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a.[0]", 'a"b"', "a]b", '"'])
def test_text_that_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        parse_path(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[0]", 1),
        ("a.b[1].c", -18.2),
        ('a."d.e"', None),
        ("温度", 4),
        ("a.b[2]", MISSING),
        ("a.b.c", MISSING),
        ("a[0]", MISSING),
        ("b", MISSING),
        ("a.b[1].c.d", MISSING),
    ],
)
def test_value_is_found_or_missing(path: str, value: object) -> None:
    assert find(DOCUMENT, path) is value or find(DOCUMENT, path) == value
