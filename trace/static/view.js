/* What the shopper's page shows, made from bundles: the same as trace/consumer_view.py, lineage.py and stretches.py,
 * name for name and in the same order. Pure; tests hold the two against each other.
 */

const CREATING_STEPS = new Set(["commissioning", "creating_class_instance"]);
const CURVE_METRIC = "/air_temperature";
export const CURVE_GAP_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
const CHINA_MS = 8 * 3_600_000;
const STEM = "https://id.gs1.org";

// --- names -----------------------------------------------------------------------------------------------------------

/** `shipping` for a CBV URI of either form or the bare word itself. */
export function bareWord(uri) {
  if (uri.startsWith("https://ref.gs1.org/cbv/")) return uri.slice(uri.lastIndexOf("-") + 1);
  return uri.startsWith("urn:epcglobal:cbv:") ? uri.slice(uri.lastIndexOf(":") + 1) : uri;
}

const quote = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** GS1's check digit: weights 3 and 1 from the right. */
function checkDigit(body) {
  const sum = [...body].reverse().reduce((total, digit, place) => total + Number(digit) * (place % 2 ? 1 : 3), 0);
  return String((10 - (sum % 10)) % 10);
}

function gtinOf(prefix, reference) {
  const body = reference[0] + prefix + reference.slice(1);
  return body + checkDigit(body);
}

/** The canonical Digital Link of the lot a GTIN's URI names; anything that is no GTIN as it came. */
export function shownLot(uri) {
  let match = /^urn:epc:class:lgtin:(\d{6,12})\.(\d+)\.(.+)$/.exec(uri);
  if (match) return `${STEM}/01/${gtinOf(match[1], match[2])}/10/${quote(decoded(match[3]) ?? match[3])}`;
  match = /^urn:epc:id:sgtin:(\d{6,12})\.(\d+)\.(.+)$/.exec(uri);
  if (match) return `${STEM}/01/${gtinOf(match[1], match[2])}/21/${quote(decoded(match[3]) ?? match[3])}`;
  match = /^urn:epc:idpat:sgtin:(\d{6,12})\.(\d+)\.\*$/.exec(uri);
  if (match) return `${STEM}/01/${gtinOf(match[1], match[2])}`;
  match = /^https?:\/\/[^/?#]+(\/[^?#]*)/i.exec(uri);
  return (match && lotOfPath(match[1])) ?? uri;
}

/** The canonical link of a path that ends in a GTIN and its qualifiers; null for any other path. */
export function lotOfPath(path) {
  const match = /\/01\/(\d{14})((?:\/(?:22|10|21)\/[^/]+)*)$/.exec(path);
  if (!match) return null;
  const pairs = new Map([...match[2].matchAll(/\/(22|10|21)\/([^/]+)/g)].map((pair) => [pair[1], decoded(pair[2])]));
  if ([...pairs.values()].includes(null)) return null;
  if (pairs.has("10")) return `${STEM}/01/${match[1]}/10/${quote(pairs.get("10"))}`;
  return [...pairs].reduce((link, [ai, value]) => `${link}/${ai}/${quote(value)}`, `${STEM}/01/${match[1]}`);
}

/** The lot number as people read it. */
export function lotNumber(uri) {
  const match = /\/10\/([^/]+)$/.exec(uri);
  return match ? decoded(match[1]) ?? uri : uri;
}

// --- lineage ---------------------------------------------------------------------------------------------------------

const classesOf = (list) => (list ?? []).filter((each) => each.epcClass !== undefined).map((each) => each.epcClass);

function thingsOf(event, side) {
  const listed = [...(event[`${side}EPCList`] ?? []), ...classesOf(event[`${side}QuantityList`])];
  return [...new Set(listed.map((uri) => shownLot(String(uri))))];
}

function counting(items) {
  const wrong = new Set(items.filter((item) => "errorDeclaration" in item.document).map((item) => item.leaf.cbv));
  return items.filter((item) => item.leaf.cbv !== null && !wrong.has(item.leaf.cbv)).map((item) => item.document);
}

function parentsOf(lot, events) {
  const found = new Map();
  for (const event of events) {
    if (event.type !== "TransformationEvent" || !thingsOf(event, "output").includes(lot)) continue;
    const created = CREATING_STEPS.has(bareWord(event.bizStep ?? ""));
    for (const uri of thingsOf(event, "input")) {
      if (uri !== lot) found.set(uri, created && (found.get(uri) ?? true));
    }
  }
  return found;
}

/** Every lot reached from `own`, and whether it is a farm input; goods in one use are goods in all. */
function kindsOf(own, events) {
  const kinds = new Map([[own, false]]);
  const waiting = [own];
  while (waiting.length) {
    const lot = waiting.shift();
    for (const [parent, usedUp] of parentsOf(lot, events.get(lot))) {
      const isInput = kinds.get(lot) || usedUp;
      if (!kinds.has(parent) || (kinds.get(parent) && !isInput)) {
        kinds.set(parent, isInput);
        if (events.has(parent)) waiting.push(parent);
      }
    }
  }
  return kinds;
}

// --- events ----------------------------------------------------------------------------------------------------------

const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const subset = (some, all) => some.every((each) => all.includes(each));

function elsewhereBound(event, lots, shown) {
  if (event.type !== "TransformationEvent") return false;
  return subset(lots, thingsOf(event, "input")) && !thingsOf(event, "output").some((lot) => shown.has(lot));
}

function amountOf(event, lots) {
  for (const side of ["outputQuantityList", "inputQuantityList", "quantityList", "childQuantityList"]) {
    const named = (event[side] ?? []).filter((each) => lots.includes(shownLot(String(each.epcClass ?? ""))));
    if (named.length === 0) continue;
    const { quantity, uom } = named[0];
    return named.length > 1 || quantity === undefined ? null : [String(quantity), String(uom ?? "")];
  }
  return null;
}

function factsOf(event) {
  const added = Object.fromEntries(
    Object.entries(event).filter(([name]) => name.includes(":") && !name.startsWith("@")),
  );
  return [event.ilmd ?? {}, added].flatMap((said) =>
    Object.keys(said)
      .sort(byText)
      .filter((name) => ["string", "number"].includes(typeof said[name]))
      .map((name) => [name, String(said[name])]),
  );
}

function stopOf(item, lots, wrong, kinds) {
  const event = item.document;
  const goods = lots.filter((lot) => !kinds.get(lot));
  const shown = goods.length ? goods : lots;
  const correction = "errorDeclaration" in event;
  return {
    jcs: item.leaf.jcs,
    atMs: Date.parse(event.eventTime),
    step: bareWord(event.bizStep ?? ""),
    place: (event.bizLocation ?? event.readPoint)?.id ?? "",
    lots: shown,
    amount: amountOf(event, shown),
    correction,
    takenBack: !correction && wrong.has(item.leaf.cbv),
    facts: factsOf(event),
  };
}

function stopsOf(bundles, shown, kinds) {
  const found = new Map();
  for (const bundle of bundles) {
    if (!kinds.has(bundle.lot)) continue;
    for (const item of bundle.items) {
      if (item.leaf.kind !== "event") continue;
      const known = found.get(item.leaf.jcs);
      if (known) known.lots.push(bundle.lot);
      else found.set(item.leaf.jcs, { item, lots: [bundle.lot] });
    }
  }
  const all = [...found.values()];
  const wrong = new Set(all.filter(({ item }) => "errorDeclaration" in item.document).map(({ item }) => item.leaf.cbv));
  const kept = all.filter(({ item, lots }) => !elsewhereBound(item.document, lots, shown));
  const stops = kept.map(({ item, lots }) => stopOf(item, lots, wrong, kinds));
  stops.sort((a, b) => a.atMs - b.atMs || byText(a.jcs, b.jcs));
  return { stops, omitted: all.length - kept.length };
}

function waitingOf(lot, events, goods) {
  const required = events.get(lot).flatMap((event) =>
    Object.entries(event.ilmd ?? {})
      .filter(([name, days]) => name.endsWith(":preHarvestIntervalDays") && Number.isInteger(days))
      .map(([, days]) => days),
  );
  const used = (event, good) =>
    event.type === "TransformationEvent" && thingsOf(event, "input").includes(lot)
    && thingsOf(event, "output").includes(good);
  const at = (event) => Date.parse(event.eventTime);
  const harvests = goods.flatMap((good) => events.get(good).filter((event) => used(event, good)).map(at));
  if (!required.length || !harvests.length) return null;
  const harvestedMs = Math.min(...harvests);
  const applied = events.get(lot).filter((event) => Object.keys(event).some((name) => name.endsWith(":work"))).map(at);
  const before = applied.filter((each) => each <= harvestedMs);
  if (!before.length) return null;
  const appliedMs = Math.max(...before);
  const days = Math.floor((harvestedMs - appliedMs) / DAY_MS);
  return { requiredDays: Math.max(...required), appliedMs, harvestedMs, days };
}

// --- readings --------------------------------------------------------------------------------------------------------

function compare(a, b) {
  for (let i = 0; i < a.length; i += 1) {
    const order = typeof a[i] === "number" ? a[i] - b[i] : byText(a[i], b[i]);
    if (order) return order;
  }
  return 0;
}

/** The committed pieces joined to stretches: [{place, channel, points: [[ms, value], …]}], in order of beginning. */
export function stretchesOf(pieces) {
  const newest = new Map();
  for (const piece of pieces) {
    if (!piece.channel.endsWith(CURVE_METRIC) || piece.unit !== "Cel") continue;
    const key = JSON.stringify([piece.channel, piece.from, piece.custodyFrom]);
    const known = newest.get(key);
    if (!known || known.revision < piece.revision) newest.set(key, piece);
  }
  const ordered = [...newest.values()].sort((a, b) =>
    compare([a.channel, a.from, a.custodyFrom], [b.channel, b.from, b.custodyFrom]));
  const stays = new Map();
  for (const { zone, channel, custodyFrom, points } of ordered) {
    const key = JSON.stringify([zone, channel, custodyFrom]);
    if (!stays.has(key)) stays.set(key, { place: zone, channel, custodyFrom, values: new Map() });
    const { values } = stays.get(key);
    for (const [at, value] of points) if (value !== null && !values.has(at)) values.set(at, value);
  }
  return joined([...stays.values()].filter(({ values }) => values.size))
    .sort((a, b) => compare([a.points[0][0], a.place, a.channel], [b.points[0][0], b.place, b.channel]));
}

function joined(stays) {
  for (const stay of stays) stay.first = [...stay.values.keys()].reduce((a, b) => Math.min(a, b));
  stays.sort((a, b) =>
    compare([a.place, a.channel, a.first, a.custodyFrom], [b.place, b.channel, b.first, b.custodyFrom]));
  const found = [];
  for (const { place, channel, first, values } of stays) {
    let points = values;
    const last = found[found.length - 1];
    const near = last && last.place === place && last.channel === channel
      && first - last.points[last.points.length - 1][0] <= CURVE_GAP_MS;
    if (near) points = new Map([...values, ...found.pop().points]);
    found.push({ place, channel, points: [...points].sort((a, b) => a[0] - b[0]) });
  }
  return found;
}

/** Least and greatest value of some points. */
export function rangeOf(points) {
  return points.reduce(([low, high], [, value]) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

/** How the goods were kept within a range once cooled: {sinceMs, inside, count, percent}, or null. */
export function keptCool(stretches, low, high) {
  if (low === null && high === null) return null;
  const within = (value) => (low === null || low <= value) && (high === null || value <= high);
  const points = stretches.flatMap((stretch) => stretch.points).sort(compare);
  const first = points.findIndex(([, value]) => within(value));
  if (first < 0) return null;
  const sinceMs = points[first][0];
  const later = points.filter(([at]) => at >= sinceMs);
  const inside = later.filter(([, value]) => within(value)).length;
  return { sinceMs, inside, count: later.length, percent: Math.floor((inside * 100) / later.length) };
}

// --- the whole -------------------------------------------------------------------------------------------------------

/** The view of the lot of the first bundle; `foreign` names bundles of lots it did not come from. */
export function viewOf(bundles) {
  const own = bundles[0].lot;
  const events = new Map(bundles.map((bundle) => [bundle.lot, counting(bundle.items)]));
  const kinds = kindsOf(own, events);
  const goods = bundles.map((bundle) => bundle.lot).filter((lot) => !(kinds.get(lot) ?? true));
  const { stops, omitted } = stopsOf(bundles, new Set(events.keys()), kinds);
  const onTheWay = (stop) => stop.lots.some((lot) => !kinds.get(lot));
  const rest = stops.filter((stop) => !onTheWay(stop));
  const pieces = bundles
    .filter((bundle) => goods.includes(bundle.lot))
    .flatMap((bundle) => bundle.items.filter((item) => item.leaf.kind === "curve").map((item) => item.document));
  return {
    lot: own,
    stops: stops.filter(onTheWay),
    stretches: stretchesOf(pieces),
    sources: goods.slice(1),
    inputs: [...events.keys()].filter((lot) => kinds.get(lot)).map((lot) => ({
      lot,
      stops: rest.filter((stop) => stop.lots[0] === lot),
      waiting: waitingOf(lot, events, goods),
    })),
    elsewhere: [...kinds.keys()].filter((lot) => !events.has(lot)),
    omitted,
    foreign: bundles.length !== events.size ? [own] : [...events.keys()].filter((lot) => !kinds.has(lot)),
  };
}

// --- text ------------------------------------------------------------------------------------------------------------

/** China time as the page writes it, from Unix milliseconds. */
export function chinaMinute(ms) {
  return new Date(ms + CHINA_MS).toISOString().slice(0, 16).replace("T", " ");
}

/** One decimal, a half rounded up, with a true minus. */
export function oneDecimal(value) {
  const tenths = Math.floor(value * 10 + 0.5);
  return `${tenths < 0 ? "\u2212" : ""}${Math.floor(Math.abs(tenths) / 10)}.${Math.abs(tenths) % 10}`;
}
