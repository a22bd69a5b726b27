/* What the page must say, word for word, if it shows what was checked. Pure: a view, names and labels in, texts out.
 *
 * Texts are compared without white space (`bare`), part by part: every event's line by its digest, every other part
 * as a whole, so that nothing can be added to a part either.
 */
import { chinaMinute, keptCool, lotNumber, oneDecimal, rangeOf } from "./view.js";
import { amountText, factText, stopText } from "./words.js";

export const bare = (text) => text.replace(/\s+/gu, "");

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const factsLine = (stop, index) => stop.facts.map(([name, value]) => factText(name, index) + value).join("");

function stopLine(stop, open, { index, labels, places }) {
  const place = stop.place ? places[stop.place] : null;
  const facts = factsLine(stop, index);
  return bare([
    chinaMinute(stop.atMs),
    stopText(stop, index),
    stop.amount ? amountText(stop.amount, index) : "",
    stop.correction ? labels.correction : stop.takenBack ? labels.takenBack : "",
    stop.place ? (place?.name ?? stop.place) + (place?.who ?? "") : "",
    open ? facts : "",
    labels.details,
    open ? "" : facts,
    labels.lot,
    stop.lots.map(lotNumber).join(""),
    stop.place ? labels.place + stop.place : "",
    labels.digest,
    stop.jcs,
  ].join(""));
}

function heatText(view, { low, high, labels, places }) {
  const points = view.stretches.flatMap((stretch) => stretch.points);
  const kept = keptCool(view.stretches, low, high);
  const [least, most] = rangeOf(points);
  // The first station of the extreme value, as the page names it.
  const where = (end, value) => places[view.stretches.find((each) => rangeOf(each.points)[end] === value).place]?.short;
  const stations = view.stretches.map((stretch) => {
    const [lowest, highest] = rangeOf(stretch.points);
    const [first, last] = [stretch.points[0][0], stretch.points[stretch.points.length - 1][0]];
    return `${places[stretch.place]?.name}${oneDecimal(lowest)}…${oneDecimal(highest)}°C${chinaMinute(first)}–${chinaMinute(last)}`;
  });
  return bare([
    labels.heat,
    labels.committed,
    low === null && high === null ? "" : labels.limits,
    kept ? `${kept.percent}%${labels.kept}` : "",
    `${oneDecimal(least)}°C${labels.low}·${where(0, least)}${oneDecimal(most)}°C${labels.high}·${where(1, most)}`,
    `${points.length}${labels.count}`,
    kept ? filled(labels.keptWords, { since: chinaMinute(kept.sinceMs), count: kept.count, inside: kept.inside }) : "",
    labels.stations,
    ...stations,
  ].join(""));
}

const titled = (lot, titles) => titles[lot] + (lotNumber(lot) === lot ? "" : lotNumber(lot));

function inputText({ lot, stops, waiting }, data) {
  const { labels, titles } = data;
  const day = (ms) => chinaMinute(ms).slice(0, 10);
  const words = waiting && filled(waiting.days >= waiting.requiredDays ? labels.waitKept : labels.waitBroken, {
    required: waiting.requiredDays, applied: day(waiting.appliedMs), harvested: day(waiting.harvestedMs), days: waiting.days,
  });
  const lines = stops.map((stop) => stopLine(stop, true, data)).join("");
  return bare(titled(lot, titles) + (words ?? "") + filled(labels.records, { count: stops.length }) + lines);
}

/**
 * @param view what `viewOf` made of the checked bundles
 * @param data names, labels and limits of the page
 * @returns {{lines: Map<string, string>, order: string[], parts: Map<string, string>}} each event's line by its digest,
 *   their order on the page, and the text of each part by the id of its element; a part that must be absent is missing
 */
export function expected(view, data) {
  const all = { ...data, index: data.lang === "zh" ? 0 : 1 };
  const { labels, titles } = all;
  const inner = view.inputs.flatMap((each) => each.stops);
  const lines = new Map([
    ...view.stops.map((stop) => [stop.jcs, stopLine(stop, false, all)]),
    ...inner.map((stop) => [stop.jcs, stopLine(stop, true, all)]),
  ]);
  const parts = new Map([
    ["lot-number", bare(lotNumber(view.lot))],
    ["journey", view.stops.map((stop) => lines.get(stop.jcs)).join("")],
  ]);
  const when = (condition, id, text) => condition && parts.set(id, bare(text()));
  when(view.stretches.length, "heat", () => heatText(view, all));
  when(view.sources.length, "sources", () => labels.sources + view.sources.map((lot) => titled(lot, titles)).join(""));
  when(view.inputs.length, "inputs", () => labels.inputs + view.inputs.map((each) => inputText(each, all)).join(""));
  when(view.elsewhere.length, "elsewhere", () => labels.elsewhere + view.elsewhere.join(""));
  when(view.omitted, "omitted", () => filled(labels.omitted, { count: view.omitted }));
  return { lines, order: [...view.stops, ...inner].map((stop) => stop.jcs), parts };
}

/** Ids of all parts that the proof speaks about. */
export const PARTS = ["lot-number", "journey", "heat", "sources", "inputs", "elsewhere", "omitted"];
