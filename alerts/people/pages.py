"""All pages of people, joined to the console by one line."""

from __future__ import annotations

from fastapi import APIRouter

from hanlu.alerts.desk import Desk
from hanlu.alerts.people.escalation_pages import add_escalation_pages
from hanlu.alerts.people.link_pages import add_link_pages
from hanlu.alerts.people.log_pages import add_log_pages
from hanlu.alerts.people.mute_pages import add_mute_pages
from hanlu.alerts.people.office import Office
from hanlu.alerts.people.receiver_pages import add_receiver_pages
from hanlu.alerts.people.rota_pages import add_rota_pages
from hanlu.registry.web import RoomWeb

__all__ = ["add_people_pages"]


def add_people_pages(routes: APIRouter, web: RoomWeb, desk: Desk) -> None:
    """Add the pages below /console/people, and the page links in messages open."""
    office = Office(web, desk)
    add_rota_pages(routes, office)
    add_receiver_pages(routes, office)
    add_escalation_pages(routes, office)
    add_mute_pages(routes, office)
    add_log_pages(routes, office)
    add_link_pages(routes, office)
