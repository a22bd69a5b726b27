"""The history of readings: roll-ups, questions and exports over any span, and how long everything is kept."""

from __future__ import annotations
