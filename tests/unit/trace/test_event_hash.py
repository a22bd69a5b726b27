"""The event hash: what changes it, what does not, and what its readers refuse."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.errors import RemoteError
from hanlu.trace.epcis.event_hash import document_hashes, event_hash, prehash, xml_document_hashes
from hanlu.trace.epcis.event_tree import Namespaces, events_of_json, events_of_xml, json_event_tree
from hanlu.trace.epcis.hash_values import canonical_link, canonical_time, canonical_value

CONTEXT = [
    "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    {"example": "https://ns.example.com/epcis/", "field": "https://ns.example.com/terms/field"},
]
EVENT = {
    "type": "ObjectEvent",
    "eventTime": "2026-07-01T06:30:00+08:00",
    "eventTimeZoneOffset": "+08:00",
    "action": "ADD",
    "bizStep": "commissioning",
    "epcList": ["urn:epc:id:sgtin:4012345.011111.2", "urn:epc:id:sgtin:4012345.011111.1"],
    "quantityList": [{"epcClass": "urn:epc:class:lgtin:4012345.012345.L1", "quantity": 12.50, "uom": "KGM"}],
    "sourceList": [{"type": "owning_party", "source": "urn:epc:id:pgln:4012345.00005"}],
    "destinationList": [{"type": "location", "destination": "urn:epc:id:sgln:4012345.00005.0"}],
    "bizTransactionList": [{"bizTransaction": "urn:epcglobal:cbv:bt:1:2", "type": "po"}],
    "ilmd": {"cbvmda:lotNumber": "L1", "example:a": {"example:b": [1, 2]}},
    "example:note": "x",
}


def _hash(**changes: object) -> str:
    event = copy.deepcopy(EVENT)
    event.update(changes)
    return event_hash({name: value for name, value in event.items() if value is not ...}, CONTEXT)


def test_prehash_names_every_field_in_canonical_order():
    assert prehash(json_event_tree(EVENT, Namespaces().extended(CONTEXT))) == (
        "eventType=ObjectEventeventTime=2026-06-30T22:30:00.000ZeventTimeZoneOffset=+08:00"
        "epcListepc=https://id.gs1.org/01/04012345111118/21/1epc=https://id.gs1.org/01/04012345111118/21/2"
        "quantityListquantityElementepcClass=https://id.gs1.org/01/04012345123456/10/L1quantity=12.5uom=KGM"
        "action=ADDbizStep=https://ref.gs1.org/cbv/BizStep-commissioning"
        "bizTransactionListtype=https://ref.gs1.org/cbv/BTT-pobizTransaction=urn:epcglobal:cbv:bt:1:2"
        "sourceListtype=https://ref.gs1.org/cbv/SDT-owning_partysource=https://id.gs1.org/417/4012345000054"
        "destinationListtype=https://ref.gs1.org/cbv/SDT-locationdestination=https://id.gs1.org/414/4012345000054"
        "ilmd{https://ns.example.com/epcis/}a{https://ns.example.com/epcis/}b=1{https://ns.example.com/epcis/}b=2"
        "{urn:epcglobal:cbv:mda}lotNumber=L1"
        "{https://ns.example.com/epcis/}note=x"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"recordTime": "2026-07-01T00:00:00Z"},
        {"eventID": "urn:uuid:374d95fc-9457-4a51-bd6a-0bba133845a8"},
        {"errorDeclaration": {"declarationTime": "2026-07-02T00:00:00Z", "reason": "incorrect_data"}},
        {"eventTime": "2026-06-30T22:30:00.0004Z"},
        {"epcList": EVENT["epcList"][::-1]},
        {"epcList": ["https://shop.example/01/4012345111118/21/1", "https://id.gs1.org/gtin/04012345111118/21/2?x=1"]},
        {"bizStep": "urn:epcglobal:cbv:bizstep:commissioning"},
        {"bizStep": "cbv:BizStep-commissioning"},
        {"bizStep": " https://ref.gs1.org/cbv/BizStep-commissioning "},
        {"disposition": None},
        {"readPoint": {}},
        {"sensorElementList": []},
        {"rdfs:comment": "a remark"},
        {"example:note": None, "https://ns.example.com/epcis/note": "x"},
    ],
)
def test_another_spelling_has_the_same_hash(changes):
    assert _hash(**changes) == _hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"eventTime": "2026-06-30T22:30:00.0005Z"},
        {"eventTimeZoneOffset": "+07:00"},
        {"action": "OBSERVE"},
        {"epcList": EVENT["epcList"][:1]},
        {"quantityList": [{**EVENT["quantityList"][0], "quantity": 12.51}]},
        {"sourceList": [{**EVENT["sourceList"][0], "type": "possessing_party"}]},
        {"ilmd": {**EVENT["ilmd"], "cbvmda:lotNumber": "L2"}},
        {"example:note": "y"},
        {"example:note": ...},
        {"example:other": True},
        {"field": 1},
        {"example:empty": ""},
    ],
)
def test_another_event_has_another_hash(changes):
    assert _hash(**changes) != _hash()


@given(st.permutations(list(EVENT)))
def test_order_of_fields_does_not_matter(order):
    assert event_hash({name: EVENT[name] for name in order}, CONTEXT) == _hash()


def test_prefix_name_does_not_matter():
    renamed = json.loads(json.dumps(EVENT).replace("example:", "other:"))
    assert event_hash(renamed, {"other": "https://ns.example.com/epcis/"}) == _hash()


def test_context_within_the_event_counts():
    bare = {"@context": CONTEXT, **EVENT}
    assert event_hash(bare) == document_hashes(bare)[0] == _hash()


def test_term_defined_in_the_context_gets_its_own_namespace():
    tree = json_event_tree({**EVENT, "field": "v"}, Namespaces().extended(CONTEXT))
    assert prehash(tree).endswith("{https://ns.example.com/terms/}field=v")


def test_undeclared_prefix_stays_visible():
    tree = json_event_tree({"type": "ObjectEvent", "foo:bar": 1}, Namespaces())
    assert prehash(tree) == "eventType=ObjectEvent{foo:}bar=1"


def test_field_without_a_place_is_written_at_the_end_with_its_parents():
    report = {"type": "Temperature", "bizRules": "https://example.com/rules", "value": 4.0}
    event = {"type": "ObjectEvent", "sensorElementList": [{"sensorReport": [report]}], "example:z": 1}
    assert prehash(json_event_tree(event, Namespaces().extended(CONTEXT))) == (
        "eventType=ObjectEventsensorElementListsensorElementsensorReporttype=https://gs1.org/voc/Temperaturevalue=4"
        "sensorElementListsensorElementsensorReportbizRules=https://example.com/rules"
        "{https://ns.example.com/epcis/}z=1"
    )


def test_own_fields_stand_at_the_end_of_their_parent():
    event = {"type": "ObjectEvent", "readPoint": {"example:b": 2, "id": "geo:1,2", "example:a": [3, 1]}}
    assert prehash(json_event_tree(event, Namespaces().extended(CONTEXT))) == (
        "eventType=ObjectEventreadPointid=geo:1,2{https://ns.example.com/epcis/}a=1"
        "{https://ns.example.com/epcis/}a=3{https://ns.example.com/epcis/}b=2"
    )


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-07-01T06:30:00+08:00", "2026-06-30T22:30:00.000Z"),
        ("2026-12-31T23:59:59.9995Z", "2027-01-01T00:00:00.000Z"),
        ("2026-07-01T00:00:00.1425Z", "2026-07-01T00:00:00.143Z"),
        ("2026-07-01T00:00:00.14249999Z", "2026-07-01T00:00:00.142Z"),
        (" 2026-07-01T00:00:00Z\n", "2026-07-01T00:00:00.000Z"),
        ("2026-07-01T00:00:00", "2026-07-01T00:00:00"),
        ("2026-02-30T00:00:00Z", "2026-02-30T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.9999Z"),
        ("soon", "soon"),
    ],
)
def test_time_is_rounded_half_up_in_utc(text, canonical):
    assert canonical_time(text) == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("26.0", "26"),
        ("+0.100", "0.1"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("0.0000001", "0.0000001"),
        ("1e-7", "0.0000001"),
        (".5", "0.5"),
        ("007", "7"),
        ("111100001111000011110000", "111100001111000003641344"),
        ("1e999", "1e999"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("٣", "٣"),
        ("0x10", "0x10"),
        ("  text ", "text"),
        ("urn:epcglobal:cbv:disp:in_transit", "https://ref.gs1.org/cbv/Disp-in_transit"),
        ("gs1:Temperature", "https://gs1.org/voc/Temperature"),
        ("example:own", "example:own"),
        ("https://ref.gs1.org/cbv/BizStep-packing", "https://ref.gs1.org/cbv/BizStep-packing"),
    ],
)
def test_value_is_brought_to_its_one_spelling(text, canonical):
    assert canonical_value(text) == canonical


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://x.example/01/04012345111118/10/A/21/B/", "https://id.gs1.org/01/04012345111118/21/B"),
        ("https://x.example/01/04012345111118/10/a%2fb", "https://id.gs1.org/01/04012345111118/10/a%2Fb"),
        ("https://x.example/01/04012345111118/254/A", None),
        ("https://x.example/01/04012345111118/10", None),
        ("https://x.example/01/123", None),
        ("https://x.example/417/4012345000009/7040/1ABC", "https://id.gs1.org/417/4012345000009"),
        ("ftp://x.example/01/04012345111118", None),
        ("urn:epc:id:sgtin:bad", None),
    ],
)
def test_link_is_cut_to_its_finest_qualifier(text, link):
    assert canonical_link(text) == link


def test_xml_extension_wrappers_comments_and_schema_hints_do_not_count():
    plain = (
        "<d><EPCISBody><EventList><ObjectEvent><action>ADD</action><quantityList><quantityElement>"
        "<epcClass>urn:epc:class:lgtin:4012345.012345.L1</epcClass></quantityElement></quantityList>"
        "</ObjectEvent></EventList></EPCISBody></d>"
    )
    dressed = (
        "<d xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'><EPCISBody><EventList><extension>"
        "<ObjectEvent xsi:type='x'><!-- remark --><r:comment xmlns:r='http://www.w3.org/2000/01/rdf-schema#'>x</r:comment>"
        "<action> ADD </action><extension><quantityList><quantityElement>"
        "<epcClass>urn:epc:class:lgtin:4012345.012345.L1</epcClass></quantityElement></quantityList></extension>"
        "</ObjectEvent></extension></EventList></EPCISBody></d>"
    )
    assert xml_document_hashes(plain) == xml_document_hashes(dressed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<a",
        "<a><b></a>",
        "<a/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><a><EventList/></a>',
        '<?xml version="1.0" encoding="klingon"?><a/>',
        "<a>" + "<b>" * 80 + "</b>" * 80 + "</a>",
        "<d><EventList><ObjectEvent>" + "<b>" * 80 + "</b>" * 80 + "</ObjectEvent></EventList></d>",
    ],
)
def test_xml_that_is_no_epcis_or_an_attack_is_refused(text):
    with pytest.raises(RemoteError):
        events_of_xml(text)


def _nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"example:a": value}
    return value


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": 5},
        {"epcisBody": {}},
        {"epcisBody": []},
        {"epcisBody": {"eventList": [1]}},
        {"epcisBody": {"queryResults": []}},
        {"epcisBody": {"queryResults": {"resultsBody": {"eventList": {}}}}},
        {"type": "ObjectEvent", "example:a": _nested(150)},
        {"type": "ObjectEvent", "example:a": [[[[]]] * 2, json.loads("[" * 100 + "]" * 100)]},
    ],
)
def test_json_without_events_or_too_deep_is_refused(document):
    with pytest.raises(RemoteError):
        document_hashes(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from([*EVENT, "sensorElementList", "readPoint", "childEPCs", "@context"]) | st.text(max_size=9)


@given(st.dictionaries(field_names, json_values, max_size=6))
def test_any_object_with_a_type_has_a_hash(fields):
    (tree,) = events_of_json({**fields, "type": "ObjectEvent", "epcisBody": None})
    assert prehash(tree).startswith("eventType=ObjectEvent")
