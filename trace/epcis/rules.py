"""Our own rules for EPCIS 2.0 JSON: each says where a document breaks the standard, in words.

Theory. One `Checker` walks one document and gathers problems instead of stopping at the first; a path such as
``epcisBody.eventList[0].eventTime`` says where. Standard fields are tables below; names with a colon are somebody's
own fields and are allowed where the standard has an extension point, provided their prefix is declared, for without a
declaration nobody could compute the event's hash.

GS1's JSON Schema is not used at run time: it carries no open licence and its messages do not help an operator.

Source: EPCIS 2.0, section 7.4 (event types) and 10 (JSON binding); CBV 2.0, section 7 (words).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hanlu.trace.epcis.checker import (
    Checker,
    Rule,
    a_boolean,
    a_hex,
    a_list_of,
    a_number,
    a_quantity,
    a_text,
    a_time,
    a_unit,
    a_uri,
    a_word_of,
    an_action,
    an_object,
    an_offset,
    anything,
)

__all__ = ["EVENT_TYPES", "check_event"]


def _certification(checker: Checker, value: Any, path: str) -> None:
    (a_list_of(a_uri) if isinstance(value, list) else a_uri)(checker, value, path)


def _quantity_element(checker: Checker, value: Any, path: str) -> None:
    an_object({"epcClass": a_uri, "quantity": a_quantity, "uom": a_unit}, needed=("epcClass",))(checker, value, path)
    if isinstance(value, dict) and "uom" in value and "quantity" not in value:
        checker.bad(f"{path}.uom", "a unit without a quantity")


def _persistent_disposition(checker: Checker, value: Any, path: str) -> None:
    words = a_list_of(a_word_of("disposition"), least=1, unique=True)
    an_object({"set": words, "unset": words})(checker, value, path)
    if isinstance(value, dict) and not value.keys() & {"set", "unset"}:
        checker.bad(path, "must set or unset something")


_epcs = a_list_of(a_uri, unique=True)
_quantities = a_list_of(_quantity_element)
_place = an_object({"id": a_uri}, needed=("id",), own=True)

_METADATA: Final[dict[str, Rule]] = {
    **dict.fromkeys(("time", "startTime", "endTime"), a_time),
    **dict.fromkeys(("deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules"), a_uri),
}
_REPORT: Final[dict[str, Rule]] = {
    "type": a_word_of("sensorReport.type"),
    "exception": a_word_of("exception"),
    "component": a_word_of("component"),
    "time": a_time,
    "stringValue": a_text,
    "uom": a_text,
    "booleanValue": a_boolean,
    "hexBinaryValue": a_hex,
    **dict.fromkeys(("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"), a_number),
    **dict.fromkeys(
        (
            "deviceID",
            "deviceMetadata",
            "rawData",
            "dataProcessingMethod",
            "bizRules",
            "microorganism",
            "chemicalSubstance",
            "coordinateReferenceSystem",
            "uriValue",
        ),
        a_uri,
    ),
}
_sensor_element = an_object(
    {
        "sensorMetadata": an_object(_METADATA, own=True),
        "sensorReport": a_list_of(an_object(_REPORT, needed=("type",), own=True), least=1),
    },
    needed=("sensorReport",),
    own=True,
)
_error_declaration = an_object(
    {"declarationTime": a_time, "reason": a_word_of("reason"), "correctiveEventIDs": a_list_of(a_uri)},
    needed=("declarationTime",),
    own=True,
)


def _typed(name: str, *, needs_type: bool) -> Rule:
    needed = (name, "type") if needs_type else (name,)
    return a_list_of(an_object({name: a_uri, "type": a_word_of(f"{name}.type")}, needed=needed))


_COMMON: Final[dict[str, Rule]] = {
    "@context": anything,
    "type": anything,
    "eventTime": a_time,
    "recordTime": a_time,
    "eventTimeZoneOffset": an_offset,
    "eventID": a_uri,
    "certificationInfo": _certification,
    "errorDeclaration": _error_declaration,
    "bizStep": a_word_of("bizStep"),
    "disposition": a_word_of("disposition"),
    "persistentDisposition": _persistent_disposition,
    "readPoint": _place,
    "bizLocation": _place,
    "bizTransactionList": _typed("bizTransaction", needs_type=False),
    "sourceList": _typed("source", needs_type=True),
    "destinationList": _typed("destination", needs_type=True),
    "sensorElementList": a_list_of(_sensor_element),
}
_ILMD: Final[dict[str, Rule]] = {"ilmd": an_object({}, own=True)}
_THINGS: Final[dict[str, Rule]] = {"epcList": _epcs, "quantityList": _quantities}
_CHILDREN: Final[dict[str, Rule]] = {"parentID": a_uri, "childEPCs": _epcs, "childQuantityList": _quantities}

EVENT_TYPES: Final[dict[str, dict[str, Rule]]] = {
    "ObjectEvent": {**_COMMON, **_THINGS, **_ILMD, "action": an_action},
    "AggregationEvent": {**_COMMON, **_CHILDREN, "action": an_action},
    "AssociationEvent": {**_COMMON, **_CHILDREN, "action": an_action},
    "TransactionEvent": {**_COMMON, **_THINGS, "parentID": a_uri, "action": an_action},
    "TransformationEvent": {
        **_COMMON,
        **_ILMD,
        "inputEPCList": _epcs,
        "inputQuantityList": _quantities,
        "outputEPCList": _epcs,
        "outputQuantityList": _quantities,
        "transformationID": a_uri,
    },
}
"""The five event types and the standard fields of each."""

_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "ObjectEvent": ("action",),
    "AggregationEvent": ("action",),
    "AssociationEvent": ("action", "parentID"),
    "TransactionEvent": ("action", "bizTransactionList"),
    "TransformationEvent": (),
}


def _names_any(event: Mapping[str, Any], *fields: str) -> bool:
    return any(event.get(name) for name in fields)


def _check_whole(checker: Checker, event: Mapping[str, Any], path: str) -> None:
    kind, action = event["type"], str(event.get("action"))
    if kind == "ObjectEvent":
        # A sensor may report on a place without naming any thing in it.
        about_place = _names_any(event, "sensorElementList") and "readPoint" in event
        if "epcList" not in event and not _names_any(event, "quantityList") and not about_place:
            checker.bad(path, "names no things: epcList, quantityList, or sensorElementList with readPoint")
        if "ilmd" in event and action in {"OBSERVE", "DELETE"}:
            checker.bad(f"{path}.ilmd", "only with the action ADD")
    elif kind == "TransformationEvent":
        has_inputs = _names_any(event, "inputEPCList", "inputQuantityList")
        has_outputs = _names_any(event, "outputEPCList", "outputQuantityList")
        if not (has_inputs and has_outputs) and not ("transformationID" in event and (has_inputs or has_outputs)):
            checker.bad(path, "needs inputs and outputs, or transformationID and one of the two")
    elif kind == "TransactionEvent":
        if action != "DELETE" and "epcList" not in event and not _names_any(event, "quantityList"):
            checker.bad(path, "names no things: epcList or quantityList")
    else:
        if action != "DELETE" and not _names_any(event, "childEPCs", "childQuantityList"):
            checker.bad(path, "names no things: childEPCs or childQuantityList")
        if kind == "AggregationEvent" and action in {"ADD", "DELETE"} and "parentID" not in event:
            checker.bad(f"{path}.parentID", f"missing: the action {action} needs it")


def check_event(checker: Checker, event: object, path: str) -> bool:
    """Check one event.

    Args:
        checker: Gathers what is found.
        event: The event's object.
        path: Where it stands.

    Returns:
        Whether nothing was found.
    """
    before = checker.count
    if not isinstance(event, dict):
        checker.bad(path, "must be an object")
        return False
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        checker.bad(f"{path}.type", f"must be one of {', '.join(EVENT_TYPES)}" if "type" in event else "missing")
        return False
    checker.fields(event, path, EVENT_TYPES[kind], needed=("eventTime", "eventTimeZoneOffset", *_NEEDED[kind]))
    _check_whole(checker, event, path)
    return checker.count == before
