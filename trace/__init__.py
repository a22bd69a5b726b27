"""Events, codes, transparency log, anchor, labels, consumer and inspector pages."""

from __future__ import annotations
