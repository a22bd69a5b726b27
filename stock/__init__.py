"""What stands where: balances, reserves and farm-input ledgers, folded from events."""

from __future__ import annotations
