/* The shopper's page: fetches the bundles, checks them, holds every word of the proven parts against what was checked,
 * and draws the curve anew from the checked readings. The page is green only if all of it holds.
 */
import { anchorOf } from "./anchor.js";
import { drawCurve } from "./curve.js";
import { PARTS, bare, expected } from "./shown.js";
import { WORDS, verifyBundle } from "./verify.js";
import { lotOfPath, viewOf } from "./view.js";

const SAY = {
  checking: ["正在核验……", "Checking…"],
  checkingWords: ["手机正在自己核对每一条记录、每一个温度读数。", "Your phone is checking every record and every reading by itself."],
  good: ["核验通过", "Checked and true"],
  goodWords: ["记录与温度均未被改动，并已锚定在区块链上。", "Neither records nor readings were changed, and the chain holds their fingerprint."],
  goodUnanchored: ["记录与温度均未被改动，日志签名有效；区块链锚定稍后完成。", "Neither records nor readings were changed and the log's signature holds; the anchor on the chain follows shortly."],
  goodUnasked: ["记录与温度均未被改动，日志签名有效；此刻无法询问区块链。", "Neither records nor readings were changed and the log's signature holds; the chain could not be asked just now."],
  bad: ["核验不通过", "The check failed"],
  badWords: ["页面内容与证明不一致，请勿相信。", "What is shown does not agree with its proof. Do not rely on it."],
  part: ["部分核验", "Partly checked"],
  partWords: ["此浏览器无法核验签名，其余均已核验。", "This browser cannot check the signature; everything else was checked."],
  absent: ["链上尚未查到", "Not found on the chain"],
  absentWords: ["记录与温度均未被改动，日志签名有效，但区块链上查不到所称的锚定。", "Neither records nor readings were changed and the log's signature holds, but the chain does not know the anchor named."],
  away: ["暂时无法核验", "Cannot check just now"],
  awayWords: ["没有取到证明，请检查网络后重试。", "The proof could not be fetched. Check the network and try again."],
  shown: ["页面显示与已核验的记录一致", "What the page shows equals the checked records"],
  notShown: ["页面显示与已核验的记录不一致", "What the page shows differs from the checked records"],
  hidden: ["页面隐去、添加或调换了记录", "Records were hidden, added or moved on the page"],
  otherLot: ["证明属于另一个批次", "The proof is of another lot"],
  foreign: ["证明中混入了无关的批次", "The proof brings lots that do not belong to it"],
  mixed: ["证明来自不同的日志或检查点", "The proofs come from different logs or checkpoints"],
  readings: ["温度曲线由 {n} 个已核验读数重新绘制", "The curve was drawn anew from {n} checked readings"],
};

const byId = (id) => document.getElementById(id);

/** The chain's own answer about an anchor: what its receipt says, "absent" where it has none, null where it is away. */
async function askChain(anchor) {
  if (!anchor?.tx) return null;
  try {
    const answer = await fetch(`/trace/chain?tx=${encodeURIComponent(anchor.tx)}`);
    if (!answer.ok) return null;
    const reply = await answer.json();
    return reply.receipt === null ? "absent" : anchorOf(reply, anchor);
  } catch {
    return null;
  }
}

/** What is wrong with the bundles as a whole, though each may be true: keys of SAY. */
function wrongTogether(bundles, view, lot) {
  const first = bundles[0];
  const wrong = [];
  if (first.lot !== lot) wrong.push("otherLot");
  if (view.foreign.length) wrong.push("foreign");
  const same = (name) => bundles.every((each) => JSON.stringify(each[name]) === JSON.stringify(first[name]));
  if (!["origin", "key", "checkpoint", "anchor"].every(same)) wrong.push("mixed");
  return wrong;
}

/** Compares the page with what it must say; marks each line. Returns the keys of what differs. */
function wrongShown(view, data) {
  const { lines, order, parts } = expected(view, data);
  const wrong = [];
  const events = new Map([...view.stops, ...view.inputs.flatMap((each) => each.stops)].map((stop) => [stop.jcs, stop]));
  const shown = [...document.querySelectorAll("[data-jcs]")];
  for (const line of shown) {
    const event = events.get(line.dataset.jcs) ?? { lots: [] };
    const links = [...line.querySelectorAll("a")].map((link) => link.getAttribute("href"));
    const same = bare(line.textContent) === lines.get(line.dataset.jcs)
      && JSON.stringify(links) === JSON.stringify(event.lots.map((lot) => lot.replace(/^https:\/\/id\.gs1\.org/, "")));
    line.classList.toggle("is-broken", !same);
    line.querySelector(".proof-mark")?.classList.add(same ? "is-ok" : "is-failed");
    if (!same) wrong.push("notShown");
  }
  if (JSON.stringify(shown.map((line) => line.dataset.jcs)) !== JSON.stringify(order)) wrong.push("hidden");
  for (const id of PARTS) {
    const part = byId(id);
    const text = part && bare(id === "heat" ? withoutPicture(part) : part.textContent);
    if ((text ?? undefined) !== parts.get(id)) {
      part?.classList.add("is-broken");
      wrong.push("notShown");
    }
  }
  return wrong;
}

function withoutPicture(part) {
  const copy = part.cloneNode(true);
  copy.querySelector("#curve")?.remove();
  return copy.textContent;
}

function tell(kind, title, words, rows, data) {
  const box = byId("proof");
  box.className = `verdict verdict--${kind}`;
  byId("proof-title").textContent = title;
  byId("proof-words").textContent = words;
  byId("proof-checks").replaceChildren(
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
  byId("proof-more").open = kind === "bad"; // what failed is said without asking
  box.dataset.verdict = kind;
  box.lang = data.lang === "zh" ? "zh-CN" : "en";
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

function drawn(view, data) {
  const chart = byId("curve");
  if (!chart) return;
  const draw = () => chart.replaceChildren(drawCurve(view.stretches, { ...data, width: chart.clientWidth }));
  chart.dataset.checked = "";
  draw();
  let width = chart.clientWidth;
  new ResizeObserver(() => {
    if (chart.clientWidth === width) return;
    width = chart.clientWidth;
    draw();
  }).observe(chart);
}

async function judged(bundles, lot, data, say) {
  const index = data.lang === "zh" ? 0 : 1;
  if (!Array.isArray(bundles) || bundles.length === 0) return { kind: "bad", words: "badWords", rows: [] };
  const chain = await askChain(bundles[0]?.anchor); // all bundles carry the same, or they are "mixed"
  const reports = [];
  for (const bundle of bundles) reports.push(await verifyBundle(bundle, { chain: chain === "absent" ? null : chain }));
  const rows = rowsOf(reports.flatMap((report) => report.checks), index);
  const plain = (key, state) => ({ state, words: say(key), times: 1 });
  if (reports.some((report) => report.verdict === "failed")) return { kind: "bad", words: "badWords", rows };
  const view = viewOf(bundles);
  const wrong = [...new Set([...wrongTogether(bundles, view, lot), ...wrongShown(view, data)])];
  if (wrong.length) {
    return { kind: "bad", words: "badWords", rows: [...wrong.map((key) => plain(key, "failed")), ...rows] };
  }
  drawn(view, data);
  const readings = view.stretches.reduce((sum, stretch) => sum + stretch.points.length, 0);
  rows.unshift(plain("shown", "ok"));
  if (readings) rows.splice(1, 0, { state: "ok", words: say("readings").replace("{n}", readings), times: 1 });
  if (reports.some((report) => report.verdict === "unknown")) return { kind: "wait", title: "part", words: "partWords", rows };
  if (chain === "absent") return { kind: "wait", title: "absent", words: "absentWords", rows };
  if (bundles[0].anchor === null) return { kind: "good", words: "goodUnanchored", rows };
  return { kind: "good", words: chain === null ? "goodUnasked" : "goodWords", rows };
}

async function main() {
  const data = JSON.parse(byId("page-data").textContent);
  const say = (key) => SAY[key][data.lang === "zh" ? 0 : 1];
  tell("wait", say("checking"), say("checkingWords"), [], data);
  delete byId("proof").dataset.verdict;
  const lot = lotOfPath(location.pathname);
  let text;
  try {
    const answer = await fetch(`/trace/bundle?lot=${encodeURIComponent(lot)}&size=${byId("proof").dataset.size}`);
    if (!answer.ok) throw new Error(String(answer.status));
    text = await answer.text();
  } catch {
    tell("wait", say("away"), say("awayWords"), [], data);
    return;
  }
  let found;
  try {
    found = await judged(JSON.parse(text), lot, data, say);
  } catch {
    found = { kind: "bad", words: "badWords", rows: [] }; // a proof that cannot be read is none
  }
  const { kind, title = kind, words, rows } = found;
  tell(kind, say(title), say(words), rows, data);
}

main();
