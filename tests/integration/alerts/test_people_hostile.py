"""What one channel, one name or one document must not do to everybody's notifications."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from fix_people import START_MS, Team, quick_config

from hanlu.alerts.people.channels.bots import dingtalk_request, wecom_request
from hanlu.alerts.people.channels.contract import Letter
from hanlu.alerts.people.channels.mail import mail_of
from hanlu.alerts.people.channels.transport import allowed_address
from hanlu.alerts.people.directory import read_directory
from hanlu.alerts.people.manage import NewReceiver, change_receiver
from hanlu.alerts.people.model import BotSettings, KeySecret, ReceiverKind, SignedKeySecret, WecomSettings
from hanlu.core.errors import UsageError


def letter(subject: str = "s", text: str = "t") -> Letter:
    return Letter("u", subject, text, "<p></p>", {}, {}, "thread", False, START_MS)


@pytest.mark.postgres
@pytest.mark.parametrize("words", ["bad\x00key", "half \ud800 sign"])
def test_answer_with_characters_no_text_may_hold_is_put_on_record_and_stops_nothing(team: Team, words: str) -> None:
    team.receiver("li", path="/li")
    team.receiver("wang")
    team.channels.answer("/li", {"errcode": 93000, "errmsg": words})
    team.policy((0, "li"), (30, "wang"), rounds=1, upward_min=None)
    team.alarm(priority=1)
    team.settle()
    team.settle(1)
    assert [each.path for each in team.channels.calls] == ["/li", "/wecom"]
    assert team.states() == ["failed", "sent"]


@pytest.mark.postgres
def test_documents_nobody_can_read_are_left_out_and_everybody_else_is_told(team: Team) -> None:
    team.receiver("li")
    team.receiver("wang", path="/wang")
    team.policy((0, "li"), rounds=1, upward_min=None)
    team.rows("UPDATE alerts.receiver SET settings = '{\"other\": 1}' WHERE code = 'wang' RETURNING 1")
    team.rows(
        "INSERT INTO alerts.rota (code, organisation_id, document, changed_by) VALUES ('r', 2, '[]', 'x') RETURNING 1"
    )
    team.rows(
        "INSERT INTO alerts.escalation (organisation_id, document, changed_by) VALUES (1, '{\"no\": 1}', 'x')"
        " RETURNING 1"
    )
    team.alarm(priority=1)
    team.settle()
    team.settle(1)
    assert [each.path for each in team.channels.calls] == ["/wecom"]
    assert team.states() == ["sent"]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_subject_with_any_end_of_line_in_a_name_stays_one_header_field(end: str) -> None:
    mail = mail_of("h@example.org", ["li@example.org"], letter(f"1 号{end}Bcc: all@example.org"))
    assert mail["Subject"] == "1 号 Bcc: all@example.org"
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::1",
        "2002:0a00:0001::1",
        "::7f00:1",
        "::ffff:10.0.0.1",
        "fec0::1",
    ],
)
def test_address_that_carries_a_private_one_is_not_public(address: str) -> None:
    assert not allowed_address(quick_config(allow_networks=()), ip_address(address))


def test_public_addresses_of_both_kinds_are_public() -> None:
    for address in ("1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "240e::1"):
        assert allowed_address(quick_config(allow_networks=()), ip_address(address)), address


def test_name_that_looks_like_a_link_becomes_none_in_a_bots_markdown() -> None:
    sent = letter(text="1 号[详情](https://evil.example/x)\nmore ![](https://evil.example/y)")
    key = KeySecret.model_validate({"key": "the-key-1"})
    signed = SignedKeySecret.model_validate({"key": "the-key-1"})
    for request in (wecom_request(WecomSettings(), key, sent, ""), dingtalk_request(BotSettings(), signed, sent, "")):
        assert "](" not in request.body.decode()


@pytest.mark.postgres
def test_receiver_keeps_its_kind_whatever_a_form_says(team: Team) -> None:
    before = team.receiver("li")
    new = NewReceiver(before.organisation_id, "li", "li", ReceiverKind.EMAIL, {"to": ["li@example.org"]}, {})
    with pytest.raises(UsageError, match="kind"):
        change_receiver(team.connection, team.config, new, before.version, "zhao")
    assert read_directory(team.connection, START_MS).receivers["li"].kind is ReceiverKind.WECOM
