"""The wire between edge and platform: topics, the signed envelope, and the small documents that travel in it."""

from __future__ import annotations
