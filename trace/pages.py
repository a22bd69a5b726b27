"""All pages of the trace room, for the composition root to mount."""

from __future__ import annotations

from fastapi import APIRouter

from hanlu.registry.web import RoomWeb
from hanlu.trace import consumer, inspector

__all__ = ["router"]


def router(web: RoomWeb) -> APIRouter:
    """Return the shopper's and the inspector's routes."""
    routes = APIRouter()
    routes.include_router(consumer.router(web))
    routes.include_router(inspector.router(web))
    return routes
