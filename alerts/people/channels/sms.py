"""SMS by a provider. One is built in: Aliyun Short Message Service, `SendSms`, version 2017-05-25.

A provider is a `request` and an `answer` function, like any channel. An SMS is a template that was approved beforehand
and short variables; the template must have just these: place, what, value, since, more.

Signed by the RPC mechanism of version 1.0: HMAC-SHA1 with the key `secret&` over `POST&%2F&` and the percent-encoded,
sorted parameters. Source: Aliyun, "RPC mechanism: signatures" (sections "Construct a canonicalised query string" and
"Construct the string-to-sign"; percent-encoding of RFC 3986); Short Message Service API 2017-05-25, SendSms.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Final
from urllib.parse import quote

from hanlu.alerts.people.channels.contract import Answer, Letter, Outcome, Request, answer_object, by_status
from hanlu.alerts.people.model import SmsSecret, SmsSettings
from hanlu.core.clock import from_ms

__all__ = ["sms_answer", "sms_request", "string_to_sign"]

ENDPOINT: Final = "https://dysmsapi.aliyuncs.com/"
VARIABLE_LENGTH: Final = 35
"""Most characters of one variable of a template."""

_TOO_MANY: Final = frozenset({"isv.BUSINESS_LIMIT_CONTROL", "isv.DAY_LIMIT_CONTROL", "isv.MONTH_LIMIT_CONTROL"})
_AGAIN: Final = frozenset({"isp.SYSTEM_ERROR", "isp.GATEWAY_ERROR", "ServiceUnavailable", "InternalError"})
_LIMITED_S: Final = 60.0


def sms_request(settings: SmsSettings, secret: SmsSecret, letter: Letter, nonce: str) -> Request:
    """Return the request to the provider.

    Args:
        settings: numbers, signature, template.
        secret: the account's access key.
        letter: its `short` variables are sent, the message's uuid as OutId.
        nonce: different for every attempt (SignatureNonce).
    """
    variables = {name: _plain(text)[:VARIABLE_LENGTH] for name, text in letter.short.items()}
    parameters = {
        "AccessKeyId": secret.access_key_id.get_secret_value(),
        "Action": "SendSms",
        "Format": "JSON",
        "OutId": letter.uuid,
        "PhoneNumbers": ",".join(settings.numbers),
        "SignName": settings.sign_name,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": nonce,
        "SignatureVersion": "1.0",
        "TemplateCode": settings.template_code,
        "TemplateParam": json.dumps(variables, ensure_ascii=False),
        "Timestamp": f"{from_ms(letter.now_ms).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "Version": "2017-05-25",
    }
    key = f"{secret.access_key_secret.get_secret_value()}&".encode()
    digest = hmac.new(key, string_to_sign("POST", parameters).encode(), hashlib.sha1).digest()
    parameters["Signature"] = base64.b64encode(digest).decode()
    body = "&".join(f"{_percent(name)}={_percent(value)}" for name, value in parameters.items())
    return Request(
        "POST",
        settings.base_url or ENDPOINT,
        body.encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )


def string_to_sign(method: str, parameters: Mapping[str, str]) -> str:
    """Return what is signed: method, `/` and the sorted parameters, percent-encoded twice over."""
    query = "&".join(f"{_percent(name)}={_percent(parameters[name])}" for name in sorted(parameters))
    return f"{method}&%2F&{_percent(query)}"


def sms_answer(answer: Answer) -> Outcome:
    """Return what the provider's answer means; its `Code` decides, errors come with HTTP 400 or 503 too."""
    value = answer_object(answer)
    code = value.get("Code") if value else None
    if not isinstance(code, str):
        return by_status(answer) or Outcome("lost", "HTTP 200, but the answer is not the provider's")
    detail = f"{code} {str((value or {}).get('Message', ''))[:200]}".strip()
    if code == "OK":
        return Outcome("sent", f"BizId {str((value or {}).get('BizId', ''))[:60]}")
    if code in _TOO_MANY or code.startswith("Throttling"):
        return Outcome("limited", detail, _LIMITED_S)
    if code in _AGAIN or answer.status >= 500:
        return Outcome("retry", detail)
    return Outcome("permanent", detail)


def _percent(text: str) -> str:
    """Return `text` percent-encoded as RFC 3986 says: a blank is %20, `*` is %2A, `~` stays."""
    return quote(text, safe="-_.~")


def _plain(text: str) -> str:
    """Return `text` without what gateways refuse in variables: brackets of signatures, and links."""
    return text.replace("【", "(").replace("】", ")").replace("\n", " ").strip()
