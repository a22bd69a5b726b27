"""The composition root: settings, wiring, command line, web application, embedded services."""

from __future__ import annotations
