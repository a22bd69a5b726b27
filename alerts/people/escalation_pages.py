"""Escalation of each node of the tree: the editor, and what would happen if nobody acknowledged."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from hanlu.alerts.people.escalation import NodePolicy, Policy, ladder
from hanlu.alerts.people.fault import FormError
from hanlu.alerts.people.manage import delete_policy, save_policy
from hanlu.alerts.people.office import Form, Node, Office, View, codes, form_of, one, sentence
from hanlu.alerts.people.rota import on_call
from hanlu.core.errors import ConflictError, UsageError
from hanlu.registry.access import Person, Role

__all__ = ["add_escalation_pages"]

STEP_ROWS = 2
"""Empty rows an editor offers beside those there are."""
MOST_ROWS = 20
MOST_SHOWN = 40
"""Steps of a preview."""
_PAGE = "/console/people/escalation"
Code = Annotated[str, Path(max_length=80)]
Priority = Annotated[int, Query(ge=1, le=3)]


def add_escalation_pages(routes: APIRouter, office: Office) -> None:
    """Add the pages."""
    operator = Depends(office.web.require(Role.OPERATOR))
    admin = Depends(office.web.require(Role.ADMIN))
    fields = Depends(form_of)

    def page(request: Request, person: Person, code: str, priority: int, status: int = 200, **more: Any) -> Response:
        with office.view(person) as (view, frame):
            node = view.node(code)
            policy = view.directory.policies.get(node.organisation_id)
            tried: Policy | None = more.pop("tried", None)
            context = {
                "node": node,
                "nodes": view.nodes,
                "policy": policy,
                "version": view.version("escalation", str(node.organisation_id)),
                "receivers": view.receivers,
                "rotas": [each for each in view.directory.rotas if view.mine(view.owner("rota", each) or 0)],
                "form": _form(policy or Policy()),
                "preview": _preview(view, node, tried or policy, priority, view.now_ms),
                "priority": priority,
                "manage": view.may_manage(),
                "error": "",
            }
        return office.desk.render(request, "alerts/people_escalation.html", frame | context | more, status=status)

    @routes.get(_PAGE)
    def listing(request: Request, person: Person = operator) -> Response:
        with office.view(person) as (view, frame):
            context = {
                "nodes": [(each, view.directory.policies.get(each.organisation_id)) for each in view.nodes],
                "manage": view.may_manage(),
            }
        return office.desk.render(request, "alerts/people_escalations.html", frame | context)

    @routes.get(_PAGE + "/{code}")
    def show(request: Request, code: Code, person: Person = operator, priority: Priority = 1) -> Response:
        return page(request, person, code, priority)

    @routes.post(_PAGE + "/{code}")
    def save(request: Request, code: Code, person: Person = admin, form: Form = fields) -> Response:
        version = int(one(form, "version", "0") or 0)
        try:
            policy = Policy.model_validate(_document(form))
            with office.view(person) as (view, _):
                node = view.node(code)
                _known(view, policy)
            if one(form, "act") == "preview":
                return page(request, person, code, 1, form=_form(policy, form), tried=policy)
            with office.connection() as connection:
                save_policy(connection, node.organisation_id, policy, version, person.login)
        except (ValidationError, UsageError, ConflictError) as error:
            words = sentence(error, office.web.pages.language(request))
            status = 409 if isinstance(error, ConflictError) else 422
            return page(request, person, code, 1, status, form=_raw(form), error=words)
        office.audit(person, "escalation.save", code, version=version + 1)
        return RedirectResponse(f"{_PAGE}/{code}", status_code=303)

    @routes.post(_PAGE + "/{code}/delete")
    def delete(code: Code, person: Person = admin) -> Response:
        with office.view(person) as (view, _):
            node = view.node(code)
        with office.connection() as connection:
            delete_policy(connection, node.organisation_id, person.login)
        office.audit(person, "escalation.delete", code)
        return RedirectResponse(_PAGE, status_code=303)


def _preview(view: View, node: Node, policy: Policy | None, priority: int, now_ms: int) -> list[dict[str, Any]]:
    """Return what happens if an alarm calls now and nobody acknowledges: when, whose step, whom."""
    chain = [int(each) for each in reversed(node.path.strip("/").split("/"))]
    policies = dict(view.directory.policies)
    if policy is not None:
        policies[node.organisation_id] = policy
    found = ladder([NodePolicy(each, policies[each]) for each in chain if each in policies], priority, now_ms)
    rows = []
    for due in found[:MOST_SHOWN]:
        people = [(each, view.directory.receivers.get(each)) for each in due.step.receivers]
        gaps = []
        for code in due.step.rotas:
            rota = view.directory.rotas.get(code)
            there = on_call(rota, due.at_ms, view.directory.workdays) if rota else ()
            people += [(each.receiver, view.directory.receivers.get(each.receiver)) for each in there]
            if not there:
                gaps.append(code)
        rows.append({"due": due, "node": view.node_by_id(due.organisation_id), "people": dict(people), "gaps": gaps})
    return rows


def _known(view: View, policy: Policy) -> None:
    receivers = {each.code for each in view.receivers}
    rotas = {each for each in view.directory.rotas if view.mine(view.owner("rota", each) or 0)}
    for step in policy.steps:
        unknown = [*sorted(set(step.receivers) - receivers), *sorted(set(step.rotas) - rotas)]
        if unknown:
            raise FormError("receiver_or_rota", ", ".join(unknown))


def _document(form: Form) -> dict[str, Any]:
    steps = []
    for number in range(MOST_ROWS):
        receivers, rotas = codes(form, f"t{number}_receivers"), codes(form, f"t{number}_rotas")
        if receivers or rotas:
            steps.append(
                {
                    "after_min": one(form, f"t{number}_after") or "0",
                    "receivers": receivers,
                    "rotas": rotas,
                    "priorities": [
                        int(each) for each in form.get(f"t{number}_priority", ()) if each in {"1", "2", "3"}
                    ],
                }
            )
    quiet = None
    if form.get("quiet"):
        priorities = [int(each) for each in form.get("quiet_priority", ()) if each in {"1", "2", "3"}]
        quiet = {"begins": one(form, "quiet_begins"), "ends": one(form, "quiet_ends"), "priorities": priorities}
    return {
        "steps": sorted(steps, key=lambda each: int(each["after_min"]) if str(each["after_min"]).isdecimal() else 0),
        "upward_min": one(form, "upward_min") or None,
        "rounds": one(form, "rounds", "3"),
        "repeat_min": one(form, "repeat_min", "60"),
        "quiet": quiet,
        "tell_return": bool(form.get("tell_return")),
        "after_return": bool(form.get("after_return")),
    }


def _form(policy: Policy, form: Form | None = None) -> dict[str, Any]:
    rows = [
        _row(str(each.after_min), " ".join(each.receivers), " ".join(each.rotas), each.priorities)
        for each in policy.steps
    ]
    after = str(policy.steps[-1].after_min + 15) if policy.steps else "0"
    rows += [_row(after if number == 0 else "", "", "", (1, 2, 3)) for number in range(STEP_ROWS)]
    return {
        "steps": rows[:MOST_ROWS],
        "upward_min": "" if policy.upward_min is None else str(policy.upward_min),
        "rounds": str(policy.rounds),
        "repeat_min": str(policy.repeat_min),
        "quiet": policy.quiet is not None,
        "quiet_begins": f"{policy.quiet.begins:%H:%M}" if policy.quiet else "22:00",
        "quiet_ends": f"{policy.quiet.ends:%H:%M}" if policy.quiet else "07:30",
        "quiet_priorities": policy.quiet.priorities if policy.quiet else (3,),
        "tell_return": policy.tell_return,
        "after_return": policy.after_return,
    }


def _raw(form: Form) -> dict[str, Any]:
    """Return the fields as they were sent, to be put right."""
    rows = []
    for number in range(MOST_ROWS):
        if f"t{number}_receivers" in form:
            chosen = tuple(int(each) for each in form.get(f"t{number}_priority", ()) if each in {"1", "2", "3"})
            rows.append(
                _row(
                    one(form, f"t{number}_after"),
                    one(form, f"t{number}_receivers"),
                    one(form, f"t{number}_rotas"),
                    chosen,
                )
            )
    quiet = tuple(int(each) for each in form.get("quiet_priority", ()) if each in {"1", "2", "3"})
    names = ("upward_min", "rounds", "repeat_min", "quiet_begins", "quiet_ends")
    flags = {name: bool(form.get(name)) for name in ("quiet", "tell_return", "after_return")}
    return {name: one(form, name) for name in names} | flags | {"steps": rows, "quiet_priorities": quiet}


def _row(after: str, receivers: str, rotas: str, priorities: tuple[int, ...]) -> dict[str, Any]:
    return {"after": after, "receivers": receivers, "rotas": rotas, "priorities": priorities}
