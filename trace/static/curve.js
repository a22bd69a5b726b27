/* Draws a temperature curve as SVG from [[ms, value], …]: the same picture as core/curve.py, gaps drawn as gaps. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 720;
const HEIGHT = 260;
const LEFT = 44;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const CHINA_MS = 8 * HOUR;
const TIME_STEPS = [
  MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY,
  14 * DAY, 28 * DAY,
];
const MOST_TIME_TICKS = 7;
const MOST_VALUE_TICKS = 6;

function shape(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Round steps of 1, 2 or 5 so that at most `most` of them span `range`. */
function niceStep(range, most) {
  const raw = range / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
}

function timeLabel(ms, step) {
  const china = new Date(ms + CHINA_MS).toISOString();
  return step >= DAY || china.slice(11, 16) === "00:00" ? china.slice(5, 10) : china.slice(11, 16);
}

/** Pieces of the line: a new one wherever neighbours lie further apart than `gapMs`. */
function line(points, x, y, gapMs) {
  let path = "";
  points.forEach(([at, value], index) => {
    const joined = index > 0 && at - points[index - 1][0] <= gapMs;
    path += `${joined ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!joined) path += "h.01";
  });
  return path;
}

/**
 * @param {[number, number][]} points ascending in time, milliseconds and degrees Celsius
 * @param {{low: ?number, high: ?number, gapMs: number, lang: string}} options limits, greatest joined distance, language
 * @returns {SVGElement}
 */
export function drawCurve(points, { low, high, gapMs, lang }) {
  const svg = shape("svg", { class: "curve", role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  if (points.length === 0) return svg;
  svg.append(shape("title", {}, lang === "zh" ? "已核验的温度曲线" : "Checked temperature curve"));
  const limits = [low, high].filter((limit) => limit !== null);
  const values = [...points.map((point) => point[1]), ...limits];
  const least = values.reduce((a, b) => Math.min(a, b));
  const most = values.reduce((a, b) => Math.max(a, b));
  const step = niceStep(Math.max(most - least, 1), MOST_VALUE_TICKS);
  const bottom = Math.floor(least / step) * step;
  const top = Math.max(Math.ceil(most / step) * step, bottom + step);
  const first = points[0][0];
  const last = Math.max(points[points.length - 1][0], first + 1);
  const x = (at) => LEFT + ((at - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((top - value) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
  for (let value = bottom; value <= top + step / 2; value += step) {
    svg.append(shape("path", { class: "curve-grid", d: `M${LEFT} ${y(value)}H${WIDTH - RIGHT}` }));
    const label = `${Number(value.toFixed(2))}${value + step > top + step / 2 ? " °C" : ""}`;
    svg.append(shape("text", { class: "curve-text", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, label));
  }
  const every = TIME_STEPS.find((each) => (last - first) / each <= MOST_TIME_TICKS) ?? 28 * DAY;
  for (let at = Math.ceil((first + CHINA_MS) / every) * every - CHINA_MS; at <= last; at += every) {
    svg.append(shape("path", { class: "curve-grid", d: `M${x(at)} ${HEIGHT - BOTTOM}v4` }));
    const place = { class: "curve-text", x: x(at), y: HEIGHT - 6, "text-anchor": "middle" };
    svg.append(shape("text", place, timeLabel(at, every)));
  }
  for (const limit of limits) {
    svg.append(shape("path", { class: "curve-limit", d: `M${LEFT} ${y(limit)}H${WIDTH - RIGHT}` }));
  }
  const stroke = { "stroke-width": "1.5", "stroke-linejoin": "round", "stroke-linecap": "round", fill: "none" };
  svg.append(shape("path", { class: "curve-line", d: line(points, x, y, gapMs), ...stroke }));
  return svg;
}
