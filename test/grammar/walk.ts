/** Vocabularies, and ways through a constraint: what a model could generate under masks. */
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { type Constraint, compileConstraint } from "../../src/grammar/compile.ts";
import { Matcher } from "../../src/grammar/matcher.ts";
import type { Program } from "../../src/grammar/program.ts";
import { TokenTrie } from "../../src/grammar/trie.ts";
import { unpackVocabulary } from "../../src/text/packed.ts";

/** The token that ends a text, in all vocabularies here; it has no bytes. */
export const END = 0;

/** Tokens 1 to 256 are the bytes; then these texts. */
export function vocabulary(...texts: (string | Uint8Array)[]): TokenTrie {
  const encoder = new TextEncoder();
  return new TokenTrie([
    new Uint8Array(),
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...texts.map((text) => (typeof text === "string" ? encoder.encode(text) : text)),
  ]);
}

export const bytesOnly = vocabulary();

/** Bytes and tokens that cross what grammars and JSON keep apart, characters cut in their middle among them. */
export const mixed = vocabulary(
  ...[
    '"',
    '":',
    '": "',
    '",',
    '", "',
    '"}',
    '"},',
    "{}",
    "[]",
    "[[",
    "]]",
    "}]",
    '{"',
    '{"a',
    '{"a":',
    '":{"',
    ": [",
    "\n",
    "\n  ",
  ],
  ...[
    "true",
    "false",
    "null",
    "tr",
    "ue}",
    "12",
    "123",
    "0.5",
    "-1",
    "1e",
    "e+1",
    "00",
    "10",
    "a",
    "ab",
    "abc",
    "aa",
    "aaa",
    "bb",
  ],
  ...[
    "foo",
    "bar",
    "foobar",
    "()",
    "((",
    "))",
    "+1",
    "(1",
    "1)",
    " ",
    "  ",
    "    ",
    ", ",
    "\\n",
    '\\"',
    "\\u00",
    "é",
    "日本",
    "\u{1f600}",
  ],
  ...[Uint8Array.of(0xe6, 0x97), Uint8Array.of(0x97, 0xa5), Uint8Array.of(0xa9, 0x22), Uint8Array.of(0xf0, 0x9f, 0x98)],
  ...["the", "the end", "end", "ende", " the"],
);

let world: TokenTrie | undefined;
export async function worldTrie(): Promise<TokenTrie> {
  world ??= new TokenTrie((await unpackVocabulary(new Uint8Array(readFileSync("weights/world.vocab")))).tokens);
  return world;
}

export const matcher = (constraint: Constraint | Program, trie = bytesOnly): Matcher =>
  new Matcher("next" in constraint ? constraint : compileConstraint(constraint), trie, [END]);

/** Whether a mask has a token. */
export const has = (mask: Uint32Array, token: number): boolean => ((mask[token >>> 5] >>> (token & 31)) & 1) === 1;

export function tokensOf(mask: Uint32Array): number[] {
  const tokens: number[] = [];
  for (let word = 0; word < mask.length; word++)
    for (let bit = 0; bit < 32; bit++) if ((mask[word] >>> bit) & 1) tokens.push(word * 32 + bit);
  return tokens;
}

/** Small, seeded, the same everywhere. */
export function random(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Bytes that bring texts to an end, in this order, once a walk becomes long. */
const CLOSING = '"}])\n01a';

export interface Walk {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly tokens: number;
  /** Whether it ended; if not, it became too long. */
  readonly ended: boolean;
}

/**
 * Takes allowed tokens at random until the text ends; fails where none is allowed, or what was generated is not UTF-8. After
 * `hurry` tokens it takes those that close something.
 */
export function walk(start: Matcher, trie: TokenTrie, next: (below: number) => number, hurry = 30, most = 3000): Walk {
  const mask = new Uint32Array((trie.size + 31) >>> 5);
  const bytes: number[] = [];
  let tokens = 0;
  for (; tokens < most; tokens++) {
    const outcome = start.mask(mask);
    assert.is(has(mask, END), start.complete, "the end is allowed exactly where the text is complete");
    if (outcome === "end") {
      assert.equal(tokensOf(mask), [END]);
      return finish(bytes, tokens, true);
    }
    let token = pick(mask, next);
    assert.ok(outcome === "some" && token >= 0, `a dead end after ${JSON.stringify(decode(bytes))}`);
    if (start.complete && (tokens >= hurry || next(8) === 0)) token = END;
    else if (tokens >= hurry && next(4) > 0)
      token = [...CLOSING].map((c) => c.charCodeAt(0) + 1).find((t) => has(mask, t)) ?? token;
    start.accept(token);
    if (token === END) return finish(bytes, tokens, true);
    bytes.push(...trie.token(token));
  }
  return finish(bytes, tokens, false);
}

/** One of the tokens of a mask, not all of them equally likely; -1 if there is none. */
function pick(mask: Uint32Array, next: (below: number) => number): number {
  const from = next(mask.length);
  for (let i = 0; i < mask.length; i++) {
    const word = (from + i) % mask.length;
    const shift = next(32);
    const turned = shift ? (mask[word] >>> shift) | (mask[word] << (32 - shift)) : mask[word];
    if (turned) return word * 32 + ((31 - Math.clz32(turned & -turned) + shift) % 32);
  }
  return -1;
}

const decode = (bytes: number[]): string => new TextDecoder().decode(Uint8Array.from(bytes));

function finish(list: number[], tokens: number, ended: boolean): Walk {
  const bytes = Uint8Array.from(list);
  return { text: new TextDecoder("utf-8", { fatal: ended, ignoreBOM: true }).decode(bytes), bytes, tokens, ended };
}

/** Whether the matcher takes the text in, byte after byte, and then is complete. `prefix`: whether it takes it in. */
export function follows(start: Matcher, text: string | Uint8Array, prefix = false): boolean {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  try {
    for (const byte of bytes) start.accept(byte + 1);
  } catch (error) {
    // Too ambiguous a grammar says nothing about the text.
    if (!(error instanceof RwkvError) || error.code !== "input") throw error;
    return false;
  }
  return prefix || start.complete;
}
