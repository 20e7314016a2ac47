/** Sets of characters, as ranges of code points. Surrogates are no characters: UTF-8 has no bytes for them. */

/** Ascending and apart: low, high, low, high, ... */
export type Charset = readonly number[];

export const MAX = 0x10ffff;
export const ALL: Charset = [0, 0xd7ff, 0xe000, MAX];

/** The set of these ranges, which may overlap and stand in any order: low, high, low, high, ... */
export function charset(ranges: readonly number[]): Charset {
  const pairs: [number, number][] = [];
  for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i], ranges[i + 1]]);
  pairs.sort((a, b) => a[0] - b[0]);
  const joined: number[] = [];
  for (const [low, high] of pairs) {
    const last = joined.length - 1;
    if (last > 0 && low <= joined[last] + 1) joined[last] = Math.max(joined[last], high);
    else joined.push(low, high);
  }
  return intersect(joined, ALL);
}

export const union = (...sets: readonly Charset[]): Charset => charset(sets.flat());

export function intersect(a: Charset, b: Charset): Charset {
  const common: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const low = Math.max(a[i], b[j]);
    const high = Math.min(a[i + 1], b[j + 1]);
    if (low <= high) common.push(low, high);
    if (a[i + 1] < b[j + 1]) i += 2;
    else j += 2;
  }
  return common;
}

/** All characters that are not in the set. */
export function complement(set: Charset): Charset {
  const others: number[] = [];
  let low = 0;
  for (let i = 0; i < set.length; i += 2) {
    if (low < set[i]) others.push(low, set[i] - 1);
    low = set[i + 1] + 1;
  }
  if (low <= MAX) others.push(low, MAX);
  return intersect(others, ALL);
}

export function contains(set: Charset, point: number): boolean {
  for (let i = 0; i < set.length && set[i] <= point; i += 2) if (point <= set[i + 1]) return true;
  return false;
}

/** Finds half of a surrogate pair, which is no character, in a text. */
export const LONE = /[\ud800-\udfff]/u;

/** The code points of a text. */
export const points = (text: string): number[] => Array.from(text, (character) => character.codePointAt(0)!);

export const DIGIT = charset([0x30, 0x39]);
export const WORD = charset([0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a]);
/** ECMAScript's WhiteSpace and LineTerminator. */
export const SPACE = charset([
  ...[0x09, 0x0d, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a],
  ...[0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff],
]);
/** What a dot in an expression does not match. */
export const LINE_END = charset([0x0a, 0x0a, 0x0d, 0x0d, 0x2028, 0x2029]);

const properties = new Map<string, Charset>();

/**
 * The characters that a property escape such as `\p{Lu}` means, as this runtime's Unicode version has it: its own regular
 * expressions are asked. `name` is what stands in the braces; undefined if there is no such property.
 */
export function property(name: string): Charset | undefined {
  const known = properties.get(name);
  if (known) return known;
  if (!/^[A-Za-z0-9_]+(=[A-Za-z0-9_]+)?$/.test(name)) return undefined;
  let pattern: RegExp;
  try {
    pattern = new RegExp(`\\p{${name}}+`, "gu");
  } catch {
    return undefined;
  }
  const found: number[] = [];
  for (let from = 0; from <= MAX; from += 0x2000) {
    if (from === 0xd800) from = 0xe000;
    const text = String.fromCodePoint(...Array.from({ length: from === 0xc000 ? 0x1800 : 0x2000 }, (_, i) => from + i));
    const size = from > 0xffff ? 2 : 1;
    for (const { 0: match, index } of text.matchAll(pattern))
      found.push(from + index / size, from + (index + match.length) / size - 1);
  }
  const set = charset(found);
  if (properties.size > 100) properties.clear();
  properties.set(name, set);
  return set;
}
