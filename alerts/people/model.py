"""Receivers: where a message can go, what each kind needs, and which part of that is secret.

Settings are shown in pages, secrets never again after they were given: a page shows `masked` instead.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from hanlu.alerts.people.fault import FormError, form_error

__all__ = [
    "SECRETS",
    "SETTINGS",
    "Endpoint",
    "Receiver",
    "ReceiverKind",
    "line_of",
    "masked",
    "parse_secret",
    "parse_settings",
]

CODE: Final = r"^[a-z0-9][a-z0-9-]{0,39}$"
_ADDRESS = re.compile(r"[^@\s<>,;\"]{1,64}@[A-Za-z0-9.-]{1,190}")
_PHONE = re.compile(r"\+?[0-9]{5,15}")
MOST_ADDRESSES: Final = 50
"""Addresses of one e-mail receiver, numbers of one SMS receiver."""

Url = Annotated[str, Field(min_length=8, max_length=500, pattern=r"^https?://")]


class ReceiverKind(StrEnum):
    """The channel of a receiver."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    WECOM = "wecom"
    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    SMS = "sms"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _phones(values: tuple[str, ...]) -> tuple[str, ...]:
    for each in values:
        if not _PHONE.fullmatch(each):
            raise FormError("phone", repr(each[:20]))
    return values


class EmailSettings(_Model):
    """Addresses a mail goes to; the server is the platform's (`notify.smtp_host`)."""

    to: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_ADDRESSES)]

    @field_validator("to")
    @classmethod
    def _addresses(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for each in values:
            if not _ADDRESS.fullmatch(each):
                raise FormError("mail", repr(each[:80]))
        return values


class WebhookSettings(_Model):
    """A server of yours that takes alarms as JSON."""

    url: Url


class BotSettings(_Model):
    """A group's bot; `base_url` only differs where the service runs in your own house."""

    base_url: Url | None = None
    mobiles: Annotated[tuple[str, ...], Field(max_length=MOST_ADDRESSES)] = ()
    """Members to be mentioned, by telephone number (WeCom text, DingTalk)."""

    @field_validator("mobiles")
    @classmethod
    def _numbers(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _phones(values)


class WecomSettings(BotSettings):
    """A WeCom group bot."""

    format: Literal["markdown", "text"] = "markdown"
    """Text mentions members by number, markdown looks better."""


class SmsSettings(_Model):
    """Numbers, and the signature and template that were approved at the provider (Aliyun SMS)."""

    numbers: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_ADDRESSES)]
    sign_name: Annotated[str, Field(min_length=1, max_length=40)]
    template_code: Annotated[str, Field(pattern=r"^[A-Z]{2,4}_[0-9]{1,20}$")]
    base_url: Url | None = None

    @field_validator("numbers")
    @classmethod
    def _numbers(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _phones(values)


class NoSecret(_Model):
    """An e-mail receiver has none."""


class WebhookSecret(_Model):
    """What a webhook is signed with: `whsec_` and 24 to 64 bytes as base64 (Standard Webhooks 1.0.0, secrets)."""

    key: SecretStr

    @field_validator("key")
    @classmethod
    def _form(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        try:
            size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
        except (ValueError, binascii.Error):
            size = 0
        if not text.startswith("whsec_") or not 24 <= size <= 64:
            raise FormError("webhook_key")
        return value


class KeySecret(_Model):
    """The key of a bot: the part of its address that must not become known."""

    key: SecretStr

    @field_validator("key", mode="before")
    @classmethod
    def _from_address(cls, value: Any) -> Any:
        """Take the whole address as the service shows it, too."""
        return _bare_key(value) if isinstance(value, str) else value

    @field_validator("key")
    @classmethod
    def _form(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[A-Za-z0-9_-]{8,200}", value.get_secret_value()):
            raise FormError("bot_key")
        return value


class SignedKeySecret(KeySecret):
    """A bot's key, and the secret its messages are signed with when the bot asks for signatures."""

    sign: Annotated[SecretStr, Field(max_length=200)] = SecretStr("")


class SmsSecret(_Model):
    """The access key of the provider's account."""

    access_key_id: Annotated[SecretStr, Field(min_length=4, max_length=100)]
    access_key_secret: Annotated[SecretStr, Field(min_length=4, max_length=200)]


SETTINGS: Final[Mapping[ReceiverKind, type[_Model]]] = {
    ReceiverKind.EMAIL: EmailSettings,
    ReceiverKind.WEBHOOK: WebhookSettings,
    ReceiverKind.WECOM: WecomSettings,
    ReceiverKind.DINGTALK: BotSettings,
    ReceiverKind.FEISHU: BotSettings,
    ReceiverKind.SMS: SmsSettings,
}
SECRETS: Final[Mapping[ReceiverKind, type[_Model]]] = {
    ReceiverKind.EMAIL: NoSecret,
    ReceiverKind.WEBHOOK: WebhookSecret,
    ReceiverKind.WECOM: KeySecret,
    ReceiverKind.DINGTALK: SignedKeySecret,
    ReceiverKind.FEISHU: SignedKeySecret,
    ReceiverKind.SMS: SmsSecret,
}


class Receiver(_Model):
    """One receiver as pages and the planner see it; its secret is not in it."""

    receiver_id: int
    organisation_id: int
    code: Annotated[str, Field(pattern=CODE)]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    kind: ReceiverKind
    lang: Literal["zh", "en"] = "zh"
    login: Annotated[str | None, Field(max_length=64)] = None
    settings: Any
    line: str = ""
    enabled: bool = True
    version: int = 1

    @model_validator(mode="after")
    def _typed(self) -> Self:
        if not isinstance(self.settings, SETTINGS[self.kind]):
            object.__setattr__(self, "settings", SETTINGS[self.kind].model_validate(self.settings))
        return self


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a channel needs to send: settings and the secret; lives only while something is sent."""

    kind: ReceiverKind
    settings: Any
    secret: Any


def parse_settings(kind: ReceiverKind, values: Mapping[str, Any]) -> Any:
    """Return the settings of a kind; UsageError says what is wrong with them."""
    return _parsed(SETTINGS[kind], values)


def parse_secret(kind: ReceiverKind, values: Mapping[str, Any]) -> Any:
    """Return the secret of a kind; UsageError says what is wrong, without repeating it."""
    return _parsed(SECRETS[kind], values)


def line_of(kind: ReceiverKind, settings: Any, secret: Any) -> str:
    """Return the hash of what a channel counts its limits by: the bot's key, the address, the number."""
    if isinstance(secret, KeySecret):
        what = secret.key.get_secret_value()
    elif isinstance(settings, EmailSettings):
        what = " ".join(sorted(settings.to))
    elif isinstance(settings, SmsSettings):
        what = " ".join(sorted(settings.numbers))
    else:
        what = str(settings.url)
    return hashlib.sha256(f"{kind} {what}".encode()).hexdigest()[:32]


def masked(kind: ReceiverKind) -> dict[str, str]:
    """Return what a page shows of a secret: that it is there, and nothing of it."""
    return dict.fromkeys(SECRETS[kind].model_fields, "••••••••")


def _parsed(model: type[_Model], values: Mapping[str, Any]) -> Any:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise form_error(error) from None


def _bare_key(text: str) -> str:
    """Return the key at the end of a bot's address: `?key=`, `?access_token=` or the last part of the path."""
    text = text.strip()
    if "://" not in text:
        return text
    parts = urlsplit(text)
    for name in ("key=", "access_token="):
        for pair in parts.query.split("&"):
            if pair.startswith(name):
                return pair.removeprefix(name)
    return parts.path.rstrip("/").rsplit("/", 1)[-1]
