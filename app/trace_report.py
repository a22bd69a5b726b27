"""A verifier's report in words: what failed first, then what stays open, then what holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hanlu.trace.log.verify import Check, Report, State

__all__ = ["Lang", "Verified", "as_json", "told", "verdict"]

Lang = Literal["zh", "en"]

_ORDER: Final[tuple[State, ...]] = ("failed", "unknown", "ok")
_WORDS: Final[dict[Lang, dict[str, str]]] = {
    "zh": {
        "failed": "✗ 不成立",
        "unknown": "? 未核验",
        "ok": "✓ 成立",
        "record": "第 {} 条记录",
        "records": "{} 条记录",
        "lot": "批次",
        "log": "日志",
        "verdict": "结论",
        "true": "核验通过",
        "false": "核验不通过",
        "open": "（{} 项未核验）",
    },
    "en": {
        "failed": "✗ failed",
        "unknown": "? open",
        "ok": "✓ ok",
        "record": "record {}",
        "records": "{} records",
        "lot": "lot",
        "log": "log",
        "verdict": "verdict",
        "true": "TRUE",
        "false": "FALSE",
        "open": " ({} left open)",
    },
}


@dataclass(frozen=True, slots=True)
class Verified:
    """One bundle and what the verifier says.

    Attributes:
        report: the answers.
        lot: the lot the bundle says it is about; None when its form is not right.
        log: the log it says it comes from; None likewise.
    """

    report: Report
    lot: str | None
    log: str | None


def verdict(verified: Iterable[Verified]) -> State:
    """Return the verdict about all bundles: failed when one failed."""
    return "failed" if any(each.report.verdict == "failed" for each in verified) else "ok"


def told(verified: Sequence[Verified], lang: Lang) -> list[str]:
    """Return the lines for the terminal."""
    words = _WORDS[lang]
    lines: list[str] = []
    for each in verified:
        if each.lot is not None:
            lines += [f"{words['lot']}: {each.lot}", f"{words['log']}: {each.log}"]
        for state in _ORDER:
            lines += [f"  {words[state]:<9} {line}" for line in _said(each.report.checks, state, lang)]
        lines.append("")
    still_open = len({check.code for each in verified for check in each.report.checks if check.state == "unknown"})
    holds = verdict(verified) == "ok"
    conclusion = words["true" if holds else "false"]
    lines.append(f"{words['verdict']}: {conclusion}{words['open'].format(still_open) if holds and still_open else ''}")
    return lines


def as_json(verified: Sequence[Verified]) -> dict[str, object]:
    """Return the whole for programs."""
    return {
        "verdict": verdict(verified),
        "bundles": [{"lot": each.lot, "log": each.log, **each.report.as_json()} for each in verified],
    }


def _said(checks: Iterable[Check], state: State, lang: Lang) -> list[str]:
    """Return the sentences of one state; what is said of several records is said once, with their numbers from 1."""
    words = _WORDS[lang]
    by_code: dict[str, list[Check]] = {}
    for check in checks:
        if check.state == state:
            by_code.setdefault(check.code, []).append(check)
    lines = []
    for same in by_code.values():
        sentence = same[0].zh if lang == "zh" else same[0].en
        items = [check.item + 1 for check in same if check.item is not None]
        if not items:
            lines.append(sentence)
        elif state == "failed" or len(items) == 1:
            lines += [f"{sentence} ({words['record'].format(item)})" for item in items]
        else:
            lines.append(f"{sentence} ({words['records'].format(len(items))})")
    return lines
