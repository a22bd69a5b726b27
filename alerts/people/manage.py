"""Writes what people agree on: receivers, rotas, policies, holidays, mutes; each in one transaction with its history.

The caller has checked that the person may. Secrets are written apart and are not in the history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from psycopg.rows import dict_row, scalar_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from hanlu.alerts.people.channels.transport import check_url
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.escalation import Policy
from hanlu.alerts.people.fault import FormError
from hanlu.alerts.people.model import ReceiverKind, line_of, parse_secret, parse_settings
from hanlu.alerts.people.rota import Rota
from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError, NotFoundError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = [
    "MOST_MUTED_MS",
    "NewMute",
    "NewReceiver",
    "add_mute",
    "add_receiver",
    "change_receiver",
    "delete_holiday",
    "delete_policy",
    "delete_rota",
    "end_mute",
    "save_holiday",
    "save_policy",
    "save_rota",
]

MOST_MUTED_MS: Final = 30 * 86_400_000
"""Longest mute, milliseconds: who needs more changes the policy."""

_QUERIES = load_queries("hanlu.alerts.people")
_CHANGED: Final = "it has been changed in the meantime: look again"


@dataclass(frozen=True, slots=True)
class NewReceiver:
    """A receiver to be written.

    Attributes:
        organisation_id: whose.
        code: its name in rotas and policies.
        name: for people.
        kind: channel.
        settings: what the channel needs.
        secret: what is secret of it; None keeps the one there is.
        lang: of its messages.
        login: sign-in name of the person behind it, None for groups.
        enabled: whether messages go there.
    """

    organisation_id: int
    code: str
    name: str
    kind: ReceiverKind
    settings: Mapping[str, Any]
    secret: Mapping[str, str] | None = None
    lang: str = "zh"
    login: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class NewMute:
    """A mute to begin."""

    organisation_id: int
    site_id: int | None
    priorities: tuple[int, ...]
    begins_ms: int
    ends_ms: int
    reason: str


def add_receiver(connection: Connection, config: NotifyConfig, new: NewReceiver, actor: str) -> int:
    """Write a new receiver and return its key.

    Raises:
        UsageError: something about it is wrong; the message says what, never repeating a secret.
        ConflictError: its code is taken.
    """
    settings = _settings(config, new)
    secret = parse_secret(new.kind, new.secret or {})
    line = line_of(new.kind, settings, secret)
    with connection.transaction():
        receiver_id = _one(connection, "receiver_add", _columns(new, settings, line, actor))
        _keep_secret(connection, receiver_id, secret)
        _history(connection, actor, "receiver", new.code, _shown(new, settings))
        _wake(connection)
    assert receiver_id is not None
    return int(receiver_id)


def change_receiver(connection: Connection, config: NotifyConfig, new: NewReceiver, version: int, actor: str) -> None:
    """Write another version of a receiver; without a secret the one there is stays.

    Raises:
        UsageError: something about it is wrong.
        ConflictError: it has been changed since `version`.
    """
    settings = _settings(config, new)
    with connection.transaction():
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_QUERIES["people_receivers"]).fetchall()
        before = next((each for each in rows if each["code"] == new.code), None)
        if before is None:
            raise NotFoundError(f"there is no receiver {new.code}")
        if before["kind"] != new.kind.value:
            raise FormError("kind_stays")
        secret = parse_secret(new.kind, new.secret) if new.secret else None
        if secret is None and getattr(settings, "base_url", None) != before["settings"].get("base_url"):
            # Else whoever may edit could have the key sent to an address of their own.
            raise FormError("key_again")
        # Where the address makes the line, a new address is a new line; where the key does, only a new key is.
        by_key = new.kind in {ReceiverKind.WECOM, ReceiverKind.DINGTALK, ReceiverKind.FEISHU}
        line = before["line"] if by_key and secret is None else line_of(new.kind, settings, secret)
        values = _columns(new, settings, line, actor) | {"version": version}
        receiver_id = _one(connection, "receiver_change", values)
        if receiver_id is None:
            raise ConflictError(_CHANGED)
        if secret is not None:
            _keep_secret(connection, receiver_id, secret)
        _history(connection, actor, "receiver", new.code, _shown(new, settings))
        _wake(connection)


def save_rota(connection: Connection, organisation_id: int, rota: Rota, version: int, actor: str) -> None:
    """Write a rota; `version` is the one it replaces, 0 for a new one. ConflictError when another was faster."""
    values = {"code": rota.code, "organisation_id": organisation_id, "document": _json(rota)}
    _save(connection, "rota_write", values | {"version": version, "actor": actor}, "rota", rota.code, rota, actor)


def delete_rota(connection: Connection, organisation_id: int, code: str, actor: str) -> None:
    """Take a rota away; policies that name it call nobody there, and say so."""
    with connection.transaction():
        connection.execute(_QUERIES["rota_delete"], {"code": code, "organisation_id": organisation_id})
        _history(connection, actor, "rota", code, None)
        _wake(connection)


def save_policy(connection: Connection, organisation_id: int, policy: Policy, version: int, actor: str) -> None:
    """Write a policy; `version` is the one it replaces, 0 for a new one. ConflictError when another was faster."""
    values = {"organisation_id": organisation_id, "document": _json(policy), "version": version, "actor": actor}
    _save(connection, "policy_write", values, "escalation", str(organisation_id), policy, actor)


def delete_policy(connection: Connection, organisation_id: int, actor: str) -> None:
    """Take a policy away."""
    with connection.transaction():
        connection.execute(_QUERIES["policy_delete"], {"organisation_id": organisation_id})
        _history(connection, actor, "escalation", str(organisation_id), None)
        _wake(connection)


def save_holiday(connection: Connection, day: date, *, work: bool, name: str, actor: str) -> None:
    """Say how a day is to be judged."""
    with connection.transaction():
        connection.execute(_QUERIES["holiday_write"], {"day": day, "work": work, "name": name[:60], "actor": actor})
        _history(connection, actor, "holiday", day.isoformat(), {"work": work, "name": name[:60]})
        _wake(connection)


def delete_holiday(connection: Connection, day: date, actor: str) -> None:
    """Leave a day to the official calendar again."""
    with connection.transaction():
        connection.execute(_QUERIES["holiday_delete"], {"day": day})
        _history(connection, actor, "holiday", day.isoformat(), None)
        _wake(connection)


def add_mute(connection: Connection, mute: NewMute, actor: str) -> int:
    """Begin a mute and return its key.

    Raises:
        UsageError: no reason, no priority, or its end is not after its begin or too far off.
    """
    reason = mute.reason.strip()
    if not reason or len(reason) > 300:
        raise FormError("mute_reason")
    if not mute.priorities or not set(mute.priorities) <= {1, 2, 3}:
        raise FormError("mute_priorities")
    if not 0 < mute.ends_ms - mute.begins_ms <= MOST_MUTED_MS:
        raise FormError("mute_span")
    values = {
        "organisation_id": mute.organisation_id,
        "site_id": mute.site_id,
        "priorities": sorted(set(mute.priorities)),
        "begins_at": from_ms(mute.begins_ms),
        "ends_at": from_ms(mute.ends_ms),
        "reason": reason,
        "actor": actor,
    }
    with connection.transaction():
        mute_id = _one(connection, "mute_add", values)
        document = {name: value if isinstance(value, int | list) else str(value) for name, value in values.items()}
        _history(connection, actor, "mute", str(mute_id), document)
        _wake(connection)
    assert mute_id is not None
    return int(mute_id)


def end_mute(connection: Connection, organisation_id: int, mute_id: int, actor: str, now_ms: int) -> None:
    """End a mute before its time; NotFoundError when it is over already or another's."""
    with connection.transaction():
        values = {"mute_id": mute_id, "organisation_id": organisation_id, "now": from_ms(now_ms)}
        if _one(connection, "mute_end", values) is None:
            raise NotFoundError("there is no such mute, or it is over already")
        _history(connection, actor, "mute", str(mute_id), None)
        _wake(connection)


def _settings(config: NotifyConfig, new: NewReceiver) -> Any:
    settings = parse_settings(new.kind, new.settings)
    for name in ("url", "base_url"):
        url = getattr(settings, name, None)
        if url is not None:
            check_url(config, url)
    if not new.name.strip() or len(new.name) > 80:
        raise FormError("receiver_name")
    if new.lang not in {"zh", "en"}:
        raise FormError("receiver_lang")
    return settings


def _columns(new: NewReceiver, settings: BaseModel, line: str, actor: str) -> dict[str, Any]:
    return {
        "organisation_id": new.organisation_id,
        "code": new.code,
        "name": new.name.strip(),
        "kind": new.kind.value,
        "lang": new.lang,
        "login": new.login or None,
        "settings": _json(settings),
        "line": line,
        "enabled": new.enabled,
        "actor": actor,
    }


def _shown(new: NewReceiver, settings: BaseModel) -> dict[str, Any]:
    """Return a receiver for the history: no secret, and of its addresses only that they changed (hash)."""
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    return {"kind": new.kind.value, "name": new.name, "lang": new.lang, "enabled": new.enabled, "settings": digest}


def _keep_secret(connection: Connection, receiver_id: Any, secret: BaseModel) -> None:
    plain = {name: getattr(secret, name).get_secret_value() for name in type(secret).model_fields}
    connection.execute(_QUERIES["secret_write"], {"receiver_id": receiver_id, "secret": Jsonb(plain)})


def _save(
    connection: Connection, query: str, values: dict[str, Any], subject: str, code: str, document: BaseModel, actor: str
) -> None:
    with connection.transaction():
        if _one(connection, query, values) is None:
            raise ConflictError(_CHANGED)
        _history(connection, actor, subject, code, document.model_dump(mode="json"))
        _wake(connection)


def _one(connection: Connection, query: str, values: Mapping[str, Any]) -> Any:
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(_QUERIES[query], values).fetchone()


def _history(connection: Connection, actor: str, subject: str, code: str, document: Any) -> None:
    values = {"actor": actor, "subject": subject, "code": code}
    document = None if document is None else Jsonb(document)
    connection.execute(_QUERIES["history_write"], values | {"document": document})


def _json(document: BaseModel) -> Jsonb:
    return Jsonb(document.model_dump(mode="json"))


def _wake(connection: Connection) -> None:
    connection.execute("NOTIFY hanlu_people")
