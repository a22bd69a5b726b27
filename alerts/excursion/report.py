"""The report of an excursion on A4: what an auditor asks for, in black and white, with lines to sign.

It says what the account says at the moment of printing: number and version of the account stand on every page, and the
digest of the readings lets a copy be checked against them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

from reportlab.lib.colors import Color, black
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, KeepTogether, PageTemplate, Paragraph, Spacer, Table

from hanlu.alerts.excursion.drawing import Plot, PlotData
from hanlu.alerts.excursion.fonts import BOLD, chinese_font, marked, runs, width
from hanlu.alerts.excursion.read import MOST_LOTS, AlarmOf, Detail
from hanlu.alerts.excursion.say import Say
from hanlu.alerts.excursion.store import CELSIUS
from hanlu.alerts.wording import metric_name, unit_label, words
from hanlu.core.curve import Lang, Span

__all__ = ["report_pdf"]

_MARGIN: Final = 18 * mm
_LINE: Final = Color(0.6, 0.6, 0.6)
_SMALL_SIZE: Final = 7.5
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9, leading=13)
_STRONG = ParagraphStyle("strong", parent=_BODY, fontSize=11.5, leading=15)
_LABEL = ParagraphStyle("label", parent=_BODY, fontSize=8, leading=12, textColor=Color(0.3, 0.3, 0.3))
_SMALL = ParagraphStyle("small", parent=_BODY, fontSize=_SMALL_SIZE, leading=11)
_HEADING = ParagraphStyle(
    "heading", parent=_BODY, fontSize=11.5, leading=16, spaceBefore=9, spaceAfter=3, keepWithNext=1
)
_TITLE = ParagraphStyle("title", parent=_BODY, fontSize=18, leading=24)
_NOTICE = ParagraphStyle(
    "notice", parent=_BODY, borderColor=black, borderWidth=1, borderPadding=5, spaceBefore=8, spaceAfter=8
)


def report_pdf(detail: Detail, lang: Lang, now_ms: int) -> bytes:
    """Return the report as a PDF file.

    Args:
        detail: the excursion.
        lang: language of the report; names and notes stay as they were written.
        now_ms: the platform's time, printed.
    """
    say = Say(lang)
    one = detail.excursion
    buffer = io.BytesIO()
    number = say("report.number", number=one.excursion_id, version=one.version)
    document = BaseDocTemplate(
        buffer, pagesize=A4, leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=16 * mm, bottomMargin=20 * mm,
        title=f"{say('report.title')} {one.excursion_id}", author="Hanlu", subject=f"{one.zone} {one.channel}",
        lang=lang,
    )  # fmt: skip
    frame = Frame(_MARGIN, 20 * mm, A4[0] - 2 * _MARGIN, A4[1] - 36 * mm, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[frame]))
    foot = f"{number} · {say('report.printed', when=say.time(now_ms, seconds=True))} · {say('report.zone_of_time')}"
    story = [
        *_head(detail, say),
        *_figures(detail, say),
        *_curve(detail, say, lang),
        *_alarms(detail, say),
        *_acts(detail, say),
        *_lots(detail, say),
        *_corrections(detail, say),
        *_method(detail, say),
        _signatures(say),
    ]
    document.build(story, canvasmaker=lambda *args, **kwargs: _Numbered(*args, foot=foot, say=say, **kwargs))
    return buffer.getvalue()


class _Numbered(Canvas):
    """A canvas that knows how many pages there are before it writes the first one's foot."""

    def __init__(self, *args: Any, foot: str, say: Say, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._foot, self._say = foot, say
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - reportlab's name
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]

    def save(self) -> None:
        for page, state in enumerate(self._kept, 1):
            self.__dict__.update(state)
            self._write_foot(page, len(self._kept))
            super().showPage()
        super().save()

    def _write_foot(self, page: int, pages: int) -> None:
        self.setStrokeColor(_LINE)
        self.setLineWidth(0.5)
        self.line(_MARGIN, 15 * mm, A4[0] - _MARGIN, 15 * mm)
        told = self._say("report.page", page=page, pages=pages)
        for x, text in ((_MARGIN, self._foot), (A4[0] - _MARGIN - width(told, _SMALL_SIZE), told)):
            written = self.beginText(x, 11 * mm)
            for font, run in runs(text):
                written.setFont(font, _SMALL_SIZE)
                written.textOut(run)
            self.drawText(written)


def _text(text: str, style: ParagraphStyle = _BODY) -> Paragraph:
    return Paragraph(marked(text), style)


def _strong(text: str, style: ParagraphStyle = _STRONG) -> Paragraph:
    """Return a text that stands out: bold where it is Latin, and thicker strokes have to be size where it is not."""
    return Paragraph(marked(text, BOLD), style)


def _heading(text: str) -> Paragraph:
    return _strong(text, _HEADING)


def _pairs(rows: Sequence[tuple[str, str]], columns: int = 2) -> Table:
    """Return labels and values in so many columns."""
    cells: list[list[Any]] = []
    for index in range(0, len(rows), columns):
        line: list[Any] = []
        for label, value in rows[index : index + columns]:
            line += [_text(label, _LABEL), _text(value)]
        cells.append(line + [""] * (2 * columns - len(line)))
    wide = A4[0] - 2 * _MARGIN
    label_width = 27 * mm
    return Table(
        cells, colWidths=[label_width, wide / columns - label_width] * columns,
        style=[("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0), *_TIGHT], hAlign="LEFT",
    )  # fmt: skip


_TIGHT: Final = [("TOPPADDING", (0, 0), (-1, -1), 1.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> Table:
    """Return a ruled table; `widths` are shares of the line."""
    wide = A4[0] - 2 * _MARGIN
    cells = [[_text(each, _LABEL) for each in head], *([_text(each, _SMALL) for each in row] for row in rows)]
    return Table(
        cells, colWidths=[wide * share for share in widths], repeatRows=1, hAlign="LEFT",
        style=[
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, black), ("LINEBELOW", (0, 1), (-1, -1), 0.3, _LINE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 2), *_TIGHT,
        ],
    )  # fmt: skip


def _head(detail: Detail, say: Say) -> list[Flowable]:
    one, profile = detail.excursion, detail.profile
    force = say("report.in_force", day=profile.effective_from.isoformat()) if profile else ""
    rows = [
        (say("report.organisation"), one.name("organisation", say.lang)),
        (say("report.site"), f"{one.name('site', say.lang)}\n{one.site}"),
        (say("report.zone"), f"{one.name('zone', say.lang)}\n{one.zone}"),
        (say("report.channel"), f"{metric_name(one.metric, say.lang)}\n{one.channel}"),
        (say("limit"), say.limit(one)),
        (say("report.profile"), f"{profile.code}, {force}" if profile else say("report.profile.none")),
        (say("report.source"), profile.source if profile else "—"),
    ]
    found: list[Flowable] = [_strong(say("report.title"), _TITLE)]
    found.append(_text(say("report.number", number=one.excursion_id, version=one.version), _LABEL))
    found += [Spacer(1, 6), _pairs(rows)]
    if one.standing:
        found.append(_text(say("report.standing", when=say.time(one.known_until_ms or one.computed_ms)), _NOTICE))
    return found


def _figures(detail: Detail, say: Say) -> list[Flowable]:
    one = detail.excursion
    main = [
        (say("minutes"), say.duration(one.minutes)),
        (say("peak"), say.value(one.peak, one.unit)),
        (say("degree_minutes"), say.degree_minutes(one)),
    ]
    if one.unit == CELSIUS:
        main.append((say("kinetic"), say.kinetic(one)))
    wide = A4[0] - 2 * _MARGIN
    boxes = Table(
        [[_text(label, _LABEL) for label, _ in main], [_strong(value) for _, value in main]],
        colWidths=[wide / len(main)] * len(main), hAlign="LEFT",
        style=[("BOX", (0, 0), (-1, -1), 0.8, black), ("INNERGRID", (0, 0), (-1, -1), 0.3, _LINE),
               ("LINEBELOW", (0, 0), (-1, 0), 0, Color(1, 1, 1)), *_TIGHT],
    )  # fmt: skip
    until = say.time(one.known_until_ms or one.computed_ms, seconds=True)
    rows = [
        (say("from"), say.time(one.from_ms, seconds=True)),
        (say("to"), say("still.short") if one.standing else say.time(one.to_ms, seconds=True)),
        (say("unknown"), say.duration(one.unknown_minutes)),
        (say("peak"), f"{say.value(one.peak, one.unit)}, {say.time(one.peak_ms)}"),
        (say("mean"), say.value(one.mean, one.unit, 2)),
        (say("readings"), f"{one.readings:,}"),
    ]
    if one.unit == CELSIUS:
        rows += [(say("kinetic_day"), say.window(one)), (say("kinetic_month"), say.window(one, month=True))]
    rows.append((say("computed"), say.time(one.computed_ms, seconds=True)))
    if one.standing:
        rows[1] = (say("to"), say("still", when=until))
    found: list[Flowable] = [_heading(say("report.figures")), boxes, Spacer(1, 4), _pairs(rows)]
    if not one.readings:
        found.append(_text(say("never_readings"), _NOTICE))
    return found


def _curve(detail: Detail, say: Say, lang: Lang) -> list[Flowable]:
    one, drawn, word = detail.excursion, detail.curve, words(lang)
    if not drawn.samples:
        return [_heading(say("curve")), _text(say("no_readings"))] if one.readings else []
    right = min(drawn.span.to_ms, drawn.samples[-1].at_ms) if one.standing else drawn.span.to_ms
    plot = PlotData(
        Span(drawn.span.from_ms, max(right, drawn.span.from_ms + 1)), drawn.samples, drawn.gap_ms, one.limit_value,
        one.upward, Span(one.from_ms, one.end_ms),
        [(word(f"alerts.strip.{metric}"), spans) for metric, spans in drawn.switches],
        unit_label(one.unit), say.limit(one),
    )  # fmt: skip
    return [KeepTogether([_heading(say("curve")), Plot(plot), Spacer(1, 4), _text(say("curve.gaps"), _SMALL)])]


def _alarms(detail: Detail, say: Say) -> list[Flowable]:
    word = words(say.lang)

    def rule(each: AlarmOf) -> str:
        if each.rule_code is None:
            return say("rule.none")
        title = (each.rule_zh if say.lang == "zh" else each.rule_en) or ""
        return f"{title}\n{say('rule.version', code=each.rule_code, version=each.rule_version)}".strip()

    rows = [
        (
            f"{each.alarm_id}",
            word(f"alerts.kind.{each.kind}")
            + (f"\n{say('state.held')} {say.hold(each.hold_reason)}" if each.hold_reason else ""),
            say.value(each.limit_value, detail.excursion.unit), say.time(each.raised_ms), say.time(each.returned_ms),
            rule(each),
        )
        for each in detail.alarms
    ]  # fmt: skip
    head = (say("no"), word("alerts.list.what"), say("limit"), say("raised"), say("returned"), say("rule"))
    return [_heading(say("alarms")), _table(head, rows, (0.07, 0.2, 0.12, 0.16, 0.16, 0.29))]


def _acts(detail: Detail, say: Say) -> list[Flowable]:
    if not detail.acts:
        return [_heading(say("acts")), _text(say("acts.none"))]
    rows = [
        (say.time(each.at_ms, seconds=True), f"{each.alarm_id}", each.actor, say(f"act.{each.event}"), each.note or "—")
        for each in detail.acts
    ]
    head = (say("when"), say("no"), say("who"), say("what"), say("note"))
    return [_heading(say("acts")), _table(head, rows, (0.2, 0.07, 0.15, 0.15, 0.43))]


def _lots(detail: Detail, say: Say) -> list[Flowable]:
    if not detail.lots:
        none = say("lots.none" if detail.excursion.locations else "lots.no_place")
        return [_heading(say("lots.title")), _text(none)]
    rows = [
        (each.code, each.product(say.lang) or "—", say.time(each.from_ms),
         say.time(each.to_ms) if each.to_ms else say("still_there"))
        for each in detail.lots
    ]  # fmt: skip
    found: list[Flowable] = [_heading(say("lots.title"))]
    found.append(_table((say("lot"), say("product"), say("since"), say("until")), rows, (0.32, 0.3, 0.19, 0.19)))
    if len(rows) >= MOST_LOTS:
        found.append(_text(say("lots.more", most=MOST_LOTS), _SMALL))
    return found


def _corrections(detail: Detail, say: Say) -> list[Flowable]:
    one = detail.excursion
    rows = [
        (say.time(version.at_ms), say(f"why.{version.why}"), say.figure_name(name), say.figure(one, name, before),
         say.figure(one, name, after))
        for version in detail.corrections
        for name, before, after in version.changes()
    ]  # fmt: skip
    if not rows:
        return [_heading(say("corrections")), _text(say("corrections.none"))]
    head = [say(f"corrections.{each}") for each in ("when", "why", "figure", "before", "after")]
    return [_heading(say("corrections")), _table(head, rows, (0.17, 0.19, 0.24, 0.2, 0.2))]


def _method(detail: Detail, say: Say) -> list[Flowable]:
    one = detail.excursion
    found: list[Flowable] = [Spacer(1, 8), _text(say("report.method", gap=say.duration(one.gap_ms / 60_000)), _SMALL)]
    if one.digest:
        found.append(_text(f"{say('digest')}: {one.digest}. {say('report.digest_how')}", _SMALL))
    return found


def _signatures(say: Say) -> Flowable:
    wide = A4[0] - 2 * _MARGIN
    cells = [
        [_text(say(f"report.{who}")), "", "", _text(say("report.date")), ""]
        for who in ("operator", "quality")
    ]  # fmt: skip
    table = Table(
        cells, colWidths=[wide * share for share in (0.16, 0.44, 0.04, 0.1, 0.26)], rowHeights=[13 * mm] * 2,
        hAlign="LEFT",
        style=[
            ("VALIGN", (0, 0), (-1, -1), "BOTTOM"), ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("LINEBELOW", (1, 0), (1, -1), 0.8, black), ("LINEBELOW", (4, 0), (4, -1), 0.8, black),
        ],
    )  # fmt: skip
    return KeepTogether([Spacer(1, 4), table])


chinese_font()  # registered once, before any thread lays out a page
