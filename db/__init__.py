"""The one door to PostgreSQL: pool, named queries, migrations and repeatable SQL."""

from __future__ import annotations
