"""The register in a real database: seeds that repeat, references that must hold, reads within a subtree."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from fix_register import QUICK, Register, Template

from hanlu.app.demo import seed
from hanlu.core import gateway_health
from hanlu.core.errors import ConflictError, NotFoundError
from hanlu.core.wire.envelope import key_id, public_bytes
from hanlu.firmware_sim.yanling import demo_county
from hanlu.gateway.identity import load_or_create_key
from hanlu.registry.passwords import Passwords
from hanlu.registry.records import (
    Change,
    Channel,
    Device,
    Gateway,
    GatewayKey,
    LimitProfile,
    Organisation,
    Product,
    Site,
    Zone,
)

pytestmark = pytest.mark.postgres

TABLES = ("organisation", "site", "zone", "gateway", "gateway_key", "device", "channel", "participant", "product")
LIMITS = LimitProfile("test", date(2026, 1, 1), "a test", high=4.0)


def everything(register: Register) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows with the transaction that last wrote each: a rewrite with the same values shows too."""
    kept = (*TABLES, "limit_profile", "level_name", "person")
    return {table: register.all(f"SELECT xmin::text, t.* FROM registry.{table} AS t ORDER BY 2, 3") for table in kept}


def test_seeding_again_changes_nothing(register: Register, register_template: Template):
    before = everything(register)
    made = seed(register.pool, register_template.key_file, demo_county(), Passwords(**QUICK))
    assert made == []
    assert everything(register) == before


def test_the_seed_holds_the_whole_county(register: Register):
    county = demo_county()
    channels = sum(len(device.channels) for device in county.devices)
    channels += len(county.gateways) * len(gateway_health.METRICS)
    (count,) = register.all("SELECT count(*) FROM registry.channel_v")[0]
    assert count == channels > 0
    assert {each.code for each in register.registry.zones()} == {zone.code for zone in county.zones}
    assert [level.name_zh for level in register.registry.level_names()] == ["省", "市", "县", "乡", "村"]


def test_gateways_are_enrolled_with_the_keys_they_sign_with(register: Register, register_template: Template):
    rows = register.all(
        "SELECT code, kid, public_key FROM registry.gateway_key JOIN registry.gateway USING (gateway_id)"
    )
    assert len(rows) == len(demo_county().gateways)
    for code, kid, public_key in rows:
        ours = public_bytes(load_or_create_key(register_template.key_file(code)))
        assert (bytes(kid), bytes(public_key)) == (key_id(ours), ours)


def test_a_changed_record_is_changed_once(register: Register):
    zone = next(each for each in register.registry.zones() if each.code == "room-1")
    renamed = replace(zone, name_en="Room one")
    with register.registry.editing() as editor:
        assert editor.put_zone(renamed) is Change.CHANGED
        assert editor.put_zone(renamed) is Change.NONE
    assert renamed in register.registry.zones()


def test_the_tree_knows_its_paths_and_levels(register: Register):
    nodes = {each.code: each for each in register.registry.organisations()}
    assert nodes["hunan"].level == 1
    assert nodes["pingle"].level == 5
    assert nodes["pingle"].path.startswith(nodes["zhongcun"].path)
    assert nodes["pingle"].path.startswith(nodes["yanling"].path)


def test_reads_end_at_the_subtree(register: Register):
    nodes = {each.code: each for each in register.registry.organisations()}
    inside = register.registry.sites(nodes["yanling"].path)
    assert {"yanling-store", "zhongcun-base"} <= {site.code for site in inside}
    assert "changsha-shop" not in {site.code for site in inside}
    assert {node.code for node in register.registry.organisations(nodes["changsha"].path)} == {"changsha", "yuhua"}
    assert [gateway.code for gateway in register.registry.gateways(nodes["changsha"].path)] == ["gw-changsha"]


def test_a_node_does_not_move_by_seeding(register: Register):
    with pytest.raises(ConflictError, match="elsewhere"), register.registry.editing() as editor:
        editor.put_organisation(Organisation("pingle", "changsha", "平乐村", "Pingle"))


def test_a_thing_that_names_an_unknown_one_is_refused_and_nothing_is_written(register: Register):
    before = everything(register)
    for put, record in (
        ("put_site", Site("s-1", "nowhere", "站", "Site", "depot")),
        ("put_site", Site("s-1", "hunan", "站", "Site", "depot", participant="9999999999994")),
        ("put_zone", Zone("z-1", "no-site", "间", "Zone")),
        ("put_zone", Zone("z-1", "yanling-store", "间", "Zone", limit_profile="no-profile")),
        ("put_gateway", Gateway("gw-9", "no-site", 1)),
        ("put_device", Device("no-gateway", "d-1", "cold_room")),
        ("put_device", Device("gw-yanling", "d-1", "cold_room", zone="no-zone")),
        ("put_channel", Channel("gw-yanling", "no-device", "air_temperature", "Cel", 60.0)),
        ("put_product", Product("06999999299995", "物", "Thing", "no-profile")),
        ("put_organisation", Organisation("new", "nowhere", "新", "New")),
    ):
        with pytest.raises(NotFoundError, match="is not registered"), register.registry.editing() as editor:
            getattr(editor, put)(record)
    assert everything(register) == before


def test_no_device_is_called_as_the_gateway_itself(register: Register):
    before = everything(register)
    with pytest.raises(ConflictError, match="no device behind gw-yanling may be called 'gateway'"):  # noqa: SIM117
        with register.registry.editing() as editor:
            editor.put_device(Device("gw-yanling", gateway_health.DEVICE, "cold_room"))
    with register.registry.editing() as editor:
        assert set(editor.put_gateway_health("gw-yanling")) == {Change.NONE}
    assert everything(register) == before


def test_a_channel_keeps_its_unit(register: Register):
    channel = Channel("gw-yanling", "room-1", "air_temperature", "K", 5.0)
    with pytest.raises(ConflictError, match="Cel"), register.registry.editing() as editor:
        editor.put_channel(channel)


def test_a_key_belongs_to_one_gateway(register: Register):
    key = GatewayKey("gw-yanling", b"12345678", b"k" * 32)
    with register.registry.editing() as editor:
        assert editor.enrol_key(key) is Change.ADDED
        assert editor.enrol_key(key) is Change.NONE
    for other in (replace(key, gateway="gw-changsha"), replace(key, public_key=b"x" * 32)):
        with pytest.raises(ConflictError), register.registry.editing() as editor:
            editor.enrol_key(other)


def test_a_revoked_key_stays_revoked_when_enrolled_again(register: Register):
    key = GatewayKey("gw-yanling", b"12345678", b"k" * 32)
    with register.registry.editing() as editor:
        editor.enrol_key(key)
        assert editor.revoke_key(key.kid, datetime(2026, 9, 1, tzinfo=UTC)) is Change.CHANGED
        assert editor.revoke_key(key.kid, datetime(2026, 9, 2, tzinfo=UTC)) is Change.NONE
        editor.enrol_key(key)
    assert register.all("SELECT revoked_at FROM registry.gateway_key WHERE kid = %s", key.kid) == [
        (datetime(2026, 9, 1, tzinfo=UTC),)
    ]


def test_new_limits_leave_the_old_ones_for_their_own_time(register: Register):
    with register.registry.editing() as editor:
        editor.put_limit_profile(LIMITS)
        editor.put_limit_profile(replace(LIMITS, effective_from=date(2026, 6, 1), high=5.0))
    limits_on = register.registry.limits_on
    assert limits_on("test", date(2025, 12, 31)) == ()
    assert [each.high for each in limits_on("test", date(2026, 5, 31))] == [4.0]
    assert [each.high for each in limits_on("test", date(2026, 6, 1))] == [5.0]
    assert limits_on("test", date(2026, 1, 1)) == (LIMITS,)


def test_a_channel_is_judged_by_its_own_profile_before_its_zones(register: Register):
    channel = Channel("gw-yanling", "room-1", "air_temperature", "Cel", 5.0, limit_profile="test")
    query = "SELECT limit_profile, high FROM registry.channel_v WHERE channel = 'gw-yanling/room-1/air_temperature'"
    assert register.all(query)[0][0] == "peach"
    with register.registry.editing() as editor:
        editor.put_limit_profile(LIMITS)
        editor.put_channel(channel)
    assert register.all(query) == [("test", 4.0)]
