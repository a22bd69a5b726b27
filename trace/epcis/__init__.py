"""EPCIS 2.0 and CBV 2.0 as pure values: documents in, captured events, event hashes and GS1 identifiers out.

Nothing here fetches a JSON-LD context, reads a database or a network.
"""

from __future__ import annotations
