"""The services a fresh machine starts by itself: PostgreSQL, an MQTT broker, an EVM chain; a URL replaces each.

Every one follows `service.Service`; `app.supervisor` runs them. What they need is fetched or built once into the user's
cache folder (`cache.py`), what they store lies in the data folder.
"""

from __future__ import annotations
