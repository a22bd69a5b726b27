"""GS1's own EPCIS 2.0 examples: every one is read, and each broken variation is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fix_shared import shared_dir

from hanlu.trace.epcis.document import parse_document, read_document
from hanlu.trace.epcis.event_hash import document_hashes, event_hash

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "gs1_epcis" / "JSON"
_NAMES = sorted(str(path.relative_to(_BESIDE)) for path in _BESIDE.rglob("*.jsonld"))


def _load(name: str) -> dict:
    return json.loads(shared_dir("vectors", "gs1_epcis", "JSON", name).read_bytes())


def _event_list(document: dict) -> tuple[str, list[dict]]:
    body = document["epcisBody"]
    if "queryResults" in body:
        return "epcisBody.queryResults.resultsBody.eventList", body["queryResults"]["resultsBody"]["eventList"]
    return "epcisBody.eventList", body["eventList"]


def test_example_folder_is_whole():
    shared_dir("vectors", "gs1_epcis", "JSON")
    assert len(_NAMES) >= 30


@pytest.mark.parametrize("name", _NAMES)
def test_example_is_accepted_whole(name):
    document = _load(name)
    read = read_document(document)
    assert [str(problem) for problem in read.problems] == []
    assert [event.hash for event in read.events] == document_hashes(document)
    assert len(read.events) == len(_event_list(document)[1])


@pytest.mark.parametrize("name", _NAMES)
def test_example_events_stand_alone(name):
    for event in read_document(_load(name)).events:
        (again,) = read_document(event.recorded(1_790_000_000_123).document).events
        assert event_hash(event.document) == event.hash == again.hash
        assert again.things == event.things
        assert again.event_id == (event.event_id or event.hash)


def test_example_with_a_doubled_field_is_refused_in_its_raw_form():
    """One of the examples names two identifiers for one event; which of them counts would depend on the reader."""
    raw = {name: shared_dir("vectors", "gs1_epcis", "JSON", name).read_bytes() for name in _NAMES}
    refused = {name: parse_document(data).problems for name, data in raw.items()}
    doubled = {name: str(problems[0]) for name, problems in refused.items() if problems}
    assert doubled == {
        "AssociationEvent/AssociationEvent-h.jsonld": "not JSON: the field 'eventID' stands twice in one object"
    }


@pytest.mark.parametrize("field", ["type", "eventTime", "eventTimeZoneOffset"])
@pytest.mark.parametrize("name", _NAMES)
def test_example_without_a_common_field_is_refused_at_its_place(name, field):
    document = _load(name)
    path, events = _event_list(document)
    del events[-1][field]
    read = read_document(document)
    assert f"{path}[{len(events) - 1}].{field}: missing" in map(str, read.problems)
    assert len(read.events) == len(events) - 1


@pytest.mark.parametrize("name", _NAMES)
def test_example_with_an_unknown_field_is_refused_at_its_place(name):
    document = _load(name)
    path, events = _event_list(document)
    events[0]["bisStep"] = "shipping"
    events[0]["nowhere:note"] = "x"
    assert [str(problem) for problem in read_document(document).problems] == [
        f"{path}[0].bisStep: unknown field",
        f"{path}[0].nowhere:note: prefix 'nowhere' is not declared in @context",
    ]
