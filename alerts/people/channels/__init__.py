"""The channels: what each is sent, how it is signed, what its answers mean; pure, but for transport and mail."""

from __future__ import annotations
