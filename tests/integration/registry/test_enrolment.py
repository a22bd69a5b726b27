"""How gateways get, change and lose their identity, over a real register."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from fix_enrolment import ADDRESS, EdgeKey, Enrolling
from fix_register import administrator_of

from hanlu.core import gateway_health
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.core.wire.enrolment import to_text
from hanlu.registry.broker_rules import password_matches
from hanlu.registry.enrolment import Granted, NotGranted
from hanlu.registry.gateways import GatewayRow, Gateways

pytestmark = pytest.mark.postgres

SITE = "yanling-store"
DAY_S = 86_400


def granted(outcome: Granted | NotGranted) -> Granted:
    assert isinstance(outcome, Granted), outcome
    return outcome


def reason(outcome: Granted | NotGranted) -> str:
    assert isinstance(outcome, NotGranted), outcome
    return outcome.reason


def row(gateways: Gateways, code: str) -> GatewayRow:
    return gateways.one("/", code)


def keys_in_force(enrolling: Enrolling, code: str) -> set[bytes]:
    """The keys ingest takes at the test's time."""
    now_ms = enrolling.register.clock.now_ms()
    rows = enrolling.register.all(
        "SELECT kid FROM registry.gateway_key AS k JOIN registry.gateway AS g USING (gateway_id) WHERE g.code = %s"
        " AND (k.revoked_at IS NULL OR k.revoked_at > to_timestamp(%s / 1000.0))",
        code,
        now_ms,
    )
    return {bytes(kid) for (kid,) in rows}


def test_a_gateway_added_has_the_least_used_partition_and_its_own_health_channels(enrolling: Enrolling):
    used = {each.partition for each in enrolling.gateways.list()}
    partition = enrolling.gateways.add(None, "gw-new", SITE)
    assert partition == min(set(range(64)) - used)
    assert enrolling.gateways.add(None, "gw-newer", SITE) not in {partition, *used}
    found = row(enrolling.gateways, "gw-new")
    assert (found.state, found.site, found.channels) == ("waiting", SITE, len(gateway_health.METRICS))
    channels = {(each.device, each.metric) for each in enrolling.gateways.channels(found)}
    assert channels == {(gateway_health.DEVICE, each.metric) for each in gateway_health.METRICS}


@pytest.mark.parametrize("code", ["", "GW", "gw_1", "-gw", "gw/1", "gw 1", "x" * 41, "platform", "gw\n"])
def test_a_code_no_topic_can_carry_or_the_platform_has_is_refused(enrolling: Enrolling, code: str):
    with pytest.raises(UsageError):
        enrolling.gateways.add(None, code, SITE)


def test_a_code_that_is_taken_or_a_site_unknown_adds_nothing(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    with pytest.raises(ConflictError):
        enrolling.gateways.add(None, "gw-new", SITE)
    with pytest.raises(NotFoundError):
        enrolling.gateways.add(None, "gw-other", "nowhere")
    assert not any(each.code == "gw-other" for each in enrolling.gateways.list())


def test_a_token_brings_a_key_and_a_login_that_the_broker_knows_at_once(enrolling: Enrolling):
    partition = enrolling.gateways.add(None, "gw-new", SITE)
    token = enrolling.gateways.token(None, "gw-new")
    key = EdgeKey()
    got = granted(enrolling.enrolments.enrol(key.enrol(f" {token.token.upper()} "), ADDRESS))
    assert (got.gateway, got.partition, got.kid, got.old_key_until_ms) == ("gw-new", partition, key.kid, None)
    assert password_matches(enrolling.door.logins["gw-new"], got.password)
    assert len(got.password) >= 32
    found = row(enrolling.gateways, "gw-new")
    assert (found.state, found.kid, found.token_until) == ("silent", key.kid, None)
    assert keys_in_force(enrolling, "gw-new") == {key.kid}


def test_neither_token_nor_password_stands_in_the_database(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    token = enrolling.gateways.token(None, "gw-new").token
    got = granted(enrolling.enrolments.enrol(EdgeKey().enrol(token), ADDRESS))
    tables = ("enrolment", "enrolment_use", "broker_login", "gateway_key", "gateway", "audit")
    everything = "".join(str(enrolling.register.all(f"SELECT t::text FROM registry.{name} AS t")) for name in tables)
    assert "gw-new" in everything
    assert token not in everything
    assert got.password not in everything


def test_a_token_is_spent_on_one_key(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    token = enrolling.gateways.token(None, "gw-new").token
    first, second = EdgeKey(), EdgeKey()
    granted(enrolling.enrolments.enrol(first.enrol(token), ADDRESS))
    assert reason(enrolling.enrolments.enrol(second.enrol(token), ADDRESS)) == "spent"
    assert keys_in_force(enrolling, "gw-new") == {first.kid}


def test_of_many_keys_with_one_token_at_the_same_moment_one_wins(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    token = enrolling.gateways.token(None, "gw-new").token
    keys = [EdgeKey() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda key: enrolling.enrolments.enrol(key.enrol(token), ADDRESS), keys))
    winners = [each.kid for each in outcomes if isinstance(each, Granted)]
    assert len(winners) == 1
    assert keys_in_force(enrolling, "gw-new") == set(winners)


def test_the_database_itself_refuses_a_token_spent_twice(enrolling: Enrolling):
    key = enrolling.enrolled("gw-new")
    other = enrolling.enrolled("gw-other")
    with psycopg.connect(enrolling.register.url) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            "INSERT INTO registry.enrolment_use SELECT enrolment_id, %s, now() FROM registry.enrolment_use"
            " WHERE kid = %s",
            (other.kid, key.kid),
        )


def test_the_same_key_asks_again_when_the_answer_was_lost(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    token, key = enrolling.gateways.token(None, "gw-new").token, EdgeKey()
    lost = granted(enrolling.enrolments.enrol(key.enrol(token), ADDRESS))
    again = granted(enrolling.enrolments.enrol(key.enrol(token), ADDRESS))
    assert again.kid == lost.kid
    assert again.password != lost.password
    assert password_matches(enrolling.door.logins["gw-new"], again.password)


def test_a_token_that_expired_or_was_replaced_enrols_nothing(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    old = enrolling.gateways.token(None, "gw-new", hours=1).token
    new = enrolling.gateways.token(None, "gw-new", hours=1).token
    assert reason(enrolling.enrolments.enrol(EdgeKey().enrol(old), ADDRESS)) == "withdrawn"
    enrolling.register.clock.advance(3600)
    assert reason(enrolling.enrolments.enrol(EdgeKey().enrol(new), ADDRESS)) == "expired"
    assert keys_in_force(enrolling, "gw-new") == set()


@pytest.mark.parametrize("hours", [0, -1, 169])
def test_a_token_has_a_bounded_life(enrolling: Enrolling, hours: int):
    enrolling.gateways.add(None, "gw-new", SITE)
    with pytest.raises(UsageError):
        enrolling.gateways.token(None, "gw-new", hours=hours)


def test_a_signature_of_another_key_or_for_another_token_enrols_nothing(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    token = enrolling.gateways.token(None, "gw-new").token
    key, thief = EdgeKey(), EdgeKey()
    stolen = thief.enrol(token).model_copy(update={"public_key": to_text(key.public)})
    assert reason(enrolling.enrolments.enrol(stolen, ADDRESS)) == "signature"
    replayed = key.enrol("another-token").model_copy(update={"token": token})
    assert reason(enrolling.enrolments.enrol(replayed, ADDRESS)) == "signature"


def test_wrong_tokens_from_one_address_must_wait_and_others_are_untouched(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    token = enrolling.gateways.token(None, "gw-new").token
    for number in range(30):
        assert reason(enrolling.enrolments.enrol(EdgeKey().enrol(f"guess-{number:04}"), ADDRESS)) == "unknown"
    refused = enrolling.enrolments.enrol(EdgeKey().enrol(token), ADDRESS)
    assert reason(refused) == "wait"
    assert 0 < refused.retry_after_s <= 300
    granted(enrolling.enrolments.enrol(EdgeKey().enrol(token), "192.0.2.8"))


def test_a_key_of_another_gateway_enrols_nothing(enrolling: Enrolling):
    taken = enrolling.enrolled("gw-new")
    enrolling.gateways.add(None, "gw-other", SITE)
    token = enrolling.gateways.token(None, "gw-other").token
    assert reason(enrolling.enrolments.enrol(taken.enrol(token), ADDRESS)) == "foreign"


def test_nothing_has_happened_when_the_broker_cannot_be_told(enrolling: Enrolling):
    enrolling.gateways.add(None, "gw-new", SITE)
    token, key = enrolling.gateways.token(None, "gw-new").token, EdgeKey()
    enrolling.door.jammed = True
    with pytest.raises(OSError, match="space"):
        enrolling.enrolments.enrol(key.enrol(token), ADDRESS)
    assert keys_in_force(enrolling, "gw-new") == set()
    enrolling.door.jammed = False
    granted(enrolling.enrolments.enrol(EdgeKey().enrol(token), ADDRESS))


def test_a_new_key_signed_by_the_old_one_takes_over_with_an_overlap(enrolling: Enrolling):
    old, new = enrolling.enrolled("gw-new"), EdgeKey()
    got = granted(enrolling.enrolments.renew(old.renew(enrolling.enrolments.challenges.give(), "gw-new", new), ADDRESS))
    assert got.kid == new.kid
    assert got.old_key_until_ms == enrolling.register.clock.now_ms() + 7 * DAY_S * 1000
    assert keys_in_force(enrolling, "gw-new") == {old.kid, new.kid}
    assert row(enrolling.gateways, "gw-new").kid == new.kid
    enrolling.register.clock.advance(7 * DAY_S)
    assert keys_in_force(enrolling, "gw-new") == {new.kid}


def test_a_replaced_key_repeats_its_announcement_and_makes_no_other(enrolling: Enrolling):
    old, new, third = enrolling.enrolled("gw-new"), EdgeKey(), EdgeKey()
    give, renew = enrolling.enrolments.challenges.give, enrolling.enrolments.renew
    first = granted(renew(old.renew(give(), "gw-new", new), ADDRESS))
    enrolling.register.clock.advance(60)
    again = granted(renew(old.renew(give(), "gw-new", new), ADDRESS))
    assert again.password != first.password
    assert reason(renew(old.renew(give(), "gw-new", third), ADDRESS)) == "expired"
    assert keys_in_force(enrolling, "gw-new") == {old.kid, new.kid}
    granted(renew(old.renew(give(), "gw-new"), ADDRESS))
    assert row(enrolling.gateways, "gw-new").kid == new.kid, "a password alone ends no key"


def test_a_challenge_counts_once_and_not_for_long(enrolling: Enrolling):
    key = enrolling.enrolled("gw-new")
    asked = key.renew(enrolling.enrolments.challenges.give(), "gw-new")
    granted(enrolling.enrolments.renew(asked, ADDRESS))
    assert reason(enrolling.enrolments.renew(asked, ADDRESS)) == "unknown"
    late = key.renew(enrolling.enrolments.challenges.give(), "gw-new")
    enrolling.register.clock.advance(61)
    assert reason(enrolling.enrolments.renew(late, ADDRESS)) == "unknown"


def test_a_renewal_needs_the_signature_of_both_keys(enrolling: Enrolling):
    old, new, stranger = enrolling.enrolled("gw-new"), EdgeKey(), EdgeKey()
    give, renew = enrolling.enrolments.challenges.give, enrolling.enrolments.renew
    good = old.renew(give(), "gw-new", new)
    forged = stranger.renew(good.challenge, "gw-new", new).model_copy(update={"kid": old.kid.hex()})
    assert reason(renew(forged, ADDRESS)) == "signature"
    unheld = old.renew(give(), "gw-new", new).model_copy(update={"new_signature": good.signature})
    assert reason(renew(unheld, ADDRESS)) == "signature"
    missing = old.renew(give(), "gw-new", new).model_copy(update={"new_signature": None})
    assert reason(renew(missing, ADDRESS)) == "signature"
    assert reason(renew(old.renew(give(), "gw-other"), ADDRESS)) == "unknown"
    assert keys_in_force(enrolling, "gw-new") == {old.kid}


def test_a_revoked_gateway_has_no_key_no_login_and_no_token(enrolling: Enrolling):
    key = enrolling.enrolled("gw-new")
    token = enrolling.gateways.token(None, "gw-new").token
    enrolling.gateways.revoke(None, "gw-new")
    assert keys_in_force(enrolling, "gw-new") == set()
    assert enrolling.door.logins["gw-new"] is None
    assert "gw-new" not in {code for code, _, _ in enrolling.gateways.logins()}
    assert row(enrolling.gateways, "gw-new").state == "revoked"
    assert reason(enrolling.enrolments.enrol(key.enrol(token), ADDRESS)) == "withdrawn"
    challenge = enrolling.enrolments.challenges.give()
    assert reason(enrolling.enrolments.renew(key.renew(challenge, "gw-new"), ADDRESS)) == "unknown"
    with pytest.raises(ConflictError):
        enrolling.gateways.new_password(None, "gw-new")


def test_a_revoked_gateway_comes_back_with_a_new_key_only(enrolling: Enrolling):
    revoked, new = enrolling.enrolled("gw-new"), EdgeKey()
    enrolling.gateways.revoke(None, "gw-new")
    token = enrolling.gateways.token(None, "gw-new").token
    assert reason(enrolling.enrolments.enrol(revoked.enrol(token), ADDRESS)) == "revoked"
    granted(enrolling.enrolments.enrol(new.enrol(token), ADDRESS))
    assert row(enrolling.gateways, "gw-new").state == "silent"
    assert keys_in_force(enrolling, "gw-new") == {new.kid}


def test_revoking_stops_bare_readings_too(enrolling: Enrolling):
    enrolling.enrolled("gw-new")
    with psycopg.connect(enrolling.register.url) as connection:
        connection.execute("UPDATE registry.gateway SET accepts_unsigned = true WHERE code = 'gw-new'")
    enrolling.gateways.revoke(None, "gw-new")
    assert row(enrolling.gateways, "gw-new").accepts_unsigned is False


def test_an_administrator_acts_in_their_own_subtree_only(enrolling: Enrolling):
    enrolling.enrolled("gw-new")
    paths = {node.code: node.path for node in enrolling.register.registry.organisations()}
    stranger = replace(administrator_of(paths["changsha"]), person_id=1)
    for act in (
        lambda: enrolling.gateways.add(stranger, "gw-theirs", SITE),
        lambda: enrolling.gateways.token(stranger, "gw-new"),
        lambda: enrolling.gateways.revoke(stranger, "gw-new"),
        lambda: enrolling.gateways.new_password(stranger, "gw-new"),
        lambda: enrolling.gateways.one(stranger.scope, "gw-new"),
    ):
        with pytest.raises(NotFoundError):
            act()
    assert [each.code for each in enrolling.gateways.list(stranger.scope)] == ["gw-changsha"]


def test_every_act_is_in_the_audit(enrolling: Enrolling):
    key = enrolling.enrolled("gw-new")
    enrolling.enrolments.renew(key.renew(enrolling.enrolments.challenges.give(), "gw-new"), ADDRESS)
    enrolling.enrolments.enrol(EdgeKey().enrol("no-such-token"), ADDRESS)
    enrolling.gateways.new_password(None, "gw-new")
    enrolling.gateways.revoke(None, "gw-new")
    acts = ("add", "token", "enrol", "renew", "refuse", "password", "revoke")
    assert [each for each in enrolling.register.actions() if each.startswith("registry.gateway.")] == [
        f"registry.gateway.{act}" for act in acts
    ]
