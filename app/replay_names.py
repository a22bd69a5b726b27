"""Under which names a replayed export stands in the register: pure, and the same for the same file name every time.

A file becomes a site with one zone and one gateway, all of one code, `replay-<file name>`; the mapping names the
devices and channels. Because the code follows from the name alone, a replay that was broken off goes on with the same
gateway and the same spool, and a repeated one brings nothing but duplicates.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from hanlu.core.limits import CODE_PATTERN, PARTITIONS
from hanlu.firmware_sim.replay.guess import device_code
from hanlu.firmware_sim.replay.plan import Plan
from hanlu.registry import records

__all__ = ["Place", "channels_of", "devices_of", "gateway_code", "is_code", "partition_of", "place_of"]

_PREFIX: Final = "replay-"
_LONGEST: Final = 40
"""Characters of a code (core.limits.CODE_PATTERN)."""
_DIGEST: Final = 6
"""Hex digits that tell apart names which look alike once they are codes."""
_DEVICE_KIND: Final = "export"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the values of a file belong.

    Attributes:
        code: of the gateway, its site and its zone.
        partition: of the gateway, 0 to 63.
        organisation: code of the node of the tree the site belongs to.
        site_zh: name of the site in Chinese.
        site_en: name of the site in English.
        zone_zh: name of the zone in Chinese.
        zone_en: name of the zone in English.
        limit_profile: what its channels are judged by; None: nothing.
    """

    code: str
    partition: int
    organisation: str
    site_zh: str
    site_en: str
    zone_zh: str
    zone_en: str
    limit_profile: str | None

    @property
    def site(self) -> records.Site:
        """The site as the register takes it."""
        return records.Site(self.code, self.organisation, self.site_zh, self.site_en, "cold_store")

    @property
    def zone(self) -> records.Zone:
        """The zone as the register takes it."""
        return records.Zone(self.code, self.code, self.zone_zh, self.zone_en, limit_profile=self.limit_profile)

    @property
    def gateway(self) -> records.Gateway:
        """The gateway as the register takes it."""
        return records.Gateway(self.code, self.code, self.partition)


def gateway_code(file: PurePath) -> str:
    """Return the gateway's code for an export, from its name without folder and suffix.

    What a code cannot hold (Chinese, say) is replaced by a digest of the name, so that two files never share a gateway
    because little of their names was left.
    """
    stem = unicodedata.normalize("NFKC", file.stem)
    room = _LONGEST - len(_PREFIX)
    slug = device_code(stem)
    whole = re.sub(r"[\W_]", "", stem.lower()) == slug.replace("-", "")
    if whole and len(slug) <= room:
        return _PREFIX + slug
    digest = hashlib.sha256(stem.encode()).hexdigest()[:_DIGEST]
    return f"{_PREFIX}{slug[: room - _DIGEST - 1].rstrip('-')}-{digest}"


def is_code(text: str) -> bool:
    """Tell whether `text` can be the code of a gateway."""
    return re.fullmatch(CODE_PATTERN, text) is not None


def partition_of(code: str) -> int:
    """Return the fixed partition of a gateway that was given none by anybody."""
    return hashlib.sha256(code.encode()).digest()[0] % PARTITIONS


def place_of(
    file: PurePath,
    code: str,
    organisation: str,
    known: records.Zone | None,
    zone_name: str | None,
    limit_profile: str | None,
) -> Place:
    """Return where the values of `file` belong.

    Args:
        file: the export.
        code: of its gateway.
        organisation: code of the node its site belongs to.
        known: its zone from an earlier replay; its name stays unless another is given.
        zone_name: in both languages; None: the file's name.
        limit_profile: code of the profile, None for none.
    """
    zh = en = zone_name or file.stem
    if known is not None and zone_name is None:
        zh, en = known.name_zh, known.name_en
    return Place(
        code=code,
        partition=partition_of(code),
        organisation=organisation,
        site_zh=f"回放 {file.stem}",
        site_en=f"Replay of {file.stem}",
        zone_zh=zh,
        zone_en=en,
        limit_profile=limit_profile,
    )


def devices_of(plan: Plan, place: Place) -> Sequence[records.Device]:
    """Return the devices the file speaks for."""
    return [records.Device(place.code, code, _DEVICE_KIND, place.code) for code in plan.devices]


def channels_of(plan: Plan, place: Place) -> Sequence[records.Channel]:
    """Return the channels its columns become."""
    return [
        records.Channel(place.code, device, metric, unit, period_s)
        for name, unit, period_s in plan.channels
        for device, _, metric in [name.partition("/")]
    ]
