"""Who may do what at the broker, as rules over values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.core.wire.topics import Lane, Topic
from hanlu.registry.broker_rules import (
    PLATFORM,
    access_list,
    client_id_fits,
    gateway_may,
    new_password,
    password_file,
    password_hash,
    password_matches,
    platform_may,
)


@pytest.mark.parametrize("lane", list(Lane))
def test_a_gateway_publishes_upward_and_subscribes_downward_in_its_own_partition(lane: Lane):
    own, partition, gateway = Topic(7, "gw-1", lane), Topic(8, "gw-1", lane), Topic(7, "gw-2", lane)
    assert gateway_may("gw-1", 7, "publish", str(own)) is lane.upward
    assert gateway_may("gw-1", 7, "subscribe", str(own)) is not lane.upward
    for other in (partition, gateway):
        assert not gateway_may("gw-1", 7, "publish", str(other))
        assert not gateway_may("gw-1", 7, "subscribe", str(other))


@given(st.text(max_size=60))
def test_no_topic_but_its_own_seven_is_ever_allowed(topic: str):
    own = {str(Topic(7, "gw-1", lane)) for lane in Lane}
    if topic not in own:
        assert not gateway_may("gw-1", 7, "publish", topic)
        assert not gateway_may("gw-1", 7, "subscribe", topic)


@given(st.sampled_from(["#", "+", "hanlu/#", "hanlu/1/07/gw-1/#", "hanlu/1/+/gw-1/receipt", "$share/g/#"]))
def test_a_wildcard_is_nobodys_but_the_platforms(topic: str):
    assert not gateway_may("gw-1", 7, "subscribe", topic)


def test_the_platform_uses_hanlus_topics_and_reads_the_brokers_figures():
    assert platform_may("subscribe", "hanlu/1/07/+/live")
    assert platform_may("publish", "hanlu/1/07/gw-1/receipt")
    assert platform_may("subscribe", "$SYS/#")
    assert not platform_may("publish", "$SYS/x")
    assert not platform_may("subscribe", "#")
    assert not platform_may("publish", "hanlu/2/x")


def test_the_access_list_names_exactly_what_the_rules_allow():
    text = access_list([("gw-1", 7), ("gw-2", 8)], "boss")
    sections = {part.split("\n")[0]: part.split("\n")[1:] for part in text.removeprefix("user ").split("\n\nuser ")}
    assert set(sections) == {"boss", "gw-1", "gw-2"}
    for code, partition in (("gw-1", 7), ("gw-2", 8)):
        for line in filter(None, sections[code]):
            _, verb, topic = line.split(" ")
            assert gateway_may(code, partition, "publish" if verb == "write" else "subscribe", topic)
        assert len(list(filter(None, sections[code]))) == len(Lane)
    assert not {"#", "+"} & set("".join(sections["gw-1"]))


def test_a_client_id_of_ours_belongs_to_its_gateway():
    assert client_id_fits("gw-1", "hanlu-gw-1")
    assert client_id_fits("gw-1", "a-sensor")
    assert client_id_fits("gw-1", "")
    assert not client_id_fits("gw-1", "hanlu-gw-2")
    assert not client_id_fits("gw-1", "hanlu-ingest")


def test_a_password_matches_its_own_hash_only():
    password = new_password()
    stored = password_hash(password)
    assert password_matches(stored, password)
    assert not password_matches(stored, password + "x")
    assert not password_matches(stored, "")
    assert not password_matches(None, password)
    assert password_hash(password) != stored, "salted"
    assert password_file({"gw-1": stored, PLATFORM: "x"}) == f"gw-1:{stored}\nplatform:x\n"


@pytest.mark.parametrize(
    "stored",
    ["", "x", "$7$", "$6$101$AAAA$AAAA", "$7$0$AAAA$AAAA", "$7$x$AAAA$AAAA", "$7$9999999$AAAA$AAAA", "$7$101$!$!"],
)
def test_a_damaged_hash_matches_nothing_and_raises_nothing(stored: str):
    assert not password_matches(stored, "peach")


@given(st.text())
def test_any_text_is_a_password_that_can_be_wrong(password: str):
    assert not password_matches(password_hash("right"), password) or password == "right"
