// Masks, held against running every token's bytes; vocabularies of every kind; what is allowed at the end.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Constraint, compileConstraint } from "../../src/grammar/compile.ts";
import { Matcher } from "../../src/grammar/matcher.ts";
import { TokenTrie } from "../../src/grammar/trie.ts";
import { JSON_GRAMMAR } from "./json-grammar.ts";
import { bytesOnly, END, has, matcher, mixed, random, tokensOf, vocabulary, worldTrie } from "./walk.ts";
import { wrong } from "./wrong.ts";

const CONSTRAINTS: Record<string, Constraint> = {
  JSON: { grammar: JSON_GRAMMAR },
  arithmetic: {
    grammar: 'root ::= e ("=" e)?\ne ::= e [-+] t | t\nt ::= f | t "*" f\nf ::= "(" e ")" | [0-9]+ | [a-f]+ " "*',
  },
  brackets: { grammar: 'root ::= "(" root ")" root | "[" root "]" | "" | "abc"' },
  ambiguous: { grammar: 'root ::= s+\ns ::= s "a" s | "a" | "b" s | ("ab" | "a" "b")*' },
  list: { grammar: 'root ::= item ("," root)? " "*\nitem ::= [0-9]+ | "[" root "]"' },
  regex: { regex: "(foo|ba[rz]|\\w{2,5} )+(é|日本)?[^a]*" },
  words: { regex: "(\\p{L}+[ ,]){3}\\.?" },
  schema: {
    schema: {
      type: "object",
      properties: {
        name: { type: "string", minLength: 1, maxLength: 20 },
        tags: { type: "array", items: { enum: ["a", "ab", 'foo"bar'] }, maxItems: 3 },
        n: { type: "number", minimum: -1, maximum: 123.5 },
        self: { $ref: "#" },
      },
      required: ["name"],
    },
  },
  anything: { schema: true },
  banned: { bannedPhrases: ["the end", "ab", "é", "日本語"] },
  "JSON, banned": { grammar: JSON_GRAMMAR, bannedPhrases: ['"}', "a", "日"] },
};

/** The tokens that a matcher takes, found by trying each; the end only if it is complete. */
function tried(start: Matcher, trie: TokenTrie): number[] {
  const taken: number[] = [];
  for (let token = 0; token < trie.size; token++) {
    const fork = start.fork();
    try {
      fork.accept(token);
      taken.push(token);
    } catch {
      // Not allowed.
    }
  }
  return taken;
}

function compare(constraint: Constraint, trie: TokenTrie, seed: number, steps: number): void {
  const program = compileConstraint(constraint);
  const next = random(seed);
  const mask = new Uint32Array((trie.size + 31) >>> 5);
  const start = new Matcher(program, trie, [END]);
  for (let step = 0; step < steps; step++) {
    start.mask(mask);
    const allowed = tokensOf(mask);
    assert.equal(allowed, tried(start, trie));
    const others = allowed.filter((token) => token !== END);
    if (others.length === 0) return;
    // Long tokens are rarer, and more is in them.
    const long = others.filter((token) => trie.token(token).length > 1);
    const from = long.length && next(2) ? long : others;
    start.accept(from[next(from.length)]);
  }
}

for (const [name, constraint] of Object.entries(CONSTRAINTS)) {
  test(`masks are what running each token says: ${name}`, () => {
    for (let seed = 0; seed < 12; seed++) compare(constraint, mixed, seed, 15);
  });
}

test("masks are what running each token says, with World's 65,536 tokens", async () => {
  const world = await worldTrie();
  for (const name of ["JSON", "schema", "ambiguous", "words", "banned"]) compare(CONSTRAINTS[name], world, 7, 4);
});

test("masks are what running each token says, with tokens at random", () => {
  const piece = fc.constantFrom(
    "a",
    "b",
    "ab",
    "(",
    ")",
    "[",
    "]",
    '"',
    ",",
    "1",
    "{",
    "}",
    ":",
    "é",
    " ",
    "foo",
    "日",
  );
  const token = fc.array(piece, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(
      fc.array(token, { maxLength: 30 }),
      fc.constantFrom(...Object.values(CONSTRAINTS)),
      fc.nat(1000),
      (texts, constraint, seed) => compare(constraint, vocabulary(...texts), seed, 8),
    ),
    { numRuns: 60 },
  );
});

test("a character may be cut anywhere, and only its other half may follow", () => {
  const start = matcher({ regex: "[日é]x" }, mixed);
  const mask = new Uint32Array(20);
  const cut = mixed.ids.find((id) => mixed.token(id).join() === "230,151")!;
  start.accept(cut);
  start.mask(mask);
  assert.equal(tokensOf(mask), [0xa5 + 1]);
  start.accept(0xa5 + 1);
  start.mask(mask);
  assert.equal(tokensOf(mask), ["x".charCodeAt(0) + 1]);
  assert.not(start.complete);
});

test("the end is allowed where the text is complete, and is all there is where nothing can follow", () => {
  const mask = new Uint32Array(9);
  const start = matcher({ regex: "ab?" });
  assert.is(start.mask(mask), "some");
  assert.not(has(mask, END));
  start.accept("a".charCodeAt(0) + 1);
  assert.is(start.mask(mask), "some");
  assert.equal(tokensOf(mask), [END, "b".charCodeAt(0) + 1]);
  start.accept("b".charCodeAt(0) + 1);
  assert.is(start.mask(mask), "end");
  assert.equal(tokensOf(mask), [END]);
  start.accept(END);
  assert.is(start.mask(mask), "end");
  assert.equal(tokensOf(mask), []);
  wrong(() => start.accept(END), "input", /Token 0 cannot come next/);
});

test("tokens that end texts are no part of them, though they have bytes; several may end a text, or none", () => {
  const program = compileConstraint({ regex: "[ab]{1,3}" });
  const trie = vocabulary("b");
  const [a, b, second] = [98, 99, 257];
  const mask = new Uint32Array(9);
  const start = new Matcher(program, trie, [second, END]);
  start.mask(mask);
  assert.equal(tokensOf(mask), [a, b]);
  wrong(() => start.accept(second), "input", /cannot come next/);
  start.accept(a);
  start.mask(mask);
  assert.equal(tokensOf(mask), [END, a, b, second]);
  const endless = new Matcher(program, trie, []);
  for (const token of [a, second, b]) endless.accept(token);
  assert.is(endless.mask(mask), "end");
  assert.equal(tokensOf(mask), []);
  assert.ok(endless.complete);
  wrong(() => new Matcher(program, trie, [300]), "input", /Token 300, which should end the text/);
});

test("a mask may be longer than the vocabulary; its other bits are cleared", () => {
  const mask = new Uint32Array(20).fill(0xffffffff);
  matcher({ regex: "a" }).mask(mask);
  assert.equal(tokensOf(mask), [98]);
  wrong(() => matcher({ regex: "a" }).mask(new Uint32Array(3)), "input", /3 words; the vocabulary needs 9/);
});

test("tokens with the same bytes are allowed together; tokens without bytes never", () => {
  const encoder = new TextEncoder();
  const trie = new TokenTrie(["", "a", "b", "a", "", "ab"].map((text) => encoder.encode(text)));
  const mask = new Uint32Array(1);
  const start = new Matcher(compileConstraint({ regex: "a[ab]*" }), trie, []);
  start.mask(mask);
  assert.equal(tokensOf(mask), [1, 3, 5]);
  start.accept(3);
  wrong(() => start.accept(4), "input", /cannot come next/);
});

test("what a vocabulary cannot write is not begun, or the matcher says so", () => {
  const encoder = new TextEncoder();
  const of = (...texts: string[]) => new TokenTrie(["", ...texts].map((text) => encoder.encode(text)));
  const program = compileConstraint({ grammar: 'root ::= "a" ("b" "c" | "d") | "x" "b" | "e"' });
  const mask = new Uint32Array(1);
  const start = new Matcher(program, of("a", "d", "c", "x"), [END]);
  start.mask(mask);
  assert.equal(tokensOf(mask), [1]); // "x" would need a "b".
  start.accept(1);
  start.mask(mask);
  assert.equal(tokensOf(mask), [2]);
  wrong(() => new Matcher(program, of("a", "c", "x", "dd"), [END]), "input", /no token of the byte 0x6[245] alone/);
  wrong(() => new Matcher(program, new TokenTrie([]), []), "input", /cannot write any text/);
  // Each byte of a character beyond ASCII counts for itself.
  const letters = new Matcher(compileConstraint({ regex: "[aé]" }), of("a", "é"), [END]);
  letters.mask(mask);
  assert.equal(tokensOf(mask), [1]);
});

test("a fork goes its own way", () => {
  const start = matcher({ schema: { type: "array", items: { type: "integer" } } });
  for (const c of "[1") start.accept(c.charCodeAt(0) + 1);
  const fork = start.fork();
  for (const c of ",2]") fork.accept(c.charCodeAt(0) + 1);
  assert.ok(fork.complete);
  assert.not(start.complete);
  start.accept("]".charCodeAt(0) + 1);
  assert.ok(start.complete);
  wrong(() => start.fork().accept("]".charCodeAt(0) + 1), "input", /cannot come next/);
});

test("a token that is not allowed changes nothing", () => {
  const start = matcher({ regex: "ab" }, vocabulary("ac"));
  for (const token of [257, 99, -1, 0.5, 1000, Number.NaN])
    wrong(() => start.accept(token), "input", /cannot come next/);
  start.accept(98);
  start.accept(99);
  assert.ok(start.complete);
});

test("programs are plain data: a copy makes the same masks, and uses those that are known", () => {
  const program = compileConstraint(CONSTRAINTS.JSON);
  const [one, other] = [program, structuredClone(program)].map((p) => new Matcher(p, mixed, [END]));
  const [a, b] = [new Uint32Array(20), new Uint32Array(20)];
  for (const c of '{"a":[1') {
    one.mask(a);
    other.mask(b);
    assert.equal(a, b);
    for (const m of [one, other]) m.accept(c.charCodeAt(0) + 1);
  }
});

test("texts go as deep as the limit and are led out again, with every token shape", () => {
  for (const trie of [bytesOnly, mixed]) {
    const start = matcher({ grammar: 'root ::= "(" root ")" | "[" root "]" "," | "x"' }, trie);
    const mask = new Uint32Array((trie.size + 31) >>> 5);
    let depth = 0;
    let open = true;
    for (let step = 0; step < 5000; step++) {
      if (start.mask(mask) === "end") break;
      const allowed = tokensOf(mask);
      const brackets = trie.ids.filter(
        (id) => has(mask, id) && /^[([]+$/.test(new TextDecoder().decode(trie.token(id))),
      );
      open &&= brackets.length > 0;
      const token = open ? brackets[step % brackets.length] : allowed[0];
      if (open) depth += trie.token(token).length;
      start.accept(token);
    }
    assert.is(depth, 1000);
    assert.ok(start.complete);
  }
});

test.run();
