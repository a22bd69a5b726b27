"""The channels: what each is sent, how that is signed, what its answers mean. Pure, but for transport.py and mail.py."""

from __future__ import annotations
