"""GS1's Digital Link vectors: links of the keys Hanlu reads, judged as GS1's own engine judges them by default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fix_shared import shared_dir

from hanlu.trace.epcis.digital_link import DigitalLink, DigitalLinkError, parse_digital_link
from hanlu.trace.epcis.gs1_keys import ALL_KEYS, KEYS, attribute_problem

_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "digital_link"
_VECTORS = json.loads((_FOLDER / "gs1_syntax_engine_dl_vectors.json").read_text()) if _FOLDER.exists() else {}
_OTHER_KEYS = ("/253/", "/8018/", "/235/")


def _default_cases() -> list[dict]:
    return [case for case in _VECTORS.get("parse", []) if "flags" not in case]


def _ours() -> list[dict]:
    return [case for case in _default_cases() if not any(key in case["uri"] for key in _OTHER_KEYS)]


def test_only_links_of_other_keys_are_left_out():
    shared_dir("vectors", "digital_link")
    assert len(_ours()) >= 60
    for case in _default_cases():
        if case not in _ours():
            with pytest.raises(DigitalLinkError):
                parse_digital_link(case["uri"])


@pytest.mark.parametrize("case", _ours(), ids=lambda case: case["uri"] or "empty")
def test_link_is_judged_and_read_as_published(case):
    if not case["valid"]:
        with pytest.raises(DigitalLinkError):
            parse_digital_link(case["uri"])
        return
    link = parse_digital_link(case["uri"])
    pairs = ((link.key, link.value), *link.qualifiers, *link.attributes)
    assert "".join(ai + value for ai, value in pairs) == case["element_string"].replace("^", "")
    assert parse_digital_link(link.canonical()).canonical() == link.canonical()
    assert parse_digital_link(link.at("https://trace.example/t")) == link


_GENERATED = [
    case
    for case in _VECTORS.get("generate", [])
    if case["valid"] and "flags" not in case and case["uri"].split("/", 4)[3] in KEYS
]


@pytest.mark.parametrize("case", _GENERATED, ids=lambda case: case["uri"])
def test_link_is_written_as_published(case):
    assert parse_digital_link(case["uri"]).at(case["stem"] or "https://id.gs1.org") == case["uri"]


_ESCAPED = [case for case in _VECTORS.get("uri_escape", []) if case["in"] and " " not in case["in"]]
"""No GS1 value is empty or holds a space."""


@pytest.mark.parametrize("case", _ESCAPED, ids=lambda case: case["in"])
def test_characters_are_escaped_as_published(case):
    allowed = case["in"].replace("#", "")  # outside character set 82
    shown = [DigitalLink("01", "09520123456788", (("10", c),)).canonical().rpartition("/")[2] for c in allowed]
    assert "".join(shown) == case["path"].replace("%23", "")


@pytest.mark.parametrize("sequence", _VECTORS.get("valid_path_ai_sequences", []), ids="-".join)
def test_path_sequence_of_our_keys_is_accepted(sequence):
    values = {"00": "006141411234567890", "01": "12312312312333", "414": "9520123456788", "417": "9520123456788"}
    qualifiers = tuple((ai, "X1") for ai in sequence[1:])
    if sequence[0] not in KEYS or not set(sequence[1:]) <= set(KEYS[sequence[0]].qualifiers):
        with pytest.raises(DigitalLinkError):
            DigitalLink(sequence[0], values.get(sequence[0], "0"), qualifiers)
        return
    assert DigitalLink(sequence[0], values[sequence[0]], qualifiers).qualifiers == qualifiers


def _dictionary() -> dict[str, tuple[str, str]]:
    """GS1's dictionary: Application Identifier to (flags, the rest of its line)."""
    entries = {}
    for line in (_FOLDER / "gs1-syntax-dictionary.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            ais, rest = line.split(None, 1)
            first, _, last = ais.partition("-")
            for number in range(int(first), int(last or first) + 1):
                entries[str(number).zfill(len(first))] = (rest.split()[0], rest)
    return entries


def test_keys_are_those_of_the_dictionary():
    shared_dir("vectors", "digital_link")
    assert {ai for ai, (_, rest) in _dictionary().items() if "dlpkey" in rest} == ALL_KEYS


def test_every_attribute_we_know_is_a_data_attribute_of_the_dictionary():
    shared_dir("vectors", "digital_link")
    entries = _dictionary()
    known = [
        ai
        for ai in (f"{n:0{width}d}" for width in (2, 3, 4) for n in range(10**width))
        if ai not in KEYS and "knows" not in (attribute_problem("00", ai, "?") or "")
    ]
    assert len(known) > 200
    assert [ai for ai in known if ai not in entries or "?" not in entries[ai][0]] == []
