// Turns the server's picture of a zone into a chart that can be read point by point and follows the live readings.

import { number, time } from './console.js';

const place = document.getElementById('trend');
const point = document.getElementById('trend-point');
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();
const STRIP = 16; // px one strip takes below the time axis

let trend; // what the server told
let chart;

/** Columns in uPlot's order: seconds, mean, least, greatest. */
const columns = () => [trend.t.map((ms) => ms / 1000), trend.v, trend.lo ?? trend.v.map(() => null), trend.hi ?? trend.v.map(() => null)];

function pad(unit) {
  return new Intl.DateTimeFormat('en-GB', { timeZone: 'Asia/Shanghai', ...unit });
}
const hour = pad({ hour: '2-digit', minute: '2-digit' });
const day = pad({ day: 'numeric', month: 'numeric' });

function label(seconds) {
  const text = hour.format(seconds * 1000);
  if (text !== '00:00') return text;
  const [date, month] = day.format(seconds * 1000).split('/').map(Number);
  return document.documentElement.lang.startsWith('zh') ? `${month}月${date}日` : `${date}/${month}`;
}

/** Draws alarms as pale spans, behind everything. */
function drawAlarms(u) {
  const { ctx, bbox } = u;
  ctx.save();
  for (const [from, to] of trend.alarms) {
    const left = Math.max(u.valToPos(from / 1000, 'x', true), bbox.left);
    const right = Math.min(u.valToPos(to / 1000, 'x', true), bbox.left + bbox.width);
    if (right <= left) continue;
    ctx.globalAlpha = 0.09;
    ctx.fillStyle = colour('--limit');
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

/** Draws limits, the marks of alarms, and the strips under the curve. */
function drawOver(u) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour('--limit');
  ctx.lineWidth = 1.25 * ratio;
  ctx.setLineDash([6 * ratio, 4 * ratio]);
  for (const limit of [trend.low, trend.high]) {
    if (limit === null) continue;
    const y = u.valToPos(limit, 'y', true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.setLineDash([]);
  ctx.font = `${11 * ratio}px ${colour('--sans')}`;
  ctx.fillStyle = colour('--soft');
  ctx.textAlign = 'left';
  ctx.textBaseline = 'top';
  ctx.fillText(trend.unit, 2 * ratio, bbox.top);
  ctx.fillStyle = colour('--limit');
  for (const [, , raised] of trend.alarms) {
    const x = u.valToPos(raised / 1000, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x - 5 * ratio, bbox.top);
    ctx.lineTo(x + 5 * ratio, bbox.top);
    ctx.lineTo(x, bbox.top + 9 * ratio);
    ctx.fill();
    ctx.fillRect(x - ratio / 2, bbox.top, ratio, bbox.height);
  }
  ctx.textBaseline = 'middle';
  ctx.textAlign = 'right';
  trend.strips.forEach((strip, row) => {
    const y = ctx.canvas.height - (trend.strips.length - row) * STRIP * ratio;
    const height = 9 * ratio;
    ctx.fillStyle = colour('--soft');
    ctx.fillText(strip.label, bbox.left - 6 * ratio, y + height / 2);
    ctx.globalAlpha = 0.1;
    ctx.fillRect(bbox.left, y, bbox.width, height);
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour(strip.kind === 'door_open' ? '--warn' : '--series-2');
    for (const [from, to] of strip.on) {
      const left = Math.max(u.valToPos(from / 1000, 'x', true), bbox.left);
      const right = Math.min(u.valToPos(to / 1000, 'x', true), bbox.left + bbox.width);
      if (right > left) ctx.fillRect(left, y, Math.max(right - left, ratio), height);
    }
  });
  ctx.restore();
}

function readOut(u) {
  const index = u.cursor.idx;
  const value = index == null ? null : u.data[1][index];
  if (value == null) return;
  const [low, high] = [u.data[2][index], u.data[3][index]];
  const range = low == null || low === high ? '' : ` (${number(low)} – ${number(high)})`;
  point.textContent = `${time(u.data[0][index] * 1000)}  ${number(value)} ${trend.unit}${range}`;
}

const grid = { stroke: 'rgb(27 41 46 / .12)', width: 1 };
const axis = { stroke: colour('--soft'), font: `11px ${colour('--sans')}`, grid, ticks: { ...grid, size: 4 } };
const height = () => (place.clientWidth < 500 ? 220 : 300) + STRIP * trend.strips.length;

function options() {
  const line = colour('--series');
  return {
    width: place.clientWidth,
    height: height(),
    padding: [10, 10, STRIP * trend.strips.length, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Asia/Shanghai'),
    cursor: { y: false, points: { size: 7 } },
    legend: { show: false },
    scales: {
      x: { range: () => [trend.from / 1000, trend.to / 1000] },
      y: {
        range: (_, least, greatest) => {
          const all = [least, greatest, trend.low, trend.high].filter((each) => each !== null && isFinite(each));
          if (!all.length) return [0, 1];
          const [bottom, top] = [Math.min(...all), Math.max(...all)];
          const air = Math.max((top - bottom) * 0.08, (1 - (top - bottom)) / 2);
          return [bottom - air, top + air];
        },
      },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map(label) },
      { ...axis, size: 46, values: (_, splits) => splits.map((each) => String(each).replace('-', '−')) },
    ],
    series: [
      {},
      { stroke: line, width: 1.75, spanGaps: false, points: { show: false } },
      { stroke: 'transparent', points: { show: false } },
      { stroke: 'transparent', points: { show: false } },
    ],
    bands: [{ series: [3, 2], fill: 'rgb(11 110 116 / .18)' }],
    hooks: { drawClear: [drawAlarms], draw: [drawOver], setCursor: [readOut] },
  };
}

async function load() {
  const answer = await fetch(place.dataset.url, { headers: { Accept: 'application/json' } });
  if (!answer.ok) return;
  trend = await answer.json();
  if (chart && chart.root.isConnected) {
    chart.setData(columns());
    return;
  }
  const picture = place.querySelector('svg');
  const title = picture?.querySelector('title')?.textContent ?? '';
  const description = picture?.querySelector('desc')?.textContent ?? '';
  place.replaceChildren();
  place.setAttribute('role', 'img');
  place.setAttribute('aria-label', `${title} ${description}`.trim());
  chart = new uPlot(options(), columns(), place);
}

/** Appends live readings; with a band in the picture, or after a pause, the server's own summary is fetched instead. */
function follow(event) {
  const mine = event.detail.find(([channel]) => channel === trend?.channel);
  if (!mine) return;
  const [, at, value] = mine;
  const last = trend.t.at(-1) ?? 0;
  if (at <= last) return;
  trend.to = Math.max(trend.to, at);
  trend.from = Math.max(trend.from, trend.to - span);
  if (trend.lo) return;
  if (last && at - last > trend.gap) {
    trend.t.push((last + at) / 2);
    trend.v.push(null);
  }
  trend.t.push(at);
  trend.v.push(value);
  while (trend.t.length && trend.t[0] < trend.from) {
    trend.t.shift();
    trend.v.shift();
  }
  chart.setData(columns());
}

let span = 0;
if (place && window.uPlot) {
  await load();
  if (trend) {
    span = trend.to - trend.from;
    new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: height() })).observe(place);
    document.addEventListener('hanlu:reading', follow);
    document.addEventListener('hanlu:alarm', () => setTimeout(load, 300));
    setInterval(() => document.hidden || load(), 30_000);
  }
}
