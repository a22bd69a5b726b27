"""Sends a letter to an endpoint by its channel."""

from __future__ import annotations

import uuid

from hanlu.alerts.people.channels.bots import (
    dingtalk_answer,
    dingtalk_request,
    feishu_answer,
    feishu_request,
    wecom_answer,
    wecom_request,
)
from hanlu.alerts.people.channels.contract import Answer, Letter, Outcome, Request
from hanlu.alerts.people.channels.mail import send_mail
from hanlu.alerts.people.channels.sms import sms_answer, sms_request
from hanlu.alerts.people.channels.transport import send
from hanlu.alerts.people.channels.webhook import webhook_answer, webhook_request
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.model import Endpoint, ReceiverKind

__all__ = ["post"]

_READ = {
    ReceiverKind.WEBHOOK: webhook_answer,
    ReceiverKind.WECOM: wecom_answer,
    ReceiverKind.DINGTALK: dingtalk_answer,
    ReceiverKind.FEISHU: feishu_answer,
    ReceiverKind.SMS: sms_answer,
}


def post(config: NotifyConfig, endpoint: Endpoint, letter: Letter, more: str) -> Outcome:
    """Send a letter and say what came of it; never raises for what a channel does.

    Args:
        config: timeouts, mail server, where requests may go.
        endpoint: the receiver's settings and secret.
        letter: what it says.
        more: appended where a text had to be cut, e.g. "… more in the console".
    """
    if endpoint.kind is ReceiverKind.EMAIL:
        return send_mail(config, endpoint.settings.to, letter)
    answer = send(config, _request(endpoint, letter, more))
    return _READ[endpoint.kind](answer) if isinstance(answer, Answer) else answer


def _request(endpoint: Endpoint, letter: Letter, more: str) -> Request:
    settings, secret = endpoint.settings, endpoint.secret
    if endpoint.kind is ReceiverKind.WEBHOOK:
        return webhook_request(settings, secret, letter)
    if endpoint.kind is ReceiverKind.SMS:
        return sms_request(settings, secret, letter, uuid.uuid4().hex)
    build = {
        ReceiverKind.WECOM: wecom_request,
        ReceiverKind.DINGTALK: dingtalk_request,
        ReceiverKind.FEISHU: feishu_request,
    }[endpoint.kind]
    request: Request = build(settings, secret, letter, more)
    return request
