// Reads questions as JSON lines, answers each with what the shopper's page works out. Used by fix_page.browser_answers.
import { createInterface } from "node:readline";
import { ANCHORED, anchorOf } from "../trace/static/anchor.js";
import { sha512, verifyEd25519 } from "../trace/static/ed25519.js";
import { expected } from "../trace/static/shown.js";
import { chinaMinute, keptCool, lotNumber, lotOfPath, oneDecimal, shownLot, viewOf } from "../trace/static/view.js";
import { FACTS, HARVESTED, STEPS, UNITS } from "../trace/static/words.js";

const bytes = (text) => Uint8Array.from(Buffer.from(text, "hex"));

const answers = {
  words: () => ({ STEPS, FACTS, UNITS, HARVESTED }),
  anchored: () => ANCHORED,
  view: viewOf,
  kept: ([stretches, low, high]) => keptCool(stretches, low, high),
  minute: chinaMinute,
  decimal: oneDecimal,
  lot: shownLot,
  path: lotOfPath,
  number: lotNumber,
  anchor: ([reply, anchor]) => anchorOf(reply, anchor),
  sha512: (text) => Buffer.from(sha512(bytes(text))).toString("hex"),
  signed: ([key, message, signature]) => verifyEd25519(bytes(key), bytes(message), bytes(signature)),
  shown: ([bundles, data]) => {
    const { lines, order, parts } = expected(viewOf(bundles), data);
    return { lines: Object.fromEntries(lines), order, parts: Object.fromEntries(parts) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[name, question]] = Object.entries(JSON.parse(line));
  process.stdout.write(`${JSON.stringify(answers[name](question)) ?? "null"}\n`);
}
