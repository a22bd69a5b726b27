"""The transparency log as pure values: tree, tiles, checkpoint, proof, leaf, bundle, verifier.

Nothing here reads a database or a network; the sequencer, the store and the pages call it. `verify` and all it imports
need the standard library, `cryptography` and `rfc8785` only, so that a bundle is checked offline from a file.
"""

from __future__ import annotations
