"""Excursions: what was out of limits, how far and how long, which lots stood there, and the report."""
