"""CBV 2.0 event hashes: pre-hash strings and identifiers that others computed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fix_shared import shared_dir

from hanlu.trace.epcis.document import parse_document
from hanlu.trace.epcis.event_hash import (
    document_hashes,
    event_hash,
    hash_of_prehash,
    prehash,
    xml_document_hashes,
)
from hanlu.trace.epcis.event_tree import EventTree, events_of_json, events_of_xml
from hanlu.trace.epcis.hash_values import canonical_link

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "cbv_event_hash"


def _names(pattern: str) -> list[str]:
    return sorted(path.name for path in _BESIDE.glob(pattern))


def _documents_with(ending: str) -> list[str]:
    return [name for name in (*_names("*.jsonld"), *_names("*.xml")) if (_BESIDE / name).with_suffix(ending).exists()]


def _lines(name: str) -> list[str]:
    text = shared_dir("vectors", "cbv_event_hash", name).read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line.strip()]


def _events(name: str) -> list[EventTree]:
    data = shared_dir("vectors", "cbv_event_hash", name).read_bytes()
    return events_of_xml(data) if name.endswith(".xml") else events_of_json(json.loads(data))


def test_vector_folder_is_whole():
    shared_dir("vectors", "cbv_event_hash")
    assert len(_documents_with(".hashes")) >= 20
    assert len(_names("expected_equal/*")) >= 10


@pytest.mark.parametrize("name", _documents_with(".hashes"))
def test_document_has_the_published_hashes(name):
    hashes = [hash_of_prehash(prehash(event)) for event in _events(name)]
    assert hashes == [line.strip() for line in _lines(Path(name).stem + ".hashes")]


@pytest.mark.parametrize("name", _documents_with(".prehashes"))
def test_document_has_the_published_prehash_strings(name):
    hashes = {line.strip() for line in _lines(Path(name).stem + ".hashes")}
    published = _lines(Path(name).stem + ".prehashes")
    # Two published strings are cut short or stale: they do not have the hash published beside them.
    sound = {place: text for place, text in enumerate(published) if hash_of_prehash(text) in hashes}
    assert sound
    written = [prehash(event) for event in _events(name)]
    assert {place: written[place] for place in sound} == sound


def test_nearly_all_published_prehash_strings_are_sound():
    texts = [(name, text) for name in _documents_with(".prehashes") for text in _lines(Path(name).stem + ".prehashes")]
    stale = [
        name
        for name, text in texts
        if hash_of_prehash(text) not in {line.strip() for line in _lines(Path(name).stem + ".hashes")}
    ]
    assert stale == ["epcisDocWithCustomSchemaInContext.jsonld", "epcisDocWithDefaultSchemaInContext.jsonld"]


@pytest.mark.parametrize("name", _names("expected_equal/*"))
def test_representations_of_one_event_have_one_hash(name):
    data = shared_dir("vectors", "cbv_event_hash", "expected_equal", name).read_bytes()
    hashes = xml_document_hashes(data) if name.endswith(".xml") else document_hashes(json.loads(data))
    assert len(hashes) > 1
    assert len(set(hashes)) == 1


@pytest.mark.parametrize(
    "stem", sorted({Path(n).stem for n in _names("*.xml")} & {Path(n).stem for n in _names("*.jsonld")})
)
def test_json_and_xml_of_one_document_have_the_same_prehash_strings(stem):
    assert [prehash(e) for e in _events(stem + ".xml")] == [prehash(e) for e in _events(stem + ".jsonld")]


def test_epc_urns_and_links_have_the_published_canonical_links():
    path = shared_dir("vectors", "cbv_event_hash", "epc_to_canonical_digital_link_pairs.json")
    pairs = json.loads(path.read_text())["pairs"]
    assert len(pairs) >= 40
    found = {pair["input"]: canonical_link(pair["input"]) for pair in pairs}
    assert found == {pair["input"]: pair["canonical"] for pair in pairs}


@pytest.mark.parametrize("name", _names("*.jsonld"))
def test_captured_event_alone_has_the_hash_it_had_in_its_document(name):
    read = parse_document(shared_dir("vectors", "cbv_event_hash", name).read_bytes())
    assert not read.problems
    assert [event.hash for event in read.events] == [line.strip() for line in _lines(Path(name).stem + ".hashes")]
    assert [event_hash(event.document) for event in read.events] == [event.hash for event in read.events]
