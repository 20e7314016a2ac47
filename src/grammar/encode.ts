/**
 * Characters as bytes: pieces of graphs that accept each character of a set, written in UTF-8, or as it may stand in a
 * string of JSON. They accept nothing else, so whatever passes them is valid UTF-8.
 */
import { type Charset, charset, complement, contains, intersect } from "./charset.ts";
import type { Fragment } from "./graph.ts";

/** "plain" is JSON in which printable ASCII characters are not written as `\uXXXX`, which makes for smaller automata. */
export type Encoding = "utf8" | "json" | "plain";

const known: Record<Encoding, Map<string, Fragment>> = { utf8: new Map(), json: new Map(), plain: new Map() };
const CACHED = 500;

/** The fragment for one character of the set. Of an empty set, one that nothing passes. */
export function encoded(set: Charset, encoding: Encoding): Fragment {
  const made = known[encoding];
  const key = set.join();
  let fragment = made.get(key);
  if (!fragment) {
    const builder = new Builder();
    if (encoding === "utf8") builder.utf8(set);
    else builder.json(set, encoding === "json" ? set : intersect(set, UNPRINTABLE));
    fragment = { states: builder.states, edges: builder.edges };
    if (made.size >= CACHED) made.clear();
    made.set(key, fragment);
  }
  return fragment;
}

const SURROGATES = 0xd800;
const BACKSLASH = 0x5c;
const U = 0x75;
/** Characters that have a short escape, and its letter. */
const SHORT: [point: number, letter: number][] = [
  ...[0x22, BACKSLASH, 0x2f].map((point): [number, number] => [point, point]),
  ...[0x08, 0x0c, 0x0a, 0x0d, 0x09].map((point, i): [number, number] => [point, "bfnrt".charCodeAt(i)]),
];
/** What a string cannot hold as it is: control characters, the quote, the backslash. */
const ESCAPED = charset([0, 0x1f, 0x22, 0x22, BACKSLASH, BACKSLASH]);

const UNPRINTABLE = complement([0x20, 0x7e]);

/** Writes a digit of a number: an edge, or several. */
type Digit = (low: number, high: number) => [low: number, high: number][];

const continuation: Digit = (low, high) => [[0x80 + low, 0x80 + high]];
const hex: Digit = (low, high) => {
  const bytes: [number, number][] = [];
  if (low < 10) bytes.push([0x30 + low, 0x30 + Math.min(high, 9)]);
  for (const letter of [0x61 - 10, 0x41 - 10]) if (high >= 10) bytes.push([letter + Math.max(low, 10), letter + high]);
  return bytes;
};

class Builder {
  states = 2;
  readonly edges: number[] = [];
  readonly #made = new Map<string, number>();

  utf8(set: Charset): void {
    const leads: [lead: number, from: number, to: number, digits: number][] = [
      [0xc0, 0x80, 0x7ff, 1],
      [0xe0, 0x800, 0xffff, 2],
      [0xf0, 0x10000, 0x10ffff, 3],
    ];
    for (const [low, high] of pairs(intersect(set, [0, 0x7f]))) this.#edge(0, low, high, 1);
    for (const [lead, from, to, digits] of leads)
      this.#split(0, intersect(set, [from, to]), digits, 6, 1, (low, high) => [[lead + low, lead + high]]);
  }

  /** As it is or in its short escape; or, those `escaped`, by number, above U+FFFF by two, for the two surrogates. */
  json(set: Charset, escaped: Charset): void {
    this.utf8(intersect(set, complement(ESCAPED)));
    const escaping = this.states++;
    const digits = this.states++;
    this.#edge(0, BACKSLASH, BACKSLASH, escaping);
    this.#edge(escaping, U, U, digits);
    for (const [point, letter] of SHORT) if (contains(set, point)) this.#edge(escaping, letter, letter, 1);
    this.#split(digits, intersect(escaped, [0, 0xffff]), 3, 4, 1, hex);
    // High surrogates that the same low ones may follow go together.
    const groups = new Map<string, { high: number[]; low: Charset }>();
    for (const { digit, rest } of digitsOf(
      intersect(escaped, [0x10000, 0x10ffff]).map((point) => point - 0x10000),
      10,
    )) {
      const key = rest.join();
      const group = groups.get(key);
      if (group) group.high.push(digit, digit);
      else groups.set(key, { high: [digit, digit], low: rest });
    }
    for (const { high, low } of groups.values()) {
      const [after, second, third] = [this.states++, this.states++, this.states++];
      this.#split(
        digits,
        runs(high).map((i) => SURROGATES + i),
        3,
        4,
        after,
        hex,
      );
      this.#edge(after, BACKSLASH, BACKSLASH, second);
      this.#edge(second, U, U, third);
      this.#split(
        third,
        low.map((i) => 0xdc00 + i),
        3,
        4,
        1,
        hex,
      );
    }
  }

  #edge(from: number, low: number, high: number, to: number): void {
    this.edges.push(from, low | (high << 8), to);
  }

  /** Edges from `from` for the first of `digits` + 1 digits of `bits` bits of all numbers of the set, then all the others, to `exit`. */
  #split(from: number, set: Charset, digits: number, bits: number, exit: number, write: Digit): void {
    const rest = bits === 6 ? continuation : write;
    let open: { low: number; high: number; to: number } | undefined;
    const close = () => {
      if (open) for (const [low, high] of write(open.low, open.high)) this.#edge(from, low, high, open.to);
    };
    for (const { digit, rest: below } of digitsOf(set, digits * bits)) {
      const to = this.#tail(below, digits, bits, exit, rest);
      if (open && open.to === to && open.high === digit - 1) open.high = digit;
      else {
        close();
        open = { low: digit, high: digit, to };
      }
    }
    close();
  }

  /** The state from which `digits` more digits, of numbers of this set, lead to `exit`. */
  #tail(set: Charset, digits: number, bits: number, exit: number, write: Digit): number {
    if (digits === 0) return exit;
    const key = `${digits} ${bits} ${exit} ${set.join()}`;
    const made = this.#made.get(key);
    if (made !== undefined) return made;
    const state = this.states++;
    this.#made.set(key, state);
    this.#split(state, set, digits - 1, bits, exit, write);
    return state;
  }
}

/** For each value that number >> shift takes in the set: it, and what the lower bits may be then. */
function* digitsOf(set: Charset, shift: number): Generator<{ digit: number; rest: Charset }> {
  const size = 2 ** shift;
  const all = [0, size - 1];
  let digit = -1;
  let rest: number[] = [];
  for (const [low, high] of pairs(set)) {
    for (let d = Math.floor(low / size); d * size <= high; d++) {
      if (d !== digit) {
        if (digit >= 0) yield { digit, rest };
        digit = d;
        rest = [];
      }
      if (low <= d * size && high >= d * size + size - 1) rest = all;
      else rest.push(Math.max(low - d * size, 0), Math.min(high - d * size, size - 1));
    }
  }
  if (digit >= 0) yield { digit, rest };
}

function* pairs(set: Charset): Generator<[number, number]> {
  for (let i = 0; i < set.length; i += 2) yield [set[i], set[i + 1]];
}

/** Joins ascending ranges that touch. Unlike `charset`, of any numbers. */
function runs(ranges: number[]): number[] {
  const joined: number[] = [];
  for (const [low, high] of pairs(ranges)) {
    if (joined.length && joined[joined.length - 1] === low - 1) joined[joined.length - 1] = high;
    else joined.push(low, high);
  }
  return joined;
}
