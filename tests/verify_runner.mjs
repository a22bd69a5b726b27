// Reads cases as JSON lines, answers each with the browser verifier's report. Used by fix_bundle.browser_reports.
import { createInterface } from "node:readline";
import { canonical, verifyBundle, WORDS } from "../trace/static/verify.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { text, canonicalOf, words, noCrypto, noBigInt, ...options } = JSON.parse(line);
  let answer;
  if (words) {
    answer = WORDS;
  } else if (canonicalOf !== undefined) {
    try {
      answer = { canonical: canonical(JSON.parse(canonicalOf)) };
    } catch (error) {
      answer = { error: String(error) };
    }
  } else {
    if (noBigInt) globalThis.BigInt = undefined;
    if (noCrypto) Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });
    try {
      answer = await verifyBundle(JSON.parse(text), options);
    } catch (error) {
      answer = { error: String(error) };
    }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
