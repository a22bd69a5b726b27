"""What a message knows of an alarm: a value, read in one statement for many alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["AlarmFacts", "Lang"]

Lang = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """An alarm as people are told of it; instants are Unix milliseconds UTC.

    Attributes:
        alarm_id: key.
        version: of its row now.
        called_version: of its latest call (raise, unsuppress, re_alarm ...), 0 when the journal has none.
        called_ms: when that was; when it was raised where the journal has none.
        kind: word of hanlu.alerts.kind.Kind.
        priority: 1 critical, 2 high, 3 low.
        process_state: where it stands.
        suppression_state: whether it keeps quiet.
        explained_by: the alarm that speaks for it.
        replayed: found in readings that were played back: nobody is called for history.
        organisation_path: ids from the root.
        site_id: where.
        site_zh: name of the site.
        site_en: name of the site.
        zone_zh: name of the room, or of the goods.
        zone_en: name of the room, or of the goods.
        metric: what is measured.
        unit: SenML unit.
        limit_value: the limit it went beyond.
        peak: the worst value so far.
        value: the newest value of its channel.
        exceeded_ms: since when it is beyond its limit.
        raised_ms: when that had lasted long enough.
        returned_ms: since when it is no longer.
        respond_by_ms: until when a person should have acted.
        cause: probable cause, a word of hanlu.alerts.kind.Cause.
        title_zh: the rule's title.
        title_en: the rule's title.
        response_zh: what to do.
        response_en: what to do.
    """

    alarm_id: int
    version: int
    called_version: int
    called_ms: int
    kind: str
    priority: int
    process_state: str
    suppression_state: str
    explained_by: int | None
    replayed: bool
    organisation_path: str
    site_id: int
    site_zh: str
    site_en: str
    zone_zh: str | None
    zone_en: str | None
    metric: str
    unit: str
    limit_value: float | None
    peak: float | None
    value: float | None
    exceeded_ms: int
    raised_ms: int
    returned_ms: int | None
    respond_by_ms: int | None
    cause: str
    title_zh: str | None = None
    title_en: str | None = None
    response_zh: str | None = None
    response_en: str | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """Return the organisations from the nearest to the root."""
        return tuple(int(each) for each in reversed(self.organisation_path.strip("/").split("/")) if each)

    def site(self, lang: Lang) -> str:
        """Return the site's name."""
        return self.site_zh if lang == "zh" else self.site_en

    def zone(self, lang: Lang) -> str:
        """Return the room's name, or the site's where there is no room."""
        return (self.zone_zh if lang == "zh" else self.zone_en) or self.site(lang)

    def title(self, lang: Lang) -> str | None:
        """Return the rule's title."""
        return self.title_zh if lang == "zh" else self.title_en

    def response(self, lang: Lang) -> str | None:
        """Return what the rule says to do."""
        return self.response_zh if lang == "zh" else self.response_en
