/* Checks a bundle (`hanlu-bundle@1`) in the browser by the rules of trace/log/verify.py: same ids, codes, verdicts.
 *
 * No dependency, no network. SHA-256 is written out because pages served over plain http have no crypto.subtle; so is
 * Ed25519 (`ed25519.js`), which is loaded where the browser has none. Only a browser too old for that leaves the
 * signature "unknown".
 * Sources: RFC 9162 2.1.3.2, RFC 8785, RFC 8032, FIPS 180-4, C2SP tlog-checkpoint and signed-note.
 */

export const WORDS = {
  "format.ok": ["文件格式正确", "The file has the right form"],
  "format.bad": ["文件格式不对，无法核验", "The file does not have the right form and cannot be checked"],
  "key.ok": ["日志密钥与您信任的密钥一致", "The log's key is the one you trust"],
  "key.bad": ["日志密钥与您信任的密钥不一致", "The log's key is not the one you trust"],
  "key.unknown": ["密钥取自本文件，未与其他来源核对", "The key comes from this file and was not compared with another source"],
  "checkpoint.ok": ["日志检查点完整", "The log's checkpoint is well formed"],
  "checkpoint.bad": ["日志检查点损坏", "The log's checkpoint is broken"],
  "checkpoint.origin": ["检查点不属于这份日志", "The checkpoint belongs to another log"],
  "signature.ok": ["检查点签名有效", "The checkpoint's signature is valid"],
  "signature.bad": ["检查点签名无效", "The checkpoint's signature is not valid"],
  "signature.none": ["无法核验签名：密钥或检查点损坏", "No signature to check: key or checkpoint is broken"],
  "signature.unknown": ["此浏览器不支持该签名算法，签名未核验", "This browser cannot check this kind of signature"],
  "leaf.ok": ["日志条目格式正确", "The log entry has the right form"],
  "leaf.bad": ["日志条目损坏", "The log entry is broken"],
  "leaf.lot": ["日志条目属于另一批次", "The log entry belongs to another lot"],
  "document.ok": ["记录与日志条目的摘要一致", "The record matches the digest in its log entry"],
  "document.bad": ["记录与日志条目的摘要不符：内容被改动", "The record does not match the digest in its log entry"],
  "document.kind": ["记录的种类与日志条目不符", "The record is of another kind than its log entry says"],
  "curve.ok": ["温度曲线的数据点完整有序", "The curve's points are complete and in order"],
  "curve.bad": ["温度曲线的数据点有误", "The curve's points are not in order"],
  "inclusion.ok": ["条目确在日志中", "The entry is in the log"],
  "inclusion.bad": ["条目不在日志中：证明不成立", "The entry is not in the log: the proof is false"],
  "inclusion.path": ["证明路径格式不对", "The proof path does not have the right form"],
  "chain.ok": ["批次记录从第一条起连续无缺", "The lot's records are unbroken from the first"],
  "chain.bad": ["批次记录有缺失、重复或乱序", "Records of the lot are missing, repeated or out of order"],
  "head.ok": ["最新一条记录在内，没有截尾", "The newest record is here: nothing was cut off"],
  "head.bad": ["最新记录不在内：历史被截断", "The newest record is not here: the history was cut"],
  "anchor.ok": ["锚定声明与检查点一致", "The anchor's statement equals the checkpoint"],
  "anchor.bad": ["锚定声明与检查点不符", "The anchor's statement differs from the checkpoint"],
  "anchor.none": ["检查点尚未锚定到链上", "The checkpoint is not anchored on a chain yet"],
  "chain-anchor.ok": ["区块链上的记录与检查点一致", "The chain's record equals the checkpoint"],
  "chain-anchor.bad": ["区块链上的记录与检查点不符", "The chain's record differs from the checkpoint"],
  "chain-anchor.unknown": ["未查询区块链", "The chain was not asked"],
};

const FORMAT = "hanlu-bundle@1";
const MAX_ITEMS = 10000;
const MAX_PATH = 63;
const MAX_DEPTH = 64;
const MAX_TEXT = 1 << 20;
const MAX_SIGNATURES = 64;
const MAY_STAY_UNKNOWN = new Set(["key", "anchor", "chain-anchor"]);
const EVENT_TYPES = new Set([
  "ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent",
]);
const NAME = /^[^\s+\u0085]+$/u;
const HEX = /^[0-9a-f]{64}$/;
const HEX32 = /^0x[0-9a-f]{64}$/;
const utf8 = new TextEncoder();

// --- bytes -----------------------------------------------------------------------------------------------------------

const ROUND = new Uint32Array(64);
const START = new Uint32Array(8);
(function constants() {
  // The fractional bits of the roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3), computed, not copied.
  const fraction = (x) => ((x - Math.floor(x)) * 0x100000000) >>> 0;
  for (let found = 0, candidate = 2; found < 64; candidate += 1) {
    let prime = true;
    for (let d = 2; d * d <= candidate; d += 1) if (candidate % d === 0) prime = false;
    if (!prime) continue;
    if (found < 8) START[found] = fraction(Math.sqrt(candidate));
    ROUND[found] = fraction(Math.cbrt(candidate));
    found += 1;
  }
})();

/** SHA-256 of a Uint8Array, as a Uint8Array. */
export function sha256(data) {
  const length = data.length;
  const padded = new Uint8Array((((length + 8) >> 6) + 1) << 6);
  padded.set(data);
  padded[length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(length / 0x20000000));
  view.setUint32(padded.length - 4, (length << 3) >>> 0);
  const state = START.slice();
  const w = new Uint32Array(64);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 16; i += 1) w[i] = view.getUint32(at + 4 * i);
    for (let i = 16; i < 64; i += 1) {
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i += 1) {
      const t1 = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[i] + w[i]) | 0;
      const t2 = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] += value; });
  }
  const out = new Uint8Array(32);
  state.forEach((value, i) => new DataView(out.buffer).setUint32(4 * i, value));
  return out;
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function join(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

/** Decode base64 in its one canonical spelling; null for anything else. */
function fromBase64(text) {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return null;
  const raw = atob(text);
  return btoa(raw) === text ? Uint8Array.from(raw, (character) => character.charCodeAt(0)) : null;
}

/** The canonical text of a JSON value (RFC 8785); throws where there is none. */
export function canonical(value, depth = 0) {
  if (depth > MAX_DEPTH) throw new RangeError("nested too deep");
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const fields = Object.keys(value).sort(); // by UTF-16 code units, as RFC 8785 3.2.3 asks
    return `{${fields.map((name) => `${canonical(name)}:${canonical(value[name], depth + 1)}`).join(",")}}`;
  }
  if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError("not a JSON number");
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) throw new RangeError("not Unicode");
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError("not JSON");
  return text;
}

const canonicalBytes = (value) => utf8.encode(canonical(value));

// --- values ----------------------------------------------------------------------------------------------------------

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isText = (value) => typeof value === "string" && value.length > 0 && [...value].length <= MAX_TEXT;
const isWhole = (value, low, high = Number.MAX_SAFE_INTEGER) =>
  Number.isSafeInteger(value) && low <= value && value <= high;

function hasFields(value, names) {
  const wanted = names.split(" ");
  return isObject(value) && Object.keys(value).length === wanted.length
    && wanted.every((name) => Object.hasOwn(value, name));
}

function isAnchor(anchor) {
  return hasFields(anchor, "chainId contract seq tx block size root")
    && isWhole(anchor.chainId, 1) && isWhole(anchor.seq, 1) && isWhole(anchor.block, 0) && isWhole(anchor.size, 0)
    && typeof anchor.contract === "string" && /^0x[0-9a-f]{40}$/.test(anchor.contract)
    && typeof anchor.tx === "string" && HEX32.test(anchor.tx)
    && typeof anchor.root === "string" && HEX32.test(anchor.root);
}

function isBundle(bundle) {
  return hasFields(bundle, "format origin key checkpoint lot head items anchor") && bundle.format === FORMAT
    && [bundle.origin, bundle.key, bundle.checkpoint, bundle.lot].every(isText)
    && hasFields(bundle.head, "n leaf")
    && Array.isArray(bundle.items) && bundle.items.length >= 1 && bundle.items.length <= MAX_ITEMS
    && bundle.items.every((item) => hasFields(item, "leaf document index path") && isObject(item.document))
    && (bundle.anchor === null || isAnchor(bundle.anchor));
}

/** Read a leaf; null if it is broken. Returns the leaf with its hash. */
function readLeaf(leaf) {
  if (!hasFields(leaf, "v kind cbv jcs lot n prev") || leaf.v !== 1 || !isWhole(leaf.n, 1)) return null;
  const strings = [leaf.kind, leaf.jcs, leaf.lot].every((value) => typeof value === "string")
    && [leaf.cbv, leaf.prev].every((value) => value === null || typeof value === "string");
  if (!strings) return null;
  const hashed = leaf.kind === "event"
    ? leaf.cbv !== null && /^ni:\/\/\/sha-256;[0-9a-f]{64}\?ver=CBV2\.0$/.test(leaf.cbv)
    : leaf.kind === "curve" && leaf.cbv === null;
  const linked = leaf.n === 1 ? leaf.prev === null : leaf.prev !== null && HEX.test(leaf.prev);
  const lotLength = [...leaf.lot].length;
  if (!hashed || !linked || !/^sha256:[0-9a-f]{64}$/.test(leaf.jcs) || lotLength < 1 || lotLength > 2048) return null;
  try {
    return { ...leaf, hash: sha256(join([0], canonicalBytes(leaf))) };
  } catch {
    return null;
  }
}

// --- key, checkpoint, signature ----------------------------------------------------------------------------------------

function readKey(text) {
  const [name, id, ...rest] = text.split("+");
  const material = rest.length ? fromBase64(rest.join("+")) : null;
  if (!NAME.test(name) || /\p{Surrogate}/u.test(name) || !material || material.length !== 33 || material[0] !== 1) {
    return null;
  }
  const keyId = hex(sha256(join(utf8.encode(`${name}\n`), material)).slice(0, 4));
  return keyId === id ? { name, id, material: material.slice(1) } : null;
}

function readSignature(line) {
  const match = /^\u2014 ([^ ]+) (.+)$/u.exec(line);
  const data = match && NAME.test(match[1]) ? fromBase64(match[2]) : null;
  return data && data.length >= 5 ? { name: match[1], id: hex(data.slice(0, 4)), bytes: data.slice(4) } : null;
}

/** Read a signed checkpoint; null if it is broken. */
function readCheckpoint(note) {
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x09\x0b-\x1f]/.test(note) || /\p{Surrogate}/u.test(note) || !note.endsWith("\n")) return null;
  const blank = note.lastIndexOf("\n\n");
  if (blank < 0) return null;
  const text = note.slice(0, blank + 1);
  const lines = note.slice(blank + 2).split("\n").slice(0, -1);
  const signatures = lines.map(readSignature);
  if (!lines.length || lines.length > MAX_SIGNATURES || signatures.includes(null)) return null;
  const [origin, size, root, ...extensions] = text.slice(0, -1).split("\n");
  const rootBytes = root === undefined ? null : fromBase64(root);
  if (!origin || extensions.includes("") || !/^(0|[1-9][0-9]{0,18})$/.test(size)) return null;
  if (!Number.isSafeInteger(Number(size)) || !rootBytes || rootBytes.length !== 32) return null;
  if (Number(size) === 0 && hex(rootBytes) !== hex(sha256(new Uint8Array()))) return null;
  return { text, origin, size: Number(size), root: hex(rootBytes), signatures };
}

/** How this browser checks a signature: natively where it can, else by our own arithmetic; null where it has neither. */
async function ed25519(material) {
  const subtle = globalThis.crypto?.subtle;
  try {
    const key = await subtle.importKey("raw", material, { name: "Ed25519" }, false, ["verify"]);
    return (message, signed) => subtle.verify({ name: "Ed25519" }, key, signed, message);
  } catch (error) {
    if (error?.name === "DataError") return () => false;
  }
  try {
    const { verifyEd25519 } = await import("./ed25519.js");
    return (message, signed) => verifyEd25519(material, message, signed);
  } catch {
    return null;
  }
}

/** "ok", "bad", or "unknown" where the browser cannot tell. */
async function signature(key, point) {
  const mine = point.signatures.filter((line) => line.name === key.name && line.id === key.id);
  if (!mine.length) return "bad";
  const holds = await ed25519(key.material);
  if (holds === null) return "unknown";
  for (const line of mine) if (!(await holds(utf8.encode(point.text), line.bytes))) return "bad";
  return "ok";
}

// --- checks ----------------------------------------------------------------------------------------------------------

function check(id, state, code, item = null) {
  return { id, state, code, item, zh: WORDS[code][0], en: WORDS[code][1] };
}

const judge = (id, good, bad = "bad", item = null) =>
  check(id, good ? "ok" : "failed", `${id}.${good ? "ok" : bad}`, item);

/** Does `path` lead from the leaf's hash at `index` to the root of a tree of `size` leaves? RFC 9162, 2.1.3.2. */
export function includes(leaf, index, size, path, root) {
  if (index >= size) return false;
  let position = index;
  let last = size - 1;
  let current = leaf;
  for (const sibling of path) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      current = sha256(join([1], sibling, current));
      while (position % 2 === 0 && position !== 0) {
        position /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      current = sha256(join([1], current, sibling));
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && hex(current) === root;
}

function readPath(value) {
  if (!Array.isArray(value) || value.length > MAX_PATH || !value.every((step) => typeof step === "string")) return null;
  const path = value.map(fromBase64);
  return path.every((step) => step !== null && step.length === 32) ? path : null;
}

function matches(document, leaf) {
  try {
    return `sha256:${hex(sha256(canonicalBytes(document)))}` === leaf.jcs;
  } catch {
    return false;
  }
}

function isCurve(document, lot) {
  if (!hasFields(document, "type lot zone channel unit from to revision points custodyFrom")) return false;
  const { from, to, points } = document;
  if (document.lot !== lot || ![document.zone, document.channel, document.unit, document.custodyFrom].every(isText)) {
    return false;
  }
  if (!isWhole(from, 0) || !isWhole(to, from) || !isWhole(document.revision, 1) || !Array.isArray(points)) return false;
  let before = from - 1;
  for (const point of points) {
    if (!Array.isArray(point) || point.length !== 2 || !isWhole(point[0], before + 1, to)) return false;
    if (point[1] !== null && !Number.isFinite(point[1])) return false;
    [before] = point;
  }
  return true;
}

function* checkItem(number, item, leaf, lot, point) {
  if (leaf === null) {
    for (const id of ["leaf", "document", "inclusion"]) yield judge(id, false, "bad", number);
    return;
  }
  yield judge("leaf", leaf.lot === lot, "lot", number);
  if (matches(item.document, leaf)) {
    const shown = item.document.type;
    yield judge("document", leaf.kind === "event" ? EVENT_TYPES.has(shown) : shown === "curve", "kind", number);
  } else {
    yield judge("document", false, "bad", number);
  }
  if (leaf.kind === "curve") yield judge("curve", isCurve(item.document, leaf.lot), "bad", number);
  const path = readPath(item.path);
  if (!isWhole(item.index, 0) || path === null) {
    yield judge("inclusion", false, "path", number);
  } else {
    const good = point !== null && includes(leaf.hash, item.index, point.size, path, point.root);
    yield judge("inclusion", good, "bad", number);
  }
}

function chainHolds(leaves, items) {
  let prev = null;
  let index = -1;
  for (let number = 0; number < leaves.length; number += 1) {
    const leaf = leaves[number];
    if (leaf === null || !isWhole(items[number].index, index + 1) || leaf.n !== number + 1 || leaf.prev !== prev) {
      return false;
    }
    prev = hex(leaf.hash);
    index = items[number].index;
  }
  return true;
}

function* checkAnchor(anchor, point, chain) {
  if (anchor === null) {
    yield check("anchor", "unknown", "anchor.none");
    yield check("chain-anchor", "unknown", "chain-anchor.unknown");
    return;
  }
  const isPoint = (word, root) => point !== null && word.size === point.size && root === `0x${point.root}`;
  yield judge("anchor", isPoint(anchor, anchor.root));
  if (!chain) {
    yield check("chain-anchor", "unknown", "chain-anchor.unknown");
    return;
  }
  const sameAnchor = chain.chainId === anchor.chainId && chain.seq === anchor.seq
    && String(chain.contract).toLowerCase() === anchor.contract;
  yield judge("chain-anchor", sameAnchor && isPoint(chain, String(chain.root).toLowerCase()));
}

function verdict(checks) {
  if (checks.some((one) => one.state === "failed")) return "failed";
  return checks.some((one) => one.state === "unknown" && !MAY_STAY_UNKNOWN.has(one.id)) ? "unknown" : "ok";
}

/**
 * Check a bundle.
 *
 * @param bundle what JSON.parse made of the file
 * @param {{trustedKey?: string, chain?: {chainId: number, contract: string, seq: number, size: number, root: string}}}
 *   options the key the reader got from elsewhere; the chain's own answer about the bundle's anchor
 * @returns {Promise<{verdict: string, checks: object[]}>} the report; it never rejects, whatever the bundle is
 */
export async function verifyBundle(bundle, { trustedKey = null, chain = null } = {}) {
  if (!isBundle(bundle)) return { verdict: "failed", checks: [judge("format", false)] };
  const key = readKey(bundle.key);
  const point = readCheckpoint(bundle.checkpoint);
  const leaves = bundle.items.map((item) => readLeaf(item.leaf));
  const checks = [judge("format", true)];
  checks.push(trustedKey === null ? check("key", "unknown", "key.unknown") : judge("key", bundle.key === trustedKey));
  checks.push(point === null ? judge("checkpoint", false)
    : judge("checkpoint", point.origin === bundle.origin && key !== null && key.name === bundle.origin, "origin"));
  const signed = key && point ? await signature(key, point) : "none";
  checks.push(check("signature", { ok: "ok", unknown: "unknown" }[signed] ?? "failed", `signature.${signed}`));
  leaves.forEach((leaf, number) => {
    checks.push(...checkItem(number, bundle.items[number], leaf, bundle.lot, point));
  });
  checks.push(judge("chain", chainHolds(leaves, bundle.items)));
  const newest = leaves[leaves.length - 1];
  checks.push(judge("head", newest !== null && bundle.head.n === newest.n && bundle.head.leaf === hex(newest.hash)));
  checks.push(...checkAnchor(bundle.anchor, point, chain));
  return { verdict: verdict(checks), checks };
}
