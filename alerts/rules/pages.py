"""The pages on which rules are read: the list with its problems, one rule with its history, and the runbooks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from hanlu.alerts.desk import Desk
from hanlu.alerts.kind import ITEM_KINDS, Kind
from hanlu.alerts.rules import runbook
from hanlu.alerts.rules.assign import Versioned, matches
from hanlu.alerts.rules.bulk_pages import add_bulk_pages
from hanlu.alerts.rules.compare import Difference, differences
from hanlu.alerts.rules.desk import GROUPS, Picture, RuleReader, framed
from hanlu.alerts.rules.edit_pages import add_edit_pages
from hanlu.alerts.rules.model import Rule
from hanlu.alerts.rules.say import field_name, field_value, place, sentence, shown
from hanlu.alerts.rules.store import SHIPPED_BY, StoredVersion, history
from hanlu.alerts.wording import metric_name, words
from hanlu.core.errors import NotFoundError
from hanlu.db.pool import translated
from hanlu.registry.access import Person, Role
from hanlu.registry.web import RoomWeb

__all__ = ["add_rule_pages"]

CHANNELS_SHOWN = 60
"""So many places are listed on a rule's page; beyond, their number."""

Word = Annotated[str, Query(max_length=120)]


def add_rule_pages(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the pages of rules and runbooks to the console's routes."""
    reader = RuleReader(web.clock)
    _add_list(routes, web, desk, reader)
    add_bulk_pages(routes, web, desk, reader)
    add_edit_pages(routes, web, desk, reader)
    _add_rule(routes, web, desk, reader)
    _add_runbook(routes, web, desk)


def _add_list(routes: APIRouter, web: RoomWeb, desk: Desk, reader: RuleReader) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/rules")
    def rules(
        request: Request,
        person: Person = operator,
        kind: Word = "",
        profile: Word = "",
        site: Word = "",
        state: Annotated[str, Query(pattern="^(|on|off|edited)$")] = "",
        done: Word = "",
    ) -> Response:
        lang = web.pages.language(request)
        frame = framed(desk, person)
        with translated(), web.pool.connection() as connection:
            picture = reader.picture(connection, person)
        shown_rules = [
            each
            for each in picture.rules.values()
            if picture.visible(each.rule) and _wanted(each, picture, kind, profile, site, state)
        ]
        groups = {
            name: [each for wanted in kinds for each in shown_rules if each.rule.kind is wanted]
            for name, kinds in GROUPS.items()
        }
        context = {
            "groups": {name: found for name, found in groups.items() if found},
            "picture": picture,
            "problems": _problems(picture, lang),
            "chosen": {"kind": kind, "profile": profile, "site": site, "state": state},
            "kinds": [each for kinds in GROUPS.values() for each in kinds],
            "profiles": sorted(picture.names.profiles),
            "sites": picture.sites(),
            "place_of": lambda rule: place(rule, lang),
            "mine": lambda rule: picture.may_edit(rule, person),
            "admin": person.has(Role.ADMIN),
            "withdrawn": sorted(
                each.code
                for each in picture.stored.values()
                if each.withdrawn and each.rule is not None and picture.visible(each.rule)
            ),
            "done": done,
            "goods": ITEM_KINDS,
        }
        return desk.render(request, "alerts/rules_list.html", frame | context)


def _add_rule(routes: APIRouter, web: RoomWeb, desk: Desk, reader: RuleReader) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/rules/{code}")
    def rule(request: Request, code: str, person: Person = operator, done: Word = "") -> Response:
        lang = web.pages.language(request)
        frame = framed(desk, person)
        with translated(), web.pool.connection() as connection:
            picture = reader.picture(connection, person)
            stored = picture.one(code)
            versions = history(connection, code)
        context = _about(picture, stored, versions, lang)
        context |= {
            "may_edit": stored.rule is not None and picture.may_edit(stored.rule, person),
            "admin": person.has(Role.ADMIN),
            "done": done,
            "shipped_by": SHIPPED_BY,
        }
        return desk.render(request, "alerts/rules_rule.html", frame | context)


def _add_runbook(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    operator = Depends(web.require(Role.OPERATOR))

    @routes.get("/console/runbook/{kind}")
    def page(request: Request, kind: str, person: Person = operator) -> Response:
        if kind not in set(Kind):
            raise NotFoundError(f"there is no runbook {kind}")
        lang = web.pages.language(request)
        frame = framed(desk, person)
        context = {
            "kind": kind,
            "body": runbook.html(Kind(kind), lang),
            "groups": GROUPS,
        }
        return desk.render(request, "alerts/rules_runbook.html", frame | context)


def _wanted(each: Versioned, picture: Picture, kind: str, profile: str, site: str, state: str) -> bool:
    """Tell whether a rule passes the list's filters; a profile or site means: in force on one of its channels."""
    rule = each.rule
    if kind and rule.kind != kind:
        return False
    if (state == "on" and not rule.enabled) or (state == "off" and rule.enabled):
        return False
    if state == "edited" and picture.stored[rule.code].author == SHIPPED_BY:
        return False
    if not (profile or site):
        return True
    holds = (*picture.survey.holds.get(rule.code, ()), *picture.survey.off.get(rule.code, ()))
    return any(
        profile in {"", picture.facts[channel_id].limit_profile} and site in {"", picture.facts[channel_id].site}
        for channel_id in holds
    )


def _problems(picture: Picture, lang: str) -> list[tuple[str, str, int]]:
    """Return what does not hold and should: (code of the rule, text with its remedy, number of channels)."""
    found = [
        (each.code, words(lang)("rules.problem.unreadable").format(code=each.code, detail=each.trouble), 0)
        for each in picture.stored.values()
        if each.rule is None and not each.withdrawn
    ]
    found += [
        (spot.problem.code, spot.problem.text(lang), spot.channels)
        for spot in picture.survey.spots
        if picture.visible(picture.rules[spot.problem.code].rule)
    ]
    return found


def _about(picture: Picture, stored: StoredVersion, versions: list[StoredVersion], lang: str) -> dict[str, Any]:
    """Return what a rule's page says."""
    rule = stored.rule
    context: dict[str, Any] = {"stored": stored, "rule": rule, "versions": _versions(versions)}
    context["field_name"] = lambda name: field_name(name, lang)
    context["field_value"] = lambda name, value: field_value(name, value, lang)
    if rule is None:
        return context
    ids = (*picture.survey.holds.get(rule.code, ()), *picture.survey.off.get(rule.code, ()))
    unit = getattr(rule.parameters, "unit", None) or ""
    return context | {
        "says": sentence(rule, lang),
        "place": place(rule, lang),
        "parameters": [
            (field_name(f"parameters.{name}", lang), shown(name, value, lang, unit), value is None)
            for name, value in rule.parameters
        ],
        "channels": [picture.facts[channel_id] for channel_id in ids[:CHANNELS_SHOWN]],
        "count": len(ids),
        "metric_of": lambda metric: metric_name(metric, lang),
        "elsewhere": _elsewhere(picture, rule, set(ids)),
        "zones": picture.zones_of(rule),
        "problems": [
            (spot.problem.text(lang), spot.channels)
            for spot in picture.survey.spots
            if rule.code in {spot.problem.code, spot.problem.other}
        ],
        "goods": rule.kind in ITEM_KINDS,
    }


def _elsewhere(picture: Picture, rule: Rule, held: set[int]) -> list[tuple[str, int]]:
    """Return the more specific rules of the kind that are in force where this one matches, with their channels."""
    theirs: dict[str, int] = {}
    matched = {key for key, each in picture.facts.items() if matches(rule.applies, each)} - held
    for other in picture.rules.values():
        if other.rule.kind is not rule.kind or other.rule.code == rule.code:
            continue
        ids = {*picture.survey.holds.get(other.rule.code, ()), *picture.survey.off.get(other.rule.code, ())}
        if common := len(ids & matched):
            theirs[other.rule.code] = common
    return sorted(theirs.items())


def _versions(versions: list[StoredVersion]) -> list[tuple[StoredVersion, tuple[Difference, ...]]]:
    """Return each version with what it changed."""
    pairs = zip(versions, [*versions[1:], None], strict=True)
    return [
        (each, differences(older.rule, each.rule) if older and older.rule and each.rule else ())
        for each, older in pairs
    ]
