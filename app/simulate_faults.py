"""What `--fault` of `hanlu simulate` means: a name, a place, and how it goes wrong from now on. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hanlu.core.errors import UsageError
from hanlu.firmware_sim.county import County
from hanlu.firmware_sim.faults import Drift, Duplicate, Fault, LinkLoss, Replay, Silence, Stuck, WrongClock

__all__ = ["FAULT_WORDS", "fault_of"]

_HOUR_MS: Final = 3_600_000
_OUTAGE_MS: Final = 5 * 60_000

_Make = Callable[[dict[str, Any], int], Fault]

_FAULTS: Final[dict[str, tuple[_Make, str]]] = {
    "stuck": (lambda at, now_ms: Stuck(**at, from_ms=now_ms), "its values freeze"),
    "drift": (lambda at, now_ms: Drift(**at, from_ms=now_ms, per_hour=1.0), "its values run away by 1 an hour"),
    "silence": (lambda at, now_ms: Silence(**at, from_ms=now_ms), "nothing comes any more"),
    "wrong-clock": (lambda at, now_ms: WrongClock(**at, from_ms=now_ms, offset_ms=2 * _HOUR_MS), "two hours ahead"),
    "duplicate": (lambda at, now_ms: Duplicate(**at, from_ms=now_ms, share=0.5), "every second value comes twice"),
    "replay": (
        lambda at, now_ms: Replay(**at, from_ms=now_ms, to_ms=now_ms + _OUTAGE_MS),
        "five minutes of values come again",
    ),
    "link-loss": (
        lambda at, now_ms: LinkLoss(**at, from_ms=now_ms, to_ms=now_ms + _OUTAGE_MS),
        "nothing comes for five minutes, then all of it",
    ),
}

FAULT_WORDS: Final = "; ".join(f"{name}: {words}" for name, (_, words) in _FAULTS.items())
"""Every fault with its meaning, for the help text."""


def fault_of(text: str, county: County, now_ms: int) -> Fault:
    """Return the fault in `NAME` or `NAME@PLACE`, from `now_ms` (Unix milliseconds) on.

    Args:
        text: as typed; PLACE is the code of a device or a gateway of the county, absent for every device.
        county: whose devices.
        now_ms: the present.

    Raises:
        UsageError: there is no such fault or place.
    """
    name, _, place = text.partition("@")
    if name not in _FAULTS:
        raise UsageError(f"--fault {text!r}: there is no fault {name!r}; there are {', '.join(_FAULTS)}")
    at: dict[str, Any] = {}
    if place in {gateway.code for gateway in county.gateways}:
        at["gateway"] = place
    elif place in {device.code for device in county.devices}:
        at["device"] = place
    elif place:
        raise UsageError(f"--fault {text!r}: the county has no device and no gateway {place!r}")
    return _FAULTS[name][0](at, now_ms)
