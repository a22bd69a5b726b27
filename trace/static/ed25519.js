/* Checks Ed25519 signatures (RFC 8032, 5.1) where the browser cannot: pages served over plain http have no
 * crypto.subtle, and the browsers inside many phone apps have none that knows Ed25519.
 *
 * Everything here is public, so nothing needs to take the same time whatever it is given. A point is
 * [X, Y, Z, T] with x = X/Z, y = Y/Z, xy = T/Z.
 */

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const MASK = 2n ** 64n - 1n;

const mod = (value) => {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
};

function power(base, exponent) {
  let result = 1n;
  for (let square = base, left = exponent; left > 0n; left >>= 1n, square = mod(square * square)) {
    if (left & 1n) result = mod(result * square);
  }
  return result;
}

const D = mod(-121665n * power(121666n, P - 2n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);
const ZERO = [0n, 1n, 1n, 0n];

// --- SHA-512 (FIPS 180-4, 6.4) ---------------------------------------------------------------------------------------

/** The largest whole number whose `degree`-th power is at most `value`. */
function root(value, degree) {
  let low = 0n;
  for (let bit = 1n << 80n; bit > 0n; bit >>= 1n) if ((low | bit) ** degree <= value) low |= bit;
  return low;
}

const PRIMES = [];
for (let candidate = 2n; PRIMES.length < 80; candidate += 1n) {
  if (PRIMES.every((prime) => candidate % prime !== 0n)) PRIMES.push(candidate);
}
// The first 64 bits behind the point of the roots of the first primes, computed, not copied (FIPS 180-4, 4.2.3, 5.3.5).
const START = PRIMES.slice(0, 8).map((prime) => root(prime << 128n, 2n) & MASK);
const ROUND = PRIMES.map((prime) => root(prime << 192n, 3n) & MASK);

const turn = (x, n) => ((x >> n) | (x << (64n - n))) & MASK;

/** SHA-512 of a Uint8Array, as a Uint8Array. */
export function sha512(data) {
  const padded = new Uint8Array((((data.length + 16) >> 7) + 1) << 7);
  padded.set(data);
  padded[data.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(data.length) << 3n);
  let state = START;
  for (let at = 0; at < padded.length; at += 128) {
    const w = Array.from({ length: 16 }, (_, i) => view.getBigUint64(at + 8 * i));
    for (let i = 16; i < 80; i += 1) {
      const s0 = turn(w[i - 15], 1n) ^ turn(w[i - 15], 8n) ^ (w[i - 15] >> 7n);
      const s1 = turn(w[i - 2], 19n) ^ turn(w[i - 2], 61n) ^ (w[i - 2] >> 6n);
      w.push((w[i - 16] + s0 + w[i - 7] + s1) & MASK);
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 80; i += 1) {
      const t1 = h + (turn(e, 14n) ^ turn(e, 18n) ^ turn(e, 41n)) + ((e & f) ^ (~e & MASK & g)) + ROUND[i] + w[i];
      const t2 = (turn(a, 28n) ^ turn(a, 34n) ^ turn(a, 39n)) + ((a & b) ^ (a & c) ^ (b & c));
      [a, b, c, d, e, f, g, h] = [(t1 + t2) & MASK, a, b, c, (d + t1) & MASK, e, f, g];
    }
    state = [a, b, c, d, e, f, g, h].map((value, i) => (value + state[i]) & MASK);
  }
  const out = new Uint8Array(64);
  state.forEach((value, i) => new DataView(out.buffer).setBigUint64(8 * i, value));
  return out;
}

// --- the curve -------------------------------------------------------------------------------------------------------

function number(bytes) {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** The point of 32 bytes; null where there is none (RFC 8032, 5.1.3). */
function point(bytes) {
  const sign = BigInt(bytes[31] >> 7);
  const y = number(bytes) & (2n ** 255n - 1n);
  if (y >= P) return null;
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  let x = mod(u * power(v, 3n) * power(mod(u * power(v, 7n)), (P - 5n) / 8n));
  if (mod(v * x * x) === mod(-u)) x = mod(x * ROOT_OF_MINUS_ONE);
  if (mod(v * x * x) !== u || (x === 0n && sign === 1n)) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, mod(x * y)];
}

/** The sum of two points, also of one with itself (RFC 8032, 5.1.4). */
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function times(scalar, base) {
  let sum = ZERO;
  for (let doubled = base, left = scalar; left > 0n; left >>= 1n, doubled = add(doubled, doubled)) {
    if (left & 1n) sum = add(sum, doubled);
  }
  return sum;
}

const BASE = point(Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0x58 : 0x66)));

/** The 32 bytes of a point (RFC 8032, 5.1.2). */
function encoded([x, y, z]) {
  const inverse = power(z, P - 2n);
  const value = mod(y * inverse) | ((mod(x * inverse) & 1n) << 255n);
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}

/** Did the holder of the public key (32 bytes) sign `message`? All arguments are Uint8Arrays. */
export function verifyEd25519(key, message, signature) {
  if (key.length !== 32 || signature.length !== 64) return false;
  const r = signature.slice(0, 32);
  const s = number(signature.slice(32));
  const a = point(key);
  if (a === null || s >= ORDER) return false;
  const hashed = new Uint8Array(64 + message.length);
  hashed.set(r);
  hashed.set(key, 32);
  hashed.set(message, 64);
  const k = number(sha512(hashed)) % ORDER;
  const [x, y, z, t] = times(k, a);
  const expected = encoded(add(times(s, BASE), [mod(-x), y, z, mod(-t)]));
  return expected.every((byte, i) => byte === r[i]);
}
