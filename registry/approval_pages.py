"""The page of channels that wait for approval: one form for each gateway, one part for each of its devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from hanlu.registry.access import Person, Role
from hanlu.registry.approval import Approval, Approvals, KnownDevice, UnfitError, WaitingChannel, ZoneChoice
from hanlu.registry.audit import Audit
from hanlu.registry.web import RoomWeb

__all__ = ["GatewayGroup", "grouped", "read_approvals", "router"]

MOST_SHOWN: Final = 50
"""Waiting channels of one gateway shown at a time: a form has a limit, and so has a person."""

USUAL_KIND: Final = "sensor"
"""Proposed for a device that is not registered yet."""


@dataclass(frozen=True, slots=True)
class DeviceGroup:
    """The waiting channels of one device, with what is proposed for it."""

    code: str
    kind: str
    zone: str
    is_known: bool
    channels: tuple[WaitingChannel, ...]


@dataclass(frozen=True, slots=True)
class GatewayGroup:
    """The waiting channels of one gateway.

    Attributes:
        gateway: its code.
        site_zh: Chinese name of its site.
        site_en: English name.
        devices: those shown.
        more: channels beyond `MOST_SHOWN`.
        readings: readings that wait, over all channels.
        zones: to choose from.
    """

    gateway: str
    site_zh: str
    site_en: str
    devices: tuple[DeviceGroup, ...]
    more: int
    readings: int
    zones: tuple[ZoneChoice, ...]


def grouped(
    waiting: Iterable[WaitingChannel], known: Mapping[str, KnownDevice], zones: tuple[ZoneChoice, ...]
) -> GatewayGroup:
    """Return the waiting channels of one gateway (at least one, by name) by device."""
    channels = list(waiting)
    near = [zone.code for zone in zones if zone.near]
    devices = []
    for code, of_device in groupby(channels[:MOST_SHOWN], lambda each: each.device):
        device = known.get(code)
        # With a single room at the site there is little doubt; with several a person must choose.
        zone = (device.zone or "") if device else (near[0] if len(near) == 1 else "")
        kind = device.kind if device else USUAL_KIND
        devices.append(DeviceGroup(code, kind, zone, device is not None, tuple(of_device)))
    first = channels[0]
    return GatewayGroup(
        gateway=first.gateway,
        site_zh=first.site_zh,
        site_en=first.site_en,
        devices=tuple(devices),
        more=max(0, len(channels) - MOST_SHOWN),
        readings=sum(each.readings_waiting for each in channels),
        zones=zones,
    )


def read_approvals(form: FormData) -> list[Approval]:
    """Return what a form asks to be approved: the picked channels with the fields of their row and their device.

    Raises:
        UnfitError: a period is no number.
    """

    def field(name: str) -> str:
        value = form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    approvals = []
    for name in picked(form):
        device = name.partition("/")[0]
        try:
            period_s = float(field(f"period:{name}"))
        except ValueError:
            raise UnfitError("period", name) from None
        approvals.append(
            Approval(
                name=name,
                unit=field(f"unit:{name}"),
                period_s=period_s,
                kind=field(f"kind:{device}"),
                zone=field(f"zone:{device}") or None,
                limit_profile=field(f"profile:{name}") or None,
            )
        )
    return approvals


def picked(form: FormData) -> list[str]:
    """Return the names of the channels that were ticked."""
    return [name for name in form.getlist("pick") if isinstance(name, str)]


def router(web: RoomWeb) -> APIRouter:
    """Return the routes `/admin/channels`."""
    made = APIRouter(prefix="/admin/channels", include_in_schema=False)
    approvals = Approvals(web.pool, web.clock, Audit(web.pool, web.clock))
    admin = Depends(web.require(Role.ADMIN))

    def page(request: Request, by: Person, *, error: UnfitError | None = None, status: int = 200) -> Response:
        everything = approvals.waiting(by.scope)
        waiting = [each for each in everything if not each.ignored]
        groups = []
        for gateway, channels in groupby(waiting, lambda each: each.gateway):
            of_gateway = list(channels)
            zones = approvals.zones(by.scope, of_gateway[0].site)
            groups.append(grouped(of_gateway, approvals.devices(gateway), zones))
        context = {
            "groups": groups,
            "ignored": [each for each in everything if each.ignored],
            "kinds": approvals.kinds(),
            "profiles": approvals.profiles(),
            "error": error,
            "done": request.query_params.get("done", ""),
        }
        return web.pages.render(request, "registry/channels.html", context, status=status)

    @made.get("")
    def listing(request: Request, by: Person = admin) -> Response:
        return page(request, by)

    @made.post("/{gateway}")
    async def decide(request: Request, gateway: str, by: Person = admin) -> Response:
        form = await request.form()
        try:
            done = await run_in_threadpool(_decide, approvals, by, gateway, form)
        except UnfitError as error:
            return await run_in_threadpool(page, request, by, error=error, status=422)
        return RedirectResponse(f"/admin/channels?done={done}", status_code=303)

    return made


def _decide(approvals: Approvals, by: Person, gateway: str, form: FormData) -> str:
    """Do what the form's button says; return the word for the page that follows."""
    act, names = form.get("act"), picked(form)
    if not names:
        raise UnfitError("none")
    if act == "approve":
        approvals.approve(by, gateway, read_approvals(form))
        return "approved"
    if act == "ignore":
        approvals.ignore(by, gateway, names)
        return "ignored"
    if act == "restore":
        approvals.restore(by, gateway, names)
        return "restored"
    raise UnfitError("act")
