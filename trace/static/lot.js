/* The shopper's page: fetches the bundles, checks them, holds every line and reading on the page against what was
 * checked, and draws the curve anew from the checked readings. The page is green only if all of it holds.
 */
import { verifyBundle, WORDS } from "./verify.js";
import { drawCurve } from "./curve.js";

/* keccak256("Anchored(uint256,uint256,bytes32)"): first topic of the anchor's log entry. */
const ANCHORED = "0x9d6b47dd4a7ae280337065ce86e051368675532829120179d79316a005c9d84d";
const MINUTE_MS = 60_000;
const CHINA_MS = 8 * 60 * MINUTE_MS;
const CURVE_METRIC = "/air_temperature";

const SAY = {
  good: ["核验通过", "Checked and true"],
  goodWords: ["记录与温度均未被改动，并已锚定在区块链上。", "Neither records nor readings were changed, and the chain holds their fingerprint."],
  goodUnanchored: ["记录与温度均未被改动，日志签名有效；区块链锚定稍后完成。", "Neither records nor readings were changed and the log's signature holds; the anchor on the chain follows shortly."],
  goodUnasked: ["记录与温度均未被改动，日志签名有效；此刻无法询问区块链。", "Neither records nor readings were changed and the log's signature holds; the chain could not be asked just now."],
  bad: ["核验不通过", "The check failed"],
  badWords: ["页面内容与证明不一致，请勿相信。", "What is shown does not agree with its proof. Do not rely on it."],
  part: ["部分核验", "Partly checked"],
  partWords: ["此浏览器无法核验签名，其余均已核验。", "This browser cannot check the signature; everything else was checked."],
  away: ["暂时无法核验", "Cannot check just now"],
  awayWords: ["没有取到证明，请检查网络后重试。", "The proof could not be fetched. Check the network and try again."],
  shown: ["页面显示与已核验的记录一致", "What the page shows equals the checked records"],
  notShown: ["页面显示与已核验的记录不一致", "What the page shows differs from the checked records"],
  hidden: ["页面隐去了一条已核验的记录", "The page hides a checked record"],
};

const byId = (id) => document.getElementById(id);

function readPageData() {
  return JSON.parse(byId("page-data").textContent);
}

/** China time as the page writes it, from Unix milliseconds. */
export function chinaMinute(ms) {
  return new Date(ms + CHINA_MS).toISOString().slice(0, 16).replace("T", " ");
}

/** `shipping` for a CBV URI of either form or the bare word itself. */
export function bareWord(step) {
  if (step.startsWith("https://ref.gs1.org/cbv/")) return step.slice(step.lastIndexOf("-") + 1);
  return step.startsWith("urn:epcglobal:cbv:") ? step.slice(step.lastIndexOf(":") + 1) : step;
}

/** Reads the anchor from the node's raw receipt; null when the receipt holds none of this contract. */
export function anchorOf(reply, contract) {
  const receipt = reply.receipt;
  if (!receipt || receipt.status !== "0x1") return null;
  const entry = receipt.logs.find(
    (log) => log.address.toLowerCase() === contract && log.topics.length === 2 && log.topics[0] === ANCHORED,
  );
  if (!entry || entry.data.length !== 130) return null;
  return {
    chainId: Number(reply.chainId),
    contract,
    seq: Number(entry.topics[1]),
    size: Number(entry.data.slice(0, 66)),
    root: `0x${entry.data.slice(66)}`,
  };
}

async function askChain(address, anchor) {
  if (!anchor) return null;
  try {
    const answer = await fetch(`${address}?tx=${encodeURIComponent(anchor.tx)}`);
    if (!answer.ok) return null;
    return anchorOf(await answer.json(), anchor.contract);
  } catch {
    return null;
  }
}

/** Readings of the newest revision of every piece, one value an instant, as the server's page joins them. */
export function temperatures(bundles) {
  const newest = new Map();
  for (const bundle of bundles) {
    for (const { leaf, document: piece } of bundle.items) {
      if (leaf.kind !== "curve" || !piece.channel.endsWith(CURVE_METRIC)) continue;
      const key = JSON.stringify([piece.channel, piece.from, piece.custodyFrom]);
      const known = newest.get(key);
      if (!known || known.revision < piece.revision) newest.set(key, piece);
    }
  }
  const values = new Map();
  const pieces = [...newest.values()].sort(
    (a, b) => a.from - b.from || (a.channel < b.channel ? -1 : a.channel > b.channel ? 1 : 0),
  );
  for (const piece of pieces) {
    for (const [at, value] of piece.points) if (value !== null && !values.has(at)) values.set(at, value);
  }
  return [...values].sort((a, b) => a[0] - b[0]);
}

/** Compares what the page shows with the checked documents; marks each line. Returns the words of what differs. */
function compareShown(bundles, data) {
  const documents = new Map();
  for (const bundle of bundles) {
    for (const { leaf, document } of bundle.items) if (leaf.kind === "event") documents.set(leaf.jcs, document);
  }
  const wrong = [];
  const lines = [...document.querySelectorAll("#journey > li")];
  for (const line of lines) {
    const event = documents.get(line.dataset.jcs);
    const same = event !== undefined && sameLine(line, event, data);
    line.classList.toggle("is-broken", !same);
    const mark = line.querySelector(".proof-mark");
    mark.classList.add(same ? "is-ok" : "is-failed");
    if (!same) wrong.push("notShown");
  }
  const shown = new Set(lines.map((line) => line.dataset.jcs));
  if ([...documents.keys()].some((jcs) => !shown.has(jcs))) wrong.push("hidden");
  if (!sameHeat(temperatures(bundles))) wrong.push("notShown");
  return wrong;
}

function text(parent, name) {
  return parent.querySelector(`[data-shown="${name}"]`)?.textContent.trim();
}

function sameLine(line, event, data) {
  const at = Date.parse(event.eventTime);
  const step = bareWord(event.bizStep ?? "");
  const place = (event.bizLocation ?? event.readPoint)?.id;
  const placeLine = line.querySelector('[data-shown="place"]');
  return (
    text(line, "time") === chinaMinute(at) &&
    text(line, "step") === (data.steps[step] ?? step) &&
    (place === undefined
      ? placeLine === null
      : placeLine !== null && placeLine.dataset.place === place && placeLine.textContent.trim() === data.places[place])
  );
}

function sameHeat(points) {
  const box = byId("heat");
  if (points.length === 0) return box === null;
  if (box === null) return false;
  const values = points.map((point) => point[1]);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const close = (name, value) => Math.abs(Number(text(box, name)) - value) <= 0.0501;
  return (
    close("low", values.reduce((a, b) => Math.min(a, b))) &&
    close("high", values.reduce((a, b) => Math.max(a, b))) &&
    close("mean", mean) &&
    Number(text(box, "count")) === points.length
  );
}

function tell(kind, title, words, rows, lang) {
  const box = byId("proof");
  box.className = `verdict verdict--${kind}`;
  byId("proof-title").textContent = title;
  byId("proof-words").textContent = words;
  const list = byId("proof-checks");
  list.replaceChildren(
    ...rows.map((row) => {
      const item = document.createElement("li");
      item.className = `is-${row.state}`;
      const line = document.createElement("span");
      line.textContent = row.times > 1 ? `${row.words} × ${row.times}` : row.words;
      item.append(line);
      return item;
    }),
  );
  byId("proof-more").hidden = rows.length === 0;
  box.dataset.verdict = kind;
  box.lang = lang === "zh" ? "zh-CN" : "en";
}

/** One row for each outcome, failures first, with how often it occurred. */
function rowsOf(checks, index) {
  const counted = new Map();
  for (const { code, state } of checks) {
    const known = counted.get(code) ?? { state, words: WORDS[code][index], times: 0 };
    known.times += 1;
    counted.set(code, known);
  }
  const rank = { failed: 0, unknown: 1, ok: 2 };
  return [...counted.values()].sort((a, b) => rank[a.state] - rank[b.state]);
}

function wordsFor(bundles, reports) {
  const state = (id) => reports.map((report) => report.checks.find((check) => check.id === id)?.state);
  if (bundles.some((bundle) => bundle.anchor === null)) return "goodUnanchored";
  return state("chain-anchor").every((one) => one === "ok") ? "goodWords" : "goodUnasked";
}

async function main() {
  const data = readPageData();
  const index = data.lang === "zh" ? 0 : 1;
  const say = (key) => SAY[key][index];
  const box = byId("proof");
  let bundles;
  try {
    const answer = await fetch(box.dataset.bundle);
    if (!answer.ok) throw new Error(String(answer.status));
    bundles = await answer.json();
  } catch (error) {
    const broken = error instanceof SyntaxError;
    tell(broken ? "bad" : "wait", say(broken ? "bad" : "away"), say(broken ? "badWords" : "awayWords"), [], data.lang);
    return;
  }
  const asked = new Map();
  const reports = [];
  for (const bundle of bundles) {
    const anchor = bundle?.anchor;
    if (anchor?.tx && !asked.has(anchor.tx)) asked.set(anchor.tx, await askChain(box.dataset.chain, anchor));
    reports.push(await verifyBundle(bundle, { chain: anchor?.tx ? asked.get(anchor.tx) : null }));
  }
  const checks = reports.flatMap((report) => report.checks);
  const rows = rowsOf(checks, index);
  const failed = bundles.length === 0 || reports.some((report) => report.verdict === "failed");
  const wrong = failed ? [] : compareShown(bundles, data);
  if (!failed) {
    rows.unshift(
      ...(wrong.length ? [...new Set(wrong)].map((key) => ({ state: "failed", words: say(key), times: 1 }))
        : [{ state: "ok", words: say("shown"), times: 1 }]),
    );
  }
  if (failed || wrong.length) {
    tell("bad", say("bad"), say("badWords"), rows, data.lang);
    return;
  }
  const chart = byId("curve");
  if (chart) chart.replaceChildren(drawCurve(temperatures(bundles), data));
  const partly = reports.some((report) => report.verdict === "unknown");
  tell(
    partly ? "wait" : "good",
    say(partly ? "part" : "good"),
    say(partly ? "partWords" : wordsFor(bundles, reports)),
    rows,
    data.lang,
  );
}

if (typeof document !== "undefined" && byId("proof")) main();
