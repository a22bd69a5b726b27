"""Signed webhooks for servers of yours.

The three header fields let a receiver verify and tell repetitions: `webhook-id` (the same for every attempt of one
message), `webhook-timestamp` (Unix seconds of this attempt) and `webhook-signature` (`v1,` and base64 of HMAC-SHA256
over `id.timestamp.body` with the decoded key).

Source: Standard Webhooks 1.0.0, sections "Webhook metadata" and "Signature scheme"; 410 Gone ends the deliveries.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from hanlu.alerts.people.channels.contract import Answer, Letter, Outcome, Request, by_status
from hanlu.alerts.people.model import WebhookSecret, WebhookSettings

__all__ = ["signature", "webhook_answer", "webhook_request"]


def webhook_request(settings: WebhookSettings, secret: WebhookSecret, letter: Letter) -> Request:
    """Return the request to a webhook."""
    body = json.dumps(letter.data, ensure_ascii=False, separators=(",", ":")).encode()
    identity, seconds = f"msg_{letter.uuid}", str(letter.now_ms // 1000)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": seconds,
        "webhook-signature": signature(secret.key.get_secret_value(), identity, seconds, body),
    }
    return Request("POST", settings.url, body, headers)


def signature(key: str, identity: str, seconds: str, body: bytes) -> str:
    """Return `v1,` and the signature of a body.

    Args:
        key: `whsec_` and base64.
        identity: of the message.
        seconds: Unix time of the attempt.
        body: as it is sent.
    """
    secret = base64.b64decode(key.removeprefix("whsec_"))
    digest = hmac.new(secret, f"{identity}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def webhook_answer(answer: Answer) -> Outcome:
    """Return what the answer means: any 2xx is taken, the body is not looked at."""
    return by_status(answer) or Outcome("sent", f"HTTP {answer.status}")
