"""Every testable statement of Sparkplug 3.0: whose duty it is, and where it is ours, the test that holds it.

The host application's duties are listed one by one. Statements about what an edge node sends are the edge node's duty;
where a host depends on them, the test named shows what becomes of what it sends, or of a node that does not keep them.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from fix_shared import shared_dir

TESTS = Path(__file__).resolve().parents[1]
FILES = {
    "host": TESTS / "unit" / "gateway" / "driver" / "test_sparkplug_host.py",
    "payload": TESTS / "unit" / "gateway" / "driver" / "test_sparkplug_payload.py",
    "broker": TESTS / "integration" / "test_driver_sparkplug.py",
}

_STATE = "host.test_host_says_when_it_is_there_with_the_time_of_its_will"
_FIRST = "broker.test_host_is_online_from_its_first_word_and_offline_by_its_last"
_WILL = "broker.test_broker_tells_of_a_host_that_vanishes_with_the_time_of_its_birth"
_CLEAN = "broker.test_session_is_clean"
_FILTERS = "payload.test_host_subscribes_to_its_state_and_to_what_edge_nodes_say"
_COMMAND = "payload.test_rebirth_request_is_what_the_specification_asks_for"
_NODE_DEATH = "host.test_death_of_a_node_ends_its_devices"
_DEVICE_DEATH = "host.test_death_of_a_device_ends_it_alone"
_ASK = "broker.test_edge_node_is_asked_for_its_births_and_its_values_come"
_OLD_DEATH = "host.test_death_of_an_earlier_connection_means_nothing"
_TOPIC = "payload.test_topic_is_read"
_ORDER = "host.test_message_out_of_order_waits_for_the_one_before"
_WRAP = "host.test_sequence_wraps_after_255"
_ALIAS = "host.test_alias_never_born_is_kept_unread_and_a_rebirth_asked_for"
_TYPES = "payload.test_value_is_a_number_by_its_type_or_none"
_TIME = "host.test_time_is_the_metrics_then_the_payloads_then_ours"
_NO_NUMBER = "host.test_what_is_no_number_is_counted_and_left_out"
_QUALITY = "host.test_engineering_unit_and_quality_are_taken_where_they_are_known"

EDGE, BROKER, NOT_USED = "the edge node's duty", "the broker's duty", "a feature this host does not use"

# What a host application must do, or must be able to take; patterns of ids (without `tck-id-`), the first match counts.
DUTIES: tuple[tuple[str, str], ...] = (
    # STATE: birth, death, will
    ("conformance-primary-host|intro-sparkplug-host-state|components-ph-state", _STATE),
    ("host-topic-phid-birth-message|host-topic-phid-birth-required", _FIRST),
    ("host-topic-phid-birth-sub-required|payloads-state-subscribe", _FILTERS),
    ("host-topic-phid-birth-.*", _STATE),
    ("host-topic-phid-death-payload-timestamp-disconnect-.*", _FIRST),
    ("host-topic-phid-death-required|host-topic-phid-death-payload-timestamp-connect", _WILL),
    ("host-topic-phid-death-.*", _STATE),
    ("message-flow-phid-sparkplug-clean-session-311", _CLEAN),
    ("message-flow-phid-sparkplug-clean-session-50", NOT_USED),  # MQTT 5
    ("message-flow-phid-sparkplug-subscription", _FILTERS),
    ("message-flow-phid-sparkplug-state-publish", _FIRST),
    ("message-flow-phid-sparkplug-state-publish-.*", _STATE),
    ("message-flow-hid-sparkplug-state-message-delivered", "broker.test_host_contradicts_a_death_while_it_lives"),
    ("operational-behavior-host-application-connect-will", _WILL),
    ("operational-behavior-host-application-connect-birth", _FIRST),
    ("operational-behavior-host-application-connect-.*", _STATE),
    ("operational-behavior-host-application-(termination|disconnect-intentional)", _FIRST),
    ("operational-behavior-host-application-death-.*", _STATE),
    ("operational-behavior-host-application-host-id", NOT_USED),  # unique by whoever writes the settings
    ("operational-behavior-host-application-multi-server-timestamp", NOT_USED),  # one broker for each driver
    ("operational-behavior-primary-application-state-with-multiple-servers-state", _FIRST),
    ("operational-behavior-primary-application-state-with-multiple-servers-state-subs", _STATE),
    ("payloads-state-will-message", _WILL),
    ("payloads-state-(will-message-.*|birth-payload)", _STATE),
    ("payloads-state-birth", _FIRST),
    ("principles-birth-certificates-order", _FIRST),
    # what becomes of births and deaths
    ("operational-behavior-edge-node-termination-host-action-ndeath-node-.*", _OLD_DEATH),
    ("operational-behavior-edge-node-termination-host-action-ndeath-devices-.*", _NODE_DEATH),
    ("operational-behavior-edge-node-termination-host-action-ddeath-.*", _DEVICE_DEATH),
    ("topics-nbirth-bdseq-matching|payloads-ndeath-bdseq", _OLD_DEATH),
    # order
    ("operational-behavior-host-reordering-param", "host.test_reorder_time_can_be_set"),
    ("operational-behavior-host-reordering-(start|success)", _ORDER),
    (
        "operational-behavior-host-reordering-rebirth",
        "host.test_gap_that_stays_costs_only_the_missing_message_and_asks_for_a_rebirth",
    ),
    ("payloads-sequence-num-incrementing", _WRAP),
    ("payloads-sequence-num-always-included", "host.test_junk_is_kept_unread"),
    # commands we send
    ("operational-behavior-data-commands-(ncmd-rebirth-.*|ncmd-verb)", _COMMAND),
    ("operational-behavior-data-commands-ncmd-metric-.*", _COMMAND),
    ("topics-ncmd-(timestamp|payload)|payloads-ncmd-(timestamp|seq)|payloads-name-cmd-requirement", _COMMAND),
    ("topics-ncmd-(topic|mqtt)|payloads-ncmd-(qos|retain)", _ALIAS),
    ("(topics|payloads)-dcmd-.*|operational-behavior-data-commands-dcmd-.*", NOT_USED),  # no commands to devices
    # ids and names
    ("case-sensitivity-sparkplug-ids|topic-structure.*", _TOPIC),
    ("case-sensitivity-metric-names", "host.test_two_metrics_never_share_a_channel"),
    ("intro-(group|edge-node|device)-id-string", _TOPIC),
    # what metrics are
    ("payloads-(alias-data-cmd-requirement|name-birth-data-requirement|alias-birth-requirement)", _ALIAS),
    ("payloads-name-requirement|payloads-alias-uniqueness", "host.test_alias_of_another_device_is_not_guessed_at"),
    ("payloads-(timestamp-in-UTC|metric-timestamp-in-UTC)", _TIME),
    ("payloads-metric-datatype-.*", _TYPES),
    ("payloads-propertyset-.*|payloads-metric-propertyvalue-.*", _QUALITY),
    ("payloads-(dataset|template)-.*|topics-nbirth-templates", _NO_NUMBER),
    # not ours
    ("conformance-mqtt-.*", BROKER),
    ("operational-behavior-primary-application-state-with-multiple-servers-(single-server|walk)", EDGE),
    ("intro-.*|principles-.*", EDGE),
    ("topics-(n|d)(birth|data|death)-.*", EDGE),
    ("message-flow-(edge-node|device)-.*", EDGE),
    ("operational-behavior-(edge-node|device|data-publish|data-commands-rebirth)-.*", EDGE),
    ("payloads-sequence-num-req-nbirth", EDGE),
    ("payloads-(nbirth|dbirth|ndata|ddata|ndeath|ddeath)-.*", EDGE),
)


def statements() -> list[str]:
    with shared_dir("samples", "sparkplug", "requirements.csv").open(encoding="utf-8") as file:
        return [row["id"].removeprefix("tck-id-") for row in csv.DictReader(file)]


def duty(statement: str) -> str | None:
    return next((whose for pattern, whose in DUTIES if re.fullmatch(pattern, statement)), None)


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """The test files named, loaded apart from the run."""
    loaded = {}
    for key, path in FILES.items():
        spec = importlib.util.spec_from_file_location(f"named_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        loaded[key] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[key])
    return loaded


def test_every_statement_has_its_bearer() -> None:
    every = statements()
    assert len(every) == 299
    assert [each for each in every if duty(each) is None] == []


def test_every_line_of_the_table_is_about_a_statement() -> None:
    every = statements()
    first = {each: next(pattern for pattern, _ in DUTIES if re.fullmatch(pattern, each)) for each in every}
    assert {pattern for pattern, _ in DUTIES} - set(first.values()) == set()


def test_every_test_named_is_there(modules: dict[str, ModuleType]) -> None:
    for _, whose in DUTIES:
        if whose not in {EDGE, BROKER, NOT_USED}:
            file, _, name = whose.partition(".")
            assert callable(getattr(modules[file], name)), whose


@pytest.mark.parametrize(
    "words", ["host-application", "host-topic", "host-reordering", "host-action", "payloads-state"]
)
def test_no_duty_of_a_host_is_left_to_others(words: str) -> None:
    mine = [each for each in statements() if words in each]
    assert mine
    assert not [each for each in mine if duty(each) in {EDGE, BROKER}]
