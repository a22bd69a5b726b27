"""docs/lossless.md names tests and faults that are there, all fourteen points, and every fault known from elsewhere."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from hanlu.app.faults.catalogue import FAULTS
from hanlu.app.faults.special import SPECIALS

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "lossless.md").read_text(encoding="utf-8")

KNOWN = {
    "thingsboard": (
        468, 3209, 5029, 5238, 5561, 5600, 6221, 6492, 6576, 6880, 7811, 7943, 7990, 8520, 8614, 9625, 9870, 9959,
        10081, 10590, 10860, 11803, 12501, 12755, 14210,
    ),
    "thingsboard-gateway": (284, 509, 959, 1114, 1446, 1483, 1507, 1523, 1862, 2124, 2155, 2157),
    "paho.mqtt.python": (223, 502, 634, 857),
    "telegraf": (802, 5536, 16500, 17200),
    "fluent-bit": (2688, 3060, 3355, 5166, 9115),
    "stream-manager-sdk-python": (21,),
    "edgex-docs": (169,),
    "app-service-configurable": (318,),
    "app-functions-sdk-go": (1516, 1526),
    "emqx": (9188, 10404, 10719, 11777),
    "emqx-docs": (2423,),
    "basicstation": (115,),
    "chirpstack-mqtt-forwarder": (68,),
    "timescaledb": (5801, 6063, 7672, 8400),
    "Home Assistant": (380, 4616, 4789),
}  # fmt: skip
"""What is on record in others' trackers about lost data and false alarms: nothing may leave this list."""

NAMED = sorted(set(re.findall(r"`((?:\w+/)+test_\w+\.py)::([\w:]+)`", PAGE)))
FAULTS_NAMED = sorted(
    {
        name
        for words in re.findall(r"\bfaults? ((?:`[a-z0-9-]+`(?:, )?)+)", PAGE)
        for name in re.findall(r"`(.+?)`", words)
    }
)


@cache
def named_in(file: str) -> frozenset[str]:
    """Return the node ids below a test file, read and not imported: `test_x` and `TestY::test_x`."""
    found = set()
    for node in ast.parse((TESTS / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return frozenset(found)


def rows_of(title: str) -> list[list[str]]:
    """Return the cells of the table rows in a section, without its head."""
    section = re.split(r"^#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_the_page_names_is_there(file: str, test: str) -> None:
    assert test in named_in(file)


def test_every_word_that_looks_like_a_test_is_one() -> None:
    assert len(NAMED) > 60
    assert set(re.findall(r"\btest_\w+(?!\.py)\b", re.sub(r"test_\w+\.py", "", PAGE))) == {
        test.rpartition("::")[2] or test for _, test in NAMED
    }


def test_every_fault_the_page_names_is_there() -> None:
    assert len(FAULTS_NAMED) > 10
    assert set(FAULTS_NAMED) <= {each.name for each in FAULTS} | {each.name for each in SPECIALS}


def test_fourteen_points_each_have_their_tests() -> None:
    rows = rows_of("The fourteen points")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 15)]
    assert [row[0] for row in rows if "::test_" not in row[2]] == []


@pytest.mark.parametrize("title", ["On the gateway", "Broker, ingest and database", "Alarms that rest on data"])
def test_every_known_fault_has_its_test(title: str) -> None:
    rows = rows_of(title)
    assert len(rows) > 5
    assert [row[0] for row in rows if len(row) != 4 or "::test_" not in row[3]] == []


@pytest.mark.parametrize(("project", "number"), [(name, number) for name, all_of in KNOWN.items() for number in all_of])
def test_every_fault_known_from_elsewhere_is_on_the_page(project: str, number: int) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(project)}#{number}\b", PAGE)


def test_page_speaks_of_no_fault_the_list_does_not_know() -> None:
    told = {(name.replace("Home ", ""), int(number)) for name, number in re.findall(r"((?:Home )?[\w.-]+)#(\d+)", PAGE)}
    assert told == {(name.replace("Home ", ""), number) for name, all_of in KNOWN.items() for number in all_of}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", PAGE))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (TESTS.parent / "docs" / link).is_file()
