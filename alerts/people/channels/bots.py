"""Group bots: WeCom, DingTalk, Feishu. Their bodies and signatures, and what their answers mean.

All answer 200 also when they refuse; the number in the body decides. A text of the answer is put on record, cut short.

Sources: WeCom developer centre, group robots; DingTalk open platform, custom robots and their signature; Feishu open
platform, custom bots (signature with an empty message, frequency limits, 20 KB).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final
from urllib.parse import quote_plus

from hanlu.alerts.people.channels.contract import Answer, Letter, Outcome, Request, answer_object, by_status, cut_utf8
from hanlu.alerts.people.limits import DINGTALK_BLOCK_S
from hanlu.alerts.people.model import BotSettings, KeySecret, SignedKeySecret, WecomSettings

__all__ = [
    "dingtalk_answer",
    "dingtalk_request",
    "feishu_answer",
    "feishu_request",
    "wecom_answer",
    "wecom_request",
]

WECOM_TEXT_BYTES: Final = 2048
WECOM_MARKDOWN_BYTES: Final = 4096
DINGTALK_TEXT_BYTES: Final = 9_500
"""The body may have 20,000 bytes, and every quote or newline of the text takes two in it."""
FEISHU_TEXT_BYTES: Final = 9_500
"""The body may have 20 KB; as above."""

_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
_MINUTE_S: Final = 60.0
_BUSY: Final = -1
"""System busy, at WeCom and DingTalk."""
_WECOM_TOO_MANY: Final = frozenset({45009, 45033})
_DINGTALK_TOO_MANY: Final = frozenset({130101, 410100, 88})
_FEISHU_TOO_MANY: Final = frozenset({9499, 11232, 11233, 230020, 99991400})
_FEISHU_BUSY: Final = frozenset({2200, 1500, 1551})


def wecom_request(settings: WecomSettings, secret: KeySecret, letter: Letter, more: str) -> Request:
    """Return the request to a WeCom bot; only text can mention members by number."""
    base = settings.base_url or "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"
    body: dict[str, Any]
    if settings.format == "text":
        content: dict[str, Any] = {"content": cut_utf8(letter.text, WECOM_TEXT_BYTES, more)}
        if settings.mobiles:
            content["mentioned_mobile_list"] = list(settings.mobiles)
        body = {"msgtype": "text", "text": content}
    else:
        text = cut_utf8(_markdown(letter.text), WECOM_MARKDOWN_BYTES, more)
        body = {"msgtype": "markdown", "markdown": {"content": text}}
    return Request("POST", f"{base}?key={quote_plus(secret.key.get_secret_value())}", _bytes(body), _JSON)


def wecom_answer(answer: Answer) -> Outcome:
    """Return what a WeCom bot's answer means."""
    return _numbered(answer, "errcode", "errmsg", _WECOM_TOO_MANY, frozenset({_BUSY}), _MINUTE_S)


def dingtalk_request(settings: BotSettings, secret: SignedKeySecret, letter: Letter, more: str) -> Request:
    """Return the request to a DingTalk bot, signed when the bot has a secret."""
    base = settings.base_url or "https://oapi.dingtalk.com/robot/send"
    url = f"{base}?access_token={quote_plus(secret.key.get_secret_value())}"
    sign = secret.sign.get_secret_value()
    if sign:
        digest = hmac.new(sign.encode(), f"{letter.now_ms}\n{sign}".encode(), hashlib.sha256).digest()
        url += f"&timestamp={letter.now_ms}&sign={quote_plus(base64.b64encode(digest))}"
    mentions = "".join(f" @{each}" for each in settings.mobiles)
    # In Markdown of theirs one line break is none.
    text = _markdown(letter.text).replace("\n", "  \n")
    text = cut_utf8(text, DINGTALK_TEXT_BYTES, more) + mentions
    body = {
        "msgtype": "markdown",
        "markdown": {"title": letter.subject[:100], "text": text},
        "at": {"atMobiles": list(settings.mobiles), "isAtAll": False},
    }
    return Request("POST", url, _bytes(body), _JSON)


def dingtalk_answer(answer: Answer) -> Outcome:
    """Return what a DingTalk bot's answer means; one that was too fast is deaf for ten minutes."""
    return _numbered(answer, "errcode", "errmsg", _DINGTALK_TOO_MANY, frozenset({_BUSY}), DINGTALK_BLOCK_S)


def feishu_request(settings: BotSettings, secret: SignedKeySecret, letter: Letter, more: str) -> Request:
    """Return the request to a Feishu bot: the signature's *key* is time and secret, its message is empty."""
    base = settings.base_url or "https://open.feishu.cn/open-apis/bot/v2/hook"
    body: dict[str, Any] = {}
    sign = secret.sign.get_secret_value()
    if sign:
        seconds = letter.now_ms // 1000
        digest = hmac.new(f"{seconds}\n{sign}".encode(), b"", hashlib.sha256).digest()
        body = {"timestamp": str(seconds), "sign": base64.b64encode(digest).decode()}
    body |= {"msg_type": "text", "content": {"text": cut_utf8(letter.text, FEISHU_TEXT_BYTES, more)}}
    return Request("POST", f"{base.rstrip('/')}/{quote_plus(secret.key.get_secret_value())}", _bytes(body), _JSON)


def feishu_answer(answer: Answer) -> Outcome:
    """Return what a Feishu bot's answer means."""
    return _numbered(answer, "code", "msg", _FEISHU_TOO_MANY, _FEISHU_BUSY, _MINUTE_S)


def _numbered(
    answer: Answer, number: str, words: str, too_many: frozenset[int], busy: frozenset[int], limited_s: float
) -> Outcome:
    value = answer_object(answer)
    code = value.get(number) if value else None
    if not isinstance(code, int) or isinstance(code, bool):
        refused = by_status(answer)
        # 200 with something that is no answer of theirs (a proxy's page): nobody knows whether it arrived.
        return refused or Outcome("lost", "HTTP 200, but the answer is not the service's")
    detail = f"{number} {code} {str((value or {}).get(words, ''))[:200]}".strip()
    if code == 0 and by_status(answer) is None:
        return Outcome("sent", detail)
    if code in too_many:
        return Outcome("limited", detail, limited_s)
    if code in busy:
        return Outcome("retry", detail)
    return by_status(answer) or Outcome("permanent", detail)


def _markdown(text: str) -> str:
    """Return plain text as Markdown: the first line bold, nothing of it taken for marks."""
    escaped = text.replace("*", "＊").replace("<", "＜").replace("`", "｀").replace("](", "］(")
    first, _, rest = escaped.partition("\n")
    return f"**{first}**\n{rest}" if rest else f"**{first}**"


def _bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
