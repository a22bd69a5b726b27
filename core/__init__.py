"""Words and pure values every room shares: time, identities, readings, units, errors and the wire format."""

from __future__ import annotations
