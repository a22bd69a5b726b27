"""Receivers: the list, adding, changing, and the test button with the channel's true answer."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.people.fault import FormError
from hanlu.alerts.people.manage import NewReceiver, add_receiver, change_receiver
from hanlu.alerts.people.model import SECRETS, Receiver, ReceiverKind
from hanlu.alerts.people.office import Form, Office, View, codes, form_of, one, sentence
from hanlu.alerts.people.trial import send_trial
from hanlu.core.errors import ConflictError, NotFoundError, UsageError
from hanlu.registry.access import Person, Role

__all__ = ["add_receiver_pages"]

KindName = Annotated[str, Query(pattern="^(email|webhook|wecom|dingtalk|feishu|sms)$")]
_PAGE = "/console/people/receivers"
_LISTS = ("to", "mobiles", "numbers")


def add_receiver_pages(routes: APIRouter, office: Office) -> None:
    """Add the pages."""
    operator = Depends(office.web.require(Role.OPERATOR))
    admin = Depends(office.web.require(Role.ADMIN))
    fields = Depends(form_of)

    def page(request: Request, person: Person, status: int = 200, **context: Any) -> Response:
        with office.view(person) as (view, frame):
            shown = {"receivers": view.receivers, "nodes": view.nodes, "manage": view.may_manage(), "view": view}
        return _render(office, request, "alerts/people_receivers.html", frame | shown | context, status)

    def editor(request: Request, person: Person, kind: ReceiverKind, status: int = 200, **context: Any) -> Response:
        with office.view(person) as (view, frame):
            shown = {"kind": kind.value, "nodes": view.nodes, "secrets": tuple(SECRETS[kind].model_fields)}
        values = {"receiver": None, "form": {}, "error": "", **context}
        return _render(office, request, "alerts/people_receiver.html", frame | shown | values, status)

    @routes.get(_PAGE)
    def listing(request: Request, person: Person = operator) -> Response:
        return page(request, person, tested=None, made=None)

    @routes.get(f"{_PAGE}/new")
    def new(request: Request, person: Person = admin, kind: KindName = "wecom") -> Response:
        return editor(request, person, ReceiverKind(kind))

    @routes.get(_PAGE + "/{code}")
    def change(request: Request, code: str, person: Person = admin) -> Response:
        with office.view(person) as (view, _):
            found = _receiver(view, code)
        return editor(request, person, found.kind, receiver=found, form=_shown(found, view))

    @routes.post(_PAGE)
    def save(request: Request, person: Person = admin, form: Form = fields) -> Response:
        kind = _kind(form)
        code, version = one(form, "code").lower(), int(one(form, "version", "0") or 0)
        with office.view(person) as (view, _):
            before = _receiver(view, code) if version else None
            organisation_id = before.organisation_id if before else view.node(one(form, "organisation")).organisation_id
        secret, made_key = _secret(kind, form, is_new=before is None)
        try:
            written = _written(form, kind, organisation_id, secret)
            with office.connection() as connection:
                if before is None:
                    add_receiver(connection, office.config, written, person.login)
                else:
                    change_receiver(connection, office.config, written, version, person.login)
        except (UsageError, ConflictError) as error:
            shown = {name: values[0] for name, values in form.items() if name not in SECRETS[kind].model_fields}
            taken = isinstance(error, ConflictError)
            words = "taken" if taken and not version else sentence(error, office.web.pages.language(request))
            return editor(request, person, kind, 409 if taken else 422, receiver=before, form=shown, error=words)
        office.audit(person, "receiver.change" if version else "receiver.add", code, kind=kind.value)
        if made_key:
            return page(request, person, tested=None, made=(code, made_key))
        return RedirectResponse(_PAGE, status_code=303)

    @routes.post(_PAGE + "/{code}/test")
    def test(request: Request, code: str, person: Person = admin) -> Response:
        with office.view(person) as (view, _):
            found = _receiver(view, code)
        try:
            with office.connection() as connection:
                outcome = send_trial(connection, office.config, found, office.web.clock)
            kind, detail = outcome.kind, outcome.detail
        except ConflictError as error:
            kind, detail = "limited", str(error)
        office.audit(person, "receiver.test", code, outcome=kind)
        return page(request, person, tested=(found.name, kind, detail), made=None)


def _render(office: Office, request: Request, template: str, context: dict[str, Any], status: int) -> Response:
    return office.desk.render(request, template, context, status=status)


def _receiver(view: View, code: str) -> Receiver:
    found = view.directory.receivers.get(code)
    if found is None or not view.mine(found.organisation_id):
        raise NotFoundError(f"there is no receiver {code}")
    return found


def _settings(kind: ReceiverKind, form: Form) -> dict[str, Any]:
    """Return what a form says of a kind's settings; an empty field is one that was not given."""
    names = {
        ReceiverKind.EMAIL: ("to",),
        ReceiverKind.WEBHOOK: ("url",),
        ReceiverKind.WECOM: ("base_url", "mobiles", "format"),
        ReceiverKind.SMS: ("numbers", "sign_name", "template_code", "base_url"),
    }.get(kind, ("base_url", "mobiles"))
    values: dict[str, Any] = {}
    for name in names:
        value = codes(form, name) if name in _LISTS else one(form, name)
        if value:
            values[name] = value
    return values


def _kind(form: Form) -> ReceiverKind:
    try:
        return ReceiverKind(one(form, "kind"))
    except ValueError:
        raise FormError("kind") from None


def _written(form: Form, kind: ReceiverKind, organisation_id: int, secret: dict[str, str]) -> NewReceiver:
    return NewReceiver(
        organisation_id,
        one(form, "code").lower(),
        one(form, "name"),
        kind,
        _settings(kind, form),
        secret or None,
        one(form, "lang", "zh"),
        one(form, "login") or None,
        bool(form.get("enabled")),
    )


def _secret(kind: ReceiverKind, form: Form, *, is_new: bool) -> tuple[dict[str, str], str]:
    """Return what a form says of a secret, and a key to be shown once where one was made.

    Nothing given keeps the secret there is; a new webhook without one gets one.
    """
    given = {name: one(form, name) for name in SECRETS[kind].model_fields if one(form, name)}
    if kind is ReceiverKind.WEBHOOK and is_new and not given:
        made = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        return {"key": made}, made
    return given, ""


def _shown(receiver: Receiver, view: View) -> dict[str, str]:
    values = receiver.settings.model_dump(mode="json")
    shown = {name: "\n".join(value) if isinstance(value, list) else value or "" for name, value in values.items()}
    node = view.node_by_id(receiver.organisation_id)
    return shown | {
        "name": receiver.name,
        "code": receiver.code,
        "lang": receiver.lang,
        "login": receiver.login or "",
        "organisation": node.code if node else "",
        "enabled": "1" if receiver.enabled else "",
    }
