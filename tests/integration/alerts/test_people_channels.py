"""Every channel against a local server that recomputes what it was sent: bodies, signatures, answers good and bad."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fix_people import (
    SECRETS_OF,
    START_MS,
    ChannelServer,
    certificates,
    channel_server,
    mail_server,
    quick_config,
)

from hanlu.alerts.people.channels.contract import Letter, Outcome, Request
from hanlu.alerts.people.channels.post import post
from hanlu.alerts.people.channels.sms import string_to_sign
from hanlu.alerts.people.channels.transport import send
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.model import Endpoint, ReceiverKind, parse_secret, parse_settings

LETTER = Letter(
    "0b8f7a52-4f0e-4b0c-9d3c-0f2b5d0c3a11", "【紧急】炎陵冷库 · 1 号冻结间：超上限",
    "【紧急】炎陵冷库\n现在 −9.8 °C\n处理办法：查门",
    "<p>查门</p>", {"type": "alarm.call", "data": {"alarms": [{"alarm_id": 7, "zone": {"zh": "冻结间"}}]}},
    {"place": "炎陵【冷库】", "what": "超上限", "value": "-9.8 °C", "since": "22:40", "more": "-"},
    "hanlu-alarm-7", True, START_MS,
)  # fmt: skip
MORE = "…… 其余见控制台"
BOTS = ("wecom", "dingtalk", "feishu")


def endpoint(kind: str, channels: ChannelServer, **settings: Any) -> Endpoint:
    """Return an endpoint whose channel is the local server."""
    named = ReceiverKind(kind)
    base: dict[str, Any] = {"base_url": channels.url(f"/{kind}")}
    if kind == "webhook":
        base = {"url": channels.url("/webhook")}
    elif kind == "sms":
        base |= {"numbers": ["13800000001", "13800000002"], "sign_name": "寒露", "template_code": "SMS_1"}
    secret = SECRETS_OF[kind] | ({"key": "the-key-1"} if kind in BOTS else {})
    return Endpoint(named, parse_settings(named, base | settings), parse_secret(named, secret))


def told(kind: str, channels: ChannelServer, letter: Letter = LETTER, **settings: Any) -> Outcome:
    return post(quick_config(), endpoint(kind, channels, **settings), letter, MORE)


def test_wecom_gets_markdown_at_its_key(channels: ChannelServer) -> None:
    assert told("wecom", channels).kind == "sent"
    (call,) = channels.calls
    assert call.query == {"key": "the-key-1"}
    assert call.json == {
        "msgtype": "markdown",
        "markdown": {"content": "**【紧急】炎陵冷库**\n现在 −9.8 °C\n处理办法：查门"},
    }


def test_wecom_text_mentions_members(channels: ChannelServer) -> None:
    told("wecom", channels, format="text", mobiles=["13800000001"])
    assert channels.calls[0].json == {
        "msgtype": "text",
        "text": {"content": LETTER.text, "mentioned_mobile_list": ["13800000001"]},
    }


@pytest.mark.parametrize(("form", "most"), [("text", 2048), ("markdown", 4096)])
def test_wecom_text_is_cut_at_a_character_and_says_so(channels: ChannelServer, form: str, most: int) -> None:
    long = replace(LETTER, text="\n".join(f"· {number} 号冻结间超上限" for number in range(500)))
    told("wecom", channels, long, format=form)
    content = channels.calls[0].json[form]["content"]
    assert most - 60 < len(content.encode()) <= most
    assert content.endswith(f"超上限\n{MORE}")


def test_dingtalk_is_signed_and_mentions_members(channels: ChannelServer) -> None:
    assert told("dingtalk", channels, mobiles=["13800000001"]).kind == "sent"
    (call,) = channels.calls
    stamp = call.query["timestamp"]
    expected = base64.b64encode(
        hmac.digest(b"SEC-of-dingtalk", f"{stamp}\nSEC-of-dingtalk".encode(), "sha256")
    ).decode()
    assert (call.query["access_token"], stamp, call.query["sign"]) == ("the-key-1", str(START_MS), expected)
    body = call.json
    assert body["msgtype"] == "markdown"
    assert body["markdown"]["title"] == LETTER.subject
    assert body["markdown"]["text"].endswith(" @13800000001")
    assert body["at"] == {"atMobiles": ["13800000001"], "isAtAll": False}


def test_feishu_signs_an_empty_message_in_seconds(channels: ChannelServer) -> None:
    channels.answer("/feishu/the-key-1", {"code": 0, "msg": "success"})
    assert told("feishu", channels).kind == "sent"
    body = channels.calls[0].json
    stamp = body["timestamp"]
    assert stamp == str(START_MS // 1000)
    assert body["sign"] == base64.b64encode(hmac.digest(f"{stamp}\nsign-of-feishu".encode(), b"", "sha256")).decode()
    assert (body["msg_type"], body["content"]) == ("text", {"text": LETTER.text})


def test_feishu_body_stays_below_its_limit(channels: ChannelServer) -> None:
    told("feishu", channels, replace(LETTER, text='"冻"\n' * 9000))
    assert len(channels.calls[0].body) <= 20 * 1024


def test_webhook_is_signed_as_the_standard_says_and_keeps_its_id(channels: ChannelServer) -> None:
    assert told("webhook", channels).kind == "sent"
    told("webhook", channels, replace(LETTER, now_ms=START_MS + 60_000))
    first, second = channels.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"msg_{LETTER.uuid}"
    for call in (first, second):
        key = base64.b64decode("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
        stamp = call.headers["webhook-timestamp"]
        signed = f"{call.headers['webhook-id']}.{stamp}.".encode() + call.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert call.headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(first.body) == LETTER.data


def test_documented_receiver_verifies_our_signature(channels: ChannelServer) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "notifications.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    space: dict[str, Any] = {}
    exec(compile(code, "notifications.md", "exec"), space)
    told("webhook", channels)
    (call,) = channels.calls
    key = SECRETS_OF["webhook"]["key"]
    verify = space["verify"]
    assert verify(key, call.headers, call.body, now=START_MS / 1000)
    assert not verify(key, call.headers, call.body + b" ", now=START_MS / 1000)
    assert not verify(key, call.headers, call.body, now=START_MS / 1000 + 600)
    assert not verify("whsec_" + base64.b64encode(b"x" * 32).decode(), call.headers, call.body, now=START_MS / 1000)


def test_string_to_sign_gives_the_signature_the_provider_publishes() -> None:
    parameters = {
        "AccessKeyId": "testId", "Timestamp": "2017-07-12T02:42:19Z", "Format": "XML", "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0", "SignatureNonce": "45e25e9b-0a6f-4070-8c85-2956eda1b466", "Action": "SendSms",
        "Version": "2017-05-25", "RegionId": "cn-hangzhou", "PhoneNumbers": "15300000001",
        "SignName": "阿里云短信测试专用", "TemplateCode": "SMS_71390007", "TemplateParam": '{"customer":"test"}',
        "OutId": "123",
    }  # fmt: skip
    digest = hmac.new(b"testSecret&", string_to_sign("GET", parameters).encode(), hashlib.sha1).digest()
    assert base64.b64encode(digest) == b"zJDF+Lrzhj/ThnlvIToysFRq6t4="


def test_sms_has_short_variables_and_a_signature_over_all_parameters(channels: ChannelServer) -> None:
    assert told("sms", channels).kind == "sent"
    form = channels.calls[0].form
    given = form.pop("Signature")

    def percent(text: str) -> str:
        return quote(text, safe="~")

    query = "&".join(f"{percent(name)}={percent(form[name])}" for name in sorted(form))
    expected = hmac.new(b"testSecret&", f"POST&%2F&{percent(query)}".encode(), hashlib.sha1).digest()
    assert given == base64.b64encode(expected).decode()
    assert form["PhoneNumbers"] == "13800000001,13800000002"
    assert (form["Action"], form["Version"], form["Timestamp"]) == ("SendSms", "2017-05-25", "2026-09-21T14:13:20Z")
    assert json.loads(form["TemplateParam"]) == {
        "place": "炎陵(冷库)", "what": "超上限", "value": "-9.8 °C", "since": "22:40", "more": "-",
    }  # fmt: skip


REFUSALS = [
    ("wecom", {"errcode": 45009, "errmsg": "api freq out of limit"}, "limited", 60.0),
    ("wecom", {"errcode": 93000, "errmsg": "invalid webhook url"}, "permanent", None),
    ("wecom", {"errcode": -1, "errmsg": "system busy"}, "retry", None),
    ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, "limited", 600.0),
    ("dingtalk", {"errcode": 310000, "errmsg": "sign not match"}, "permanent", None),
    ("feishu", {"code": 11232, "msg": "frequency limited"}, "limited", 60.0),
    ("feishu", {"code": 19021, "msg": "sign match fail"}, "permanent", None),
    ("sms", {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "触发分钟级流控"}, "limited", 60.0),
    ("sms", {"Code": "isv.AMOUNT_NOT_ENOUGH", "Message": "余额不足"}, "permanent", None),
    ("sms", {"Code": "isp.SYSTEM_ERROR", "Message": "x"}, "retry", None),
]


@pytest.mark.parametrize(("kind", "answer", "outcome", "after"), REFUSALS)
def test_refusal_within_a_200_is_no_success(
    channels: ChannelServer, kind: str, answer: dict[str, Any], outcome: str, after: float | None
) -> None:
    path = "/feishu/the-key-1" if kind == "feishu" else f"/{kind}"
    channels.answer(path, answer)
    found = told(kind, channels)
    assert (found.kind, found.retry_after_s) == (outcome, after)


@pytest.mark.parametrize("kind", ["wecom", "dingtalk", "feishu", "sms"])
def test_garbage_with_status_200_is_no_answer(channels: ChannelServer, kind: str) -> None:
    path = "/feishu/the-key-1" if kind == "feishu" else f"/{kind}"
    channels.replies[path] = (200, {}, b"<html>sign in to the network</html>")
    assert told(kind, channels).kind == "lost"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "sent"), (204, "sent"), (302, "permanent"), (400, "permanent"), (401, "permanent"), (404, "permanent"),
     (408, "retry"), (410, "permanent"), (425, "retry"), (429, "limited"), (500, "retry"), (503, "retry")],
)  # fmt: skip
def test_status_of_a_webhook_decides(channels: ChannelServer, status: int, outcome: str) -> None:
    channels.answer("/webhook", {}, status, Location=channels.url("/elsewhere"), Retry_After="17")
    found = told("webhook", channels)
    assert found.kind == outcome
    assert found.retry_after_s == (17.0 if outcome in {"retry", "limited"} else None)
    assert channels.to("/elsewhere") == []


def test_server_that_never_answers_costs_a_deadline_and_is_lost(channels: ChannelServer) -> None:
    channels.never("/webhook")
    config = quick_config(deadline_s=0.2)
    assert post(config, endpoint("webhook", channels), LETTER, MORE).kind == "lost"


def test_server_that_drips_is_ended_by_the_deadline() -> None:
    import socket

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def drip() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(65_536)
                while not over.wait(0.02):
                    try:
                        link.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        found = send(quick_config(deadline_s=0.3), Request("POST", f"http://127.0.0.1:{port}/"))
        over.set()
        thread.join(5)
    assert isinstance(found, Outcome)
    assert found.kind == "lost"


def test_nobody_listening_is_tried_again_without_doubt(channels: ChannelServer) -> None:
    settings = parse_settings(ReceiverKind.WEBHOOK, {"url": "http://127.0.0.1:9/x"})
    secret = parse_secret(ReceiverKind.WEBHOOK, SECRETS_OF["webhook"])
    found = post(quick_config(), Endpoint(ReceiverKind.WEBHOOK, settings, secret), LETTER, MORE)
    assert found.kind == "retry"


@pytest.mark.parametrize("url", ["http://192.0.2.1/", "https://10.1.2.3/", "https://169.254.169.254/", "ftp://x.org/",
                                 "https://[::ffff:10.0.0.1]/", "https://u:p@example.org/"])  # fmt: skip
def test_address_that_may_not_be_reached_is_not_tried(url: str) -> None:
    found = send(quick_config(), Request("POST", url))
    assert isinstance(found, Outcome)
    assert found.kind == "permanent"


def test_name_that_leads_into_a_private_network_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    place = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.5", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: place)
    found = send(quick_config(), Request("POST", "https://innocent.example/"))
    assert isinstance(found, Outcome)
    assert found.kind == "permanent"
    assert "not a public address" in found.detail


def test_loopback_can_be_forbidden(channels: ChannelServer) -> None:
    found = post(quick_config(allow_networks=()), endpoint("webhook", channels), LETTER, MORE)
    assert found.kind == "permanent"
    assert channels.calls == []


def test_https_needs_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    import ssl

    context, ca = certificates(tmp_path)
    with channel_server(context) as server:
        request = Request("POST", f"https://localhost:{server.port}/hook", b"{}")
        found = send(quick_config(), request)
        assert isinstance(found, Outcome)
        assert (found.kind, server.calls) == ("retry", [])
        assert "certificate" in found.detail
        good = send(quick_config(), request, ssl.create_default_context(cafile=ca))
        assert not isinstance(good, Outcome)
        assert good.status == 200


def mail_endpoint(*to: str) -> Endpoint:
    settings = parse_settings(ReceiverKind.EMAIL, {"to": list(to) or ["li@example.org"]})
    return Endpoint(ReceiverKind.EMAIL, settings, parse_secret(ReceiverKind.EMAIL, {}))


def mail_config(port: int, **more: Any) -> NotifyConfig:
    values = {"smtp_host": "localhost", "smtp_port": port, "smtp_security": "none", "smtp_from": "hanlu@coop.example"}
    return quick_config(**values, **more)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Any, NotifyConfig]]:
    """A mail server with STARTTLS and a password, and settings that fit it."""
    context, ca = certificates(tmp_path)
    with mail_server(context, "geheim") as server:
        config = mail_config(server.port).model_copy(
            update={"smtp_security": "starttls", "smtp_user": "hanlu", "smtp_password": "geheim", "smtp_ca_file": ca}
        )
        yield server, config


def test_mail_has_both_parts_and_ids_that_thread() -> None:
    with mail_server() as server:
        assert post(mail_config(server.port), mail_endpoint("li@example.org", "wang@example.org"), LETTER, MORE) == (
            Outcome("sent", "2 of 2 addresses taken")
        )
        post(mail_config(server.port), mail_endpoint(), LETTER, MORE)
    sender, to, mail = server.mails[0]
    assert (sender, to) == ("hanlu@coop.example", ["li@example.org", "wang@example.org"])
    assert mail["Subject"] == LETTER.subject
    assert mail["Message-ID"] == server.mails[1][2]["Message-ID"] == f"<{LETTER.uuid}@coop.example>"
    assert mail["References"] == "<hanlu-alarm-7@coop.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = mail.iter_parts()
    assert text.get_content().strip().replace("\r", "") == LETTER.text
    assert html.get_content_type() == "text/html"


def test_mail_goes_over_starttls_signed_in(secure: tuple[Any, NotifyConfig]) -> None:
    server, config = secure
    assert post(config, mail_endpoint(), LETTER, MORE).kind == "sent"
    assert (server.secured, server.user) == (True, "hanlu")


def test_mail_server_whose_certificate_is_not_trusted_gets_nothing(secure: tuple[Any, NotifyConfig]) -> None:
    server, config = secure
    found = post(config.model_copy(update={"smtp_ca_file": None}), mail_endpoint(), LETTER, MORE)
    assert found.kind == "permanent"
    assert server.mails == []


def test_wrong_password_is_refused_for_good(secure: tuple[Any, NotifyConfig]) -> None:
    _, config = secure
    found = post(config.model_copy(update={"smtp_password": "wrong"}), mail_endpoint(), LETTER, MORE)
    assert (found.kind, found.detail.split(" ")[1]) == ("permanent", "535"), found
    assert "wrong" not in found.detail


@pytest.mark.parametrize(("answer", "outcome"), [("451 later", "retry"), ("552 too large", "permanent")])
def test_answer_of_the_mail_server_decides(answer: str, outcome: str) -> None:
    with mail_server() as server:
        server.refusal = answer
        found = post(mail_config(server.port), mail_endpoint(), LETTER, MORE)
    assert (found.kind, found.detail.split(" ")[1]) == (outcome, answer.split(" ")[0])


def test_one_refused_address_does_not_keep_the_others_from_it() -> None:
    with mail_server() as server:
        server.refused_addresses = {"gone@example.org"}
        found = post(mail_config(server.port), mail_endpoint("gone@example.org", "li@example.org"), LETTER, MORE)
        assert found == Outcome("sent", "1 of 2 addresses taken")
        alone = post(mail_config(server.port), mail_endpoint("gone@example.org"), LETTER, MORE)
        assert alone.kind == "permanent"


def test_no_mail_server_says_which_setting_is_missing() -> None:
    found = post(quick_config(), mail_endpoint(), LETTER, MORE)
    assert found.kind == "permanent"
    assert "notify.smtp_host" in found.detail
