"""Reading EPCIS documents: what is captured, and every fault with its place."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanlu.trace.epcis.captured import Party, Thing
from hanlu.trace.epcis.checker import MAX_LIST, MAX_PROBLEMS
from hanlu.trace.epcis.document import EPCIS_CONTEXT, CaptureLimits, parse_document, read_document

LOT = "https://id.gs1.org/01/06901234567892/10/TAO-1"
ROOM = "https://id.gs1.org/414/6901234500011"

OBJECT = {
    "type": "ObjectEvent",
    "eventTime": "2026-07-01T06:30:00.5+08:00",
    "eventTimeZoneOffset": "+08:00",
    "action": "ADD",
    "bizStep": "urn:epcglobal:cbv:bizstep:commissioning",
    "disposition": "https://ref.gs1.org/cbv/Disp-active",
    "readPoint": {"id": ROOM, "example:bay": "3"},
    "bizLocation": {"id": "urn:epc:id:sgln:6901234.50001.0"},
    "epcList": ["https://trace.example/01/06901234567892/10/TAO-1/21/7"],
    "quantityList": [{"epcClass": "https://trace.example/01/06901234567892/10/TAO-1", "quantity": 12, "uom": "KGM"}],
    "bizTransactionList": [{"bizTransaction": "https://erp.example/po/1"}, {"type": "po", "bizTransaction": "urn:x:2"}],
    "sourceList": [{"type": "cbv:SDT-owning_party", "source": "urn:epc:id:pgln:6901234.50001"}],
    "destinationList": [{"type": "https://own.example/kind", "destination": "https://own.example/shop"}],
    "persistentDisposition": {"set": ["completeness_verified"]},
    "certificationInfo": ["https://cert.example/1"],
    "sensorElementList": [
        {
            "sensorMetadata": {"time": "2026-07-01T06:29:00+08:00", "deviceID": "urn:x:dev"},
            "sensorReport": [
                {"type": "Temperature", "value": 4.1, "uom": "CEL", "booleanValue": True, "hexBinaryValue": "0aF"},
                {"type": "gs1:Mass", "exception": "ALARM_CONDITION", "component": "x", "stringValue": "?"},
            ],
            "example:own": 1,
        }
    ],
    "ilmd": {"cbvmda:lotNumber": "TAO-1"},
    "example:note": {"example:deep": [1, {"example:er": None}]},
}
AGGREGATION = {
    "type": "AggregationEvent",
    "eventTime": "2026-07-01T08:00:00+08:00",
    "eventTimeZoneOffset": "+08:00",
    "action": "ADD",
    "parentID": "urn:epc:id:sscc:6901234.0000000001",
    "childEPCs": ["urn:epc:id:sgtin:6901234.056789.7"],
    "childQuantityList": [{"epcClass": LOT}],
}
TRANSFORMATION = {
    "type": "TransformationEvent",
    "eventTime": "2026-07-01T09:00:00Z",
    "eventTimeZoneOffset": "+00:00",
    "inputQuantityList": [{"epcClass": LOT, "quantity": 10.5, "uom": "KGM"}],
    "inputEPCList": ["urn:x:input"],
    "outputEPCList": ["urn:x:output"],
    "outputQuantityList": [{"epcClass": LOT + "B", "quantity": 3}],
    "transformationID": "urn:x:t1",
}
TRANSACTION = {
    "type": "TransactionEvent",
    "eventTime": "2026-07-01T09:00:00Z",
    "eventTimeZoneOffset": "+00:00",
    "action": "OBSERVE",
    "bizTransactionList": [{"type": "inv", "bizTransaction": "urn:x:inv"}],
    "epcList": [],
    "parentID": "urn:x:box",
}
ASSOCIATION = {**AGGREGATION, "type": "AssociationEvent", "action": "DELETE"}
EVERY = [OBJECT, AGGREGATION, TRANSFORMATION, TRANSACTION, ASSOCIATION]


def document(*events: object, **changes: object) -> dict:
    """Return an EPCIS document with `events`; a field set to `...` is left out."""
    fields = {
        "@context": [EPCIS_CONTEXT, {"example": "https://ns.example.com/epcis/"}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-07-01T10:00:00+08:00",
        "epcisBody": {"eventList": list(events)},
        **changes,
    }
    return {name: value for name, value in copy.deepcopy(fields).items() if value is not ...}


def _problems(value: object) -> list[str]:
    return [str(problem) for problem in read_document(value).problems]


def _amount(**fields: object) -> list:
    return [{"epcClass": LOT, **fields}]


def _event(base: dict, **changes: object) -> dict:
    return {name: value for name, value in {**copy.deepcopy(base), **changes}.items() if value is not ...}


def test_every_event_type_is_captured():
    read = read_document(document(*EVERY))
    assert [str(problem) for problem in read.problems] == []
    assert [event.type for event in read.events] == [event["type"] for event in EVERY]
    assert len({event.hash for event in read.events}) == len(EVERY)


def test_object_event_becomes_a_value():
    (event,) = read_document(document(OBJECT)).events
    assert (event.action, event.biz_step, event.disposition) == ("ADD", "commissioning", "active")
    assert (event.event_time, event.offset) == (1_782_858_600_500, "+08:00")
    assert event.read_point == event.biz_location == ROOM
    assert event.things == (
        Thing("epc", "https://id.gs1.org/01/06901234567892/10/TAO-1/21/7", LOT),
        Thing("quantity", LOT, LOT, 12.0, "KGM"),
    )
    assert event.sources == (Party("owning_party", "https://id.gs1.org/417/6901234500011"),)
    assert event.destinations == (Party("https://own.example/kind", "https://own.example/shop"),)
    assert event.transactions == (Party("", "https://erp.example/po/1"), Party("po", "urn:x:2"))
    assert event.ilmd == {"cbvmda:lotNumber": "TAO-1"}
    assert not event.declares_error
    assert event.event_id is None


def test_roles_say_in_which_list_a_thing_stands():
    read = read_document(document(AGGREGATION, TRANSFORMATION, TRANSACTION))
    roles = [[thing.role for thing in event.things] for event in read.events]
    assert roles == [
        ["parent", "child", "child_quantity"],
        ["input", "output", "input_quantity", "output_quantity"],
        ["parent"],
    ]
    assert read.events[1].transformation_id == "urn:x:t1"
    assert read.events[1].action is None


def test_error_declaration_shares_the_hash_and_says_so():
    declaration = {
        "declarationTime": "2026-07-02T00:00:00Z",
        "reason": "did_not_occur",
        "correctiveEventIDs": ["urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427"],
        "example:by": "x",
    }
    first, second = read_document(document(OBJECT, {**OBJECT, "errorDeclaration": declaration})).events
    assert first.hash == second.hash
    assert (first.declares_error, second.declares_error) == (False, True)
    assert second.corrective_ids == ("urn:uuid:1b4e28ba-2fa1-11d2-883f-0016d3cca427",)


def test_recorded_event_has_an_identifier_and_a_record_time():
    (event,) = read_document(document(OBJECT)).events
    recorded = event.recorded(1_782_860_000_007)
    assert recorded.document["eventID"] == recorded.event_id == event.hash
    assert recorded.document["recordTime"] == "2026-06-30T22:53:20.007Z"
    (again,) = read_document(recorded.document).events
    assert again == recorded


def test_identifier_that_came_with_the_event_is_kept():
    (event,) = read_document(document({**OBJECT, "eventID": "urn:uuid:a"})).events
    assert event.recorded(0).event_id == "urn:uuid:a"


def test_event_carries_the_context_of_its_document_and_its_own():
    own = {"@context": {"own": "https://own.example/"}, **TRANSACTION, "own:x": 1, "example:y": 2}
    (event,) = read_document(document(own)).events
    assert event.document["@context"] == [
        EPCIS_CONTEXT,
        {"example": "https://ns.example.com/epcis/"},
        {"own": "https://own.example/"},
    ]


def test_name_defined_in_the_context_is_a_field_and_an_address_with_a_colon_is_not():
    context = [
        EPCIS_CONTEXT,
        {"harvester": "https://own.example/terms/harvester", "a:b": "https://own.example/terms/b"},
    ]
    event = {**TRANSACTION, "harvester": "Li"}
    assert _problems(document(event, **{"@context": context})) == []
    assert _problems(document({**TRANSACTION, "a:b": 1}, **{"@context": context})) == [
        "epcisBody.eventList[0].a:b: prefix 'a' is not declared in @context"
    ]


def test_context_of_one_event_says_nothing_about_the_next():
    own = {"@context": {"own": "https://own.example/"}, **TRANSACTION, "own:x": 1}
    assert _problems(document(own, {**TRANSACTION, "own:x": 1})) == [
        "epcisBody.eventList[1].own:x: prefix 'own' is not declared in @context"
    ]


def test_bare_event_and_query_document_are_read():
    bare = read_document(TRANSACTION)
    results = {"queryResults": {"queryName": "SimpleEventQuery", "resultsBody": {"eventList": [TRANSACTION]}}}
    query = read_document(document(type="EPCISQueryDocument", epcisBody=results, creationDate=...))
    assert not bare.problems
    assert not query.problems
    assert bare.events[0].hash == query.events[0].hash
    assert bare.events[0].document["@context"] == [EPCIS_CONTEXT]


def test_fields_a_repository_declares_as_its_own_notes_are_left_out():
    noted = document(
        {**TRANSACTION, "example:stored": "4711"}, **{"example:ignoreFields": ["example:stored", "action"]}
    )
    (event,) = read_document(noted).events
    assert "example:stored" not in event.document
    assert event.action == "OBSERVE"
    assert event.hash == read_document(TRANSACTION).events[0].hash


def test_good_events_are_kept_beside_bad_ones():
    read = read_document(document(OBJECT, 5, {**TRANSACTION, "action": "MAYBE"}, AGGREGATION))
    assert [event.type for event in read.events] == ["ObjectEvent", "AggregationEvent"]
    assert [str(problem) for problem in read.problems] == [
        "epcisBody.eventList[1]: must be an object",
        "epcisBody.eventList[2].action: must be ADD, OBSERVE or DELETE",
    ]


_REPORT = OBJECT["sensorElementList"][0]["sensorReport"][0]


def _sensor(**changes: object) -> list:
    return [{"sensorReport": [_event(_REPORT, **changes)]}]


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (_event(OBJECT, type="Rumour"), "type: must be one of ObjectEvent"),
        (_event(OBJECT, type=["ObjectEvent"]), "type: must be one of"),
        (_event(OBJECT, type=...), "type: missing"),
        (_event(OBJECT, action=...), "action: missing"),
        (_event(OBJECT, action=["ADD"]), "action: must be ADD"),
        (_event(OBJECT, eventTime="2026-07-01"), "eventTime: must be a time"),
        (_event(OBJECT, eventTime="2026-07-01T06:30:00"), "eventTime: must be a time"),
        (_event(OBJECT, eventTime="2026-13-01T06:30:00Z"), "eventTime: must be a time"),
        (_event(OBJECT, eventTime=1782858600), "eventTime: must be a time"),
        (_event(OBJECT, eventTimeZoneOffset="+8:00"), "eventTimeZoneOffset: must be an offset"),
        (_event(OBJECT, eventTimeZoneOffset="+15:00"), "eventTimeZoneOffset: must be an offset"),
        (_event(OBJECT, eventID="a b"), "eventID: must be a URI"),
        (_event(OBJECT, bizStep="sent_off"), "bizStep: must be a word of the CBV or a URI"),
        (_event(OBJECT, bizStep=None), "bizStep: must be a word"),
        (_event(OBJECT, disposition=7), "disposition: must be a word"),
        (_event(OBJECT, epcList="urn:x:1"), "epcList: must be a list"),
        (_event(OBJECT, epcList=["urn:x:1", "7"]), "epcList[1]: must be a URI"),
        (_event(OBJECT, epcList=["urn:x:1", "urn:x:1"]), "epcList: names something twice"),
        (_event(OBJECT, epcList=["urn:x:" + "1" * 9000]), "epcList[0]: must be a URI"),
        (_event(OBJECT, quantityList=[{}]), "quantityList[0].epcClass: missing"),
        (
            _event(OBJECT, quantityList=_amount(quantity="12")),
            "quantityList[0].quantity: must be a number",
        ),
        (
            _event(OBJECT, quantityList=_amount(quantity=True)),
            "quantityList[0].quantity: must be a number",
        ),
        (
            _event(OBJECT, quantityList=_amount(quantity=-1)),
            "quantityList[0].quantity: must not be negative",
        ),
        (
            _event(OBJECT, quantityList=_amount(quantity=1, uom="kilogram")),
            "quantityList[0].uom: must be",
        ),
        (_event(OBJECT, quantityList=_amount(uom="KGM")), "quantityList[0].uom: a unit without"),
        (_event(OBJECT, quantityList=[{"epcClass": LOT, "example:x": 1}]), "quantityList[0].example:x: no own fields"),
        (_event(OBJECT, readPoint=ROOM), "readPoint: must be an object"),
        (_event(OBJECT, readPoint={}), "readPoint.id: missing"),
        (_event(OBJECT, bizLocation={"id": ROOM, "name": "x"}), "bizLocation.name: unknown field"),
        (_event(OBJECT, sourceList=[{"source": ROOM}]), "sourceList[0].type: missing"),
        (_event(OBJECT, sourceList=[{"type": "owner", "source": ROOM}]), "sourceList[0].type: must be a word"),
        (_event(OBJECT, bizTransactionList=[{"type": "po"}]), "bizTransactionList[0].bizTransaction: missing"),
        (_event(OBJECT, certificationInfo=5), "certificationInfo: must be a URI"),
        (_event(OBJECT, certificationInfo=["x"]), "certificationInfo[0]: must be a URI"),
        (_event(OBJECT, persistentDisposition={}), "persistentDisposition: must set or unset"),
        (_event(OBJECT, persistentDisposition={"set": []}), "persistentDisposition.set: must not be empty"),
        (_event(OBJECT, errorDeclaration={}), "errorDeclaration.declarationTime: missing"),
        (_event(OBJECT, sensorElementList=[{}]), "sensorElementList[0].sensorReport: missing"),
        (_event(OBJECT, sensorElementList=_sensor(type=...)), "sensorElementList[0].sensorReport[0].type: missing"),
        (
            _event(OBJECT, sensorElementList=_sensor(value="4")),
            "[0].sensorReport[0].value: must be a number",
        ),
        (
            _event(OBJECT, sensorElementList=_sensor(booleanValue=1)),
            "[0].booleanValue: must be true or false",
        ),
        (_event(OBJECT, sensorElementList=_sensor(hexBinaryValue="xy")), "sensorReport[0].hexBinaryValue: must be hex"),
        (_event(OBJECT, sensorElementList=_sensor(stringValue=" ")), "sensorReport[0].stringValue: must be text"),
        (_event(OBJECT, sensorElementList=_sensor(stringValue="x" * 9000)), "sensorReport[0].stringValue: longer than"),
        (_event(OBJECT, sensorElementList=_sensor(bitDepth=1)), "sensorReport[0].bitDepth: unknown field"),
        (_event(OBJECT, ilmd=[]), "ilmd: must be an object"),
        (_event(OBJECT, ilmd={"lotNumber": "1"}), "ilmd.lotNumber: unknown field"),
        (_event(OBJECT, action="OBSERVE"), "ilmd: only with the action ADD"),
        (_event(OBJECT, parentID="urn:x:1"), "parentID: unknown field"),
        (_event(OBJECT, **{"example:": 1}), "example:: not a name"),
        (_event(OBJECT, **{"a b:c": 1}), "a b:c: not a name"),
        (_event(OBJECT, epcList=..., quantityList=..., readPoint=...), "[0]: names no things"),
        (_event(AGGREGATION, parentID=...), "parentID: missing: the action ADD needs it"),
        (_event(AGGREGATION, childEPCs=[], childQuantityList=...), "[0]: names no things: childEPCs"),
        (_event(ASSOCIATION, parentID=...), "parentID: missing"),
        (_event(TRANSACTION, bizTransactionList=...), "bizTransactionList: missing"),
        (_event(TRANSACTION, epcList=...), "[0]: names no things: epcList or quantityList"),
        (
            _event(TRANSFORMATION, transformationID=..., inputEPCList=..., inputQuantityList=...),
            "[0]: needs inputs and outputs",
        ),
        (_event(TRANSFORMATION, action="ADD"), "action: unknown field"),
        (_event(OBJECT, epcList=["urn:x:1"] * (MAX_LIST + 1)), f"epcList: more than {MAX_LIST} entries"),
    ],
)
def test_broken_event_is_refused_with_its_place(event, problem):
    read = read_document(document(event))
    assert read.events == ()
    assert any(problem in str(found) for found in read.problems), [str(found) for found in read.problems]
    assert all(str(found).startswith("epcisBody.eventList[0]") for found in read.problems)


@pytest.mark.parametrize(
    "event",
    [
        _event(OBJECT, epcList=..., quantityList=...),
        _event(AGGREGATION, action="DELETE", childEPCs=..., childQuantityList=...),
        _event(AGGREGATION, action="OBSERVE", parentID=...),
        _event(TRANSACTION, action="DELETE", epcList=...),
        _event(TRANSFORMATION, inputEPCList=..., inputQuantityList=...),
        _event(OBJECT, certificationInfo="https://cert.example/1"),
        _event(OBJECT, **{"https://full.example/name": 1, "urn:gs1:epcisapp:rail:x": 2}),
    ],
)
def test_permitted_omissions_are_accepted(event):
    assert _problems(document(event)) == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "must be an object"),
        ({}, "type: missing"),
        ({"type": "EPCIS"}, "type: must be EPCISDocument, EPCISQueryDocument or an event type"),
        ({"type": ["EPCISDocument"]}, "type: must be EPCISDocument, EPCISQueryDocument or an event type"),
        (document(**{"@context": ...}), "@context: missing"),
        (document(**{"@context": 5}), "@context: must be a list of addresses and objects"),
        (document(**{"@context": {"a": "https://a.example/"}}), "@context: does not name the EPCIS context"),
        (document(schemaVersion=...), "schemaVersion: missing"),
        (document(schemaVersion="1.2"), "schemaVersion: must be 2.0"),
        (document(creationDate=...), "creationDate: missing"),
        (document(creationDate="yesterday"), "creationDate: must be a time with date, seconds and zone"),
        (document(epcisBody=...), "epcisBody: missing"),
        (document(epcisBody=[]), "epcisBody: must be an object"),
        (document(epcisBody={}), "epcisBody.eventList: missing"),
        (document(epcisBody={"eventList": {}}), "epcisBody.eventList: must be a list"),
        (document(colour="red"), "colour: unknown field"),
        (document(type="EPCISQueryDocument"), "epcisBody.queryResults: missing"),
        (
            document(type="EPCISQueryDocument", epcisBody={"queryResults": {"resultsBody": {"eventList": []}}}),
            "epcisBody.queryResults.queryName: missing or not text",
        ),
        (document({"x": "\ud800"}), "no canonical form: input contains non-UTF-8 codepoints"),
        (document({"x": float("nan")}), "no canonical form: nan is not representable in JCS"),
    ],
)
def test_broken_document_is_refused_with_its_place(value, problem):
    assert _problems(value) == [problem]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON: Expecting value"),
        (b"{", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b'{"a": NaN}', "not JSON: NaN is not JSON"),
        (b'{"a": 1, "a": 1}', "not JSON: the field 'a' stands twice"),
        (b"[" * 100_000, "nested deeper than 48"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "nested deeper than 48"),
        (b" " * (4 * 1024 * 1024 + 1), "4194305 bytes, more than the 4194304 accepted"),
    ],
)
def test_bytes_that_are_no_document_are_one_problem(data, problem):
    read = parse_document(data)
    assert len(read.problems) == 1
    assert str(read.problems[0]).startswith(problem)


def test_limits_are_exact():
    limits = CaptureLimits(max_bytes=10_000, max_events=2, max_depth=7)
    two = document(TRANSACTION, TRANSACTION)
    assert not read_document(two, limits).problems
    assert [str(p) for p in read_document(document(*[TRANSACTION] * 3), limits).problems] == [
        "epcisBody.eventList: 3 events, more than the 2 accepted"
    ]
    deepest = document({**TRANSACTION, "example:a": {"example:b": [{}]}})
    assert not read_document(deepest, limits).problems
    deeper = document({**TRANSACTION, "example:a": {"example:b": [[[]]]}})
    assert [str(p) for p in read_document(deeper, limits).problems] == ["nested deeper than 7"]
    data = json.dumps(two).encode()
    assert parse_document(data.ljust(10_000), limits).events
    assert not parse_document(data.ljust(10_001), limits).events


def test_problems_are_kept_up_to_a_limit():
    read = read_document(document(*[5] * (MAX_PROBLEMS + 50), TRANSACTION))
    assert len(read.problems) == MAX_PROBLEMS
    assert len(read.events) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EVERY), st.data())
def test_any_value_in_any_field_is_judged_without_an_exception(event, data):
    name = data.draw(st.sampled_from([*event, "errorDeclaration", "@context", "recordTime"]))
    read = read_document(document({**event, name: data.draw(json_values)}))
    assert len(read.events) == 1 or read.problems


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_in_any_document_field_is_judged_without_an_exception(data):
    name = data.draw(st.sampled_from(["@context", "type", "schemaVersion", "creationDate", "epcisBody", "id"]))
    read = read_document(document(TRANSACTION, **{name: data.draw(json_values)}))
    assert read.events or read.problems
