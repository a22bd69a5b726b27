/* Draws the temperature of a lot's way as SVG at the width it is shown with: the line in the places where it was
 * measured, gaps as gaps, the suitable range as a band, and below it a row for each place, as core/curve.py does.
 */
import { CURVE_GAP_MS } from "./view.js";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 44;
const RIGHT = 10;
const TOP = 12;
const BOTTOM = 26;
const ROW = 18;
const NARROW = 480;
const LEAST_WIDTH = 280;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const CHINA_MS = 8 * HOUR;
const TIME_STEPS = [
  MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY,
  14 * DAY, 28 * DAY,
];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const TIME_LABEL_PX = 62;
const VALUE_LABEL_PX = 34;

function shape(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const label = (x, y, text, anchor) => shape("text", { class: "curve-text", x, y, "text-anchor": anchor }, text);

/** Round steps of 1, 2 or 5 so that at most `most` of them span `range`. */
function niceStep(range, most) {
  const raw = range / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
}

function timeLabel(ms, lang) {
  const china = new Date(ms + CHINA_MS);
  if (china.getUTCHours() || china.getUTCMinutes()) return china.toISOString().slice(11, 16);
  const [month, day] = [china.getUTCMonth(), china.getUTCDate()];
  return lang === "zh" ? `${month + 1}月${day}日` : `${day} ${MONTHS[month]}`;
}

/** Pieces of the line: a new one wherever neighbours lie too far apart; a lonely reading becomes a dot. */
function line(points, x, y) {
  let path = "";
  points.forEach(([at, value], index) => {
    const joined = index > 0 && at - points[index - 1][0] <= CURVE_GAP_MS;
    path += `${joined ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!joined) path += "h.01";
  });
  return path;
}

/** Where everything lands: the spans of time and value, and how they become pixels. */
function frameOf(stretches, { low, high, width }) {
  const points = stretches.flatMap((stretch) => stretch.points);
  const limits = [low, high].filter((limit) => limit !== null);
  const plot = width < NARROW ? 190 : 250;
  const values = [...points.map((point) => point[1]), ...limits];
  const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const air = Math.max((most - least) * 0.08, (1 - (most - least)) / 2);
  const [bottom, top] = [least - air, most + air];
  const step = niceStep(top - bottom, Math.floor((plot - TOP - BOTTOM) / VALUE_LABEL_PX));
  const first = points.reduce((sum, point) => Math.min(sum, point[0]), Infinity);
  const last = Math.max(points.reduce((sum, point) => Math.max(sum, point[0]), 0), first + 1);
  const inner = width - LEFT - RIGHT;
  return {
    plot, step, bottom, top, first, last, inner, width,
    x: (at) => LEFT + ((at - first) / (last - first)) * inner,
    y: (value) => TOP + ((top - value) / (top - bottom)) * (plot - TOP - BOTTOM),
  };
}

function* axes({ plot, step, bottom, top, first, last, inner, width, x, y }, lang) {
  for (let value = Math.ceil(bottom / step) * step; value <= top; value += step) {
    yield shape("path", { class: "curve-grid", d: `M${LEFT} ${y(value)}H${width - RIGHT}` });
    yield label(LEFT - 6, y(value) + 4, String(Number(value.toFixed(2))).replace(/^-/, "\u2212"), "end");
  }
  yield label(4, TOP + 4, "°C", "start");
  const every = TIME_STEPS.find((each) => (last - first) / each <= inner / TIME_LABEL_PX) ?? 28 * DAY;
  for (let at = Math.ceil((first + CHINA_MS) / every) * every - CHINA_MS; at <= last; at += every) {
    yield shape("path", { class: "curve-grid", d: `M${x(at)} ${TOP}V${plot - BOTTOM + 4}` });
    yield label(Math.min(x(at), width - RIGHT - 14), plot - 8, timeLabel(at, lang), "middle");
  }
}

function* range({ plot, width, inner, y }, low, high) {
  if (low === null && high === null) return;
  const [upper, lower] = [high === null ? TOP : y(high), low === null ? plot - BOTTOM : y(low)];
  yield shape("rect", { class: "curve-range", x: LEFT, y: upper, width: inner, height: lower - upper });
  for (const limit of [low, high].filter((each) => each !== null)) {
    yield shape("path", { class: "curve-limit", d: `M${LEFT} ${y(limit)}H${width - RIGHT}` });
  }
}

/** A row below the axis: where it was measured, with the place's name beside, on the roomier side. */
function row(stretch, number, { plot, inner, width, x }, name) {
  const top = plot + number * ROW;
  const [start, end] = [x(stretch.points[0][0]), x(stretch.points[stretch.points.length - 1][0])];
  const group = shape("g", { class: "curve-strip" });
  const right = width - RIGHT - end >= start - LEFT;
  group.append(
    shape("title", {}, name),
    shape("rect", { class: "curve-strip-way", x: LEFT, y: top + 4, width: inner, height: 9 }),
    shape("rect", { class: "curve-strip-on", x: start, y: top + 4, width: Math.max(end - start, 2), height: 9 }),
    label(right ? end + 5 : start - 5, top + 13, name, right ? "start" : "end"),
  );
  return group;
}

/**
 * @param {{place: string, points: [number, number][]}[]} stretches as `stretchesOf` gives them
 * @param {{low: ?number, high: ?number, lang: string, places: Object<string, {short: string}>, width: number}} options
 *   suitable range, language, names of places, width in CSS pixels
 * @returns {SVGElement}
 */
export function drawCurve(stretches, { low, high, lang, places, width }) {
  const frame = frameOf(stretches, { low, high, width: Math.max(width, LEAST_WIDTH) });
  const height = frame.plot + stretches.length * ROW;
  const svg = shape("svg", { class: "curve", role: "img", viewBox: `0 0 ${frame.width} ${height}` });
  svg.append(
    shape("title", {}, lang === "zh" ? "已核验的温度曲线" : "Checked temperature curve"),
    ...range(frame, low, high),
    ...axes(frame, lang),
  );
  const stroke = { "stroke-width": "1.75", "stroke-linejoin": "round", "stroke-linecap": "round", fill: "none" };
  for (const { points } of stretches) {
    svg.append(shape("path", { class: "curve-line", d: line(points, frame.x, frame.y), ...stroke }));
  }
  stretches.forEach((stretch, number) => {
    svg.append(row(stretch, number, frame, places[stretch.place]?.short ?? stretch.place));
  });
  return svg;
}
