// Phrases that never occur, alone and within constraints.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compileConstraint } from "../../src/grammar/compile.ts";
import { bytesOnly, follows, matcher, mixed, random, tokensOf, vocabulary, walk, worldTrie } from "./walk.ts";
import { wrong } from "./wrong.ts";

const phrase = fc
  .array(fc.constantFrom("a", "b", "é", "1"), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join(""));
const phrases = fc.array(phrase, { minLength: 1, maxLength: 4 });
const text = fc.array(fc.constantFrom("a", "b", "é", "1", "c"), { maxLength: 9 }).map((parts) => parts.join(""));

test("alone: every text without a phrase may be written, and no other", () => {
  fc.assert(
    fc.property(phrases, fc.array(text, { minLength: 10 }), fc.nat(), (bannedPhrases, texts, seed) => {
      const program = compileConstraint({ bannedPhrases });
      const free = (one: string) => !bannedPhrases.some((banned) => one.includes(banned));
      for (const one of texts) assert.is(follows(matcher(program), one), free(one), `${one} without ${bannedPhrases}`);
      const trie = vocabulary("ab", "aab", "1a", "éa", "bbb");
      const start = matcher(program, trie);
      const next = random(seed);
      const mask = new Uint32Array(9);
      const bytes: number[] = [];
      for (let i = 0; i < 30 && start.mask(mask) === "some"; i++) {
        const allowed = tokensOf(mask).filter(
          (token) => token > 0 && /[abc1é]/.test(new TextDecoder().decode(trie.token(token))),
        );
        if (allowed.length === 0) break;
        const token = allowed[next(allowed.length)];
        start.accept(token);
        bytes.push(...trie.token(token));
        assert.ok(free(new TextDecoder().decode(Uint8Array.from(bytes))));
      }
    }),
    { numRuns: 300 },
  );
});

test("alone: any bytes may come, and the text may end anywhere", () => {
  const start = matcher({ bannedPhrases: ["x"] });
  const mask = new Uint32Array(9);
  start.mask(mask);
  assert.equal(
    tokensOf(mask),
    Array.from({ length: 257 }, (_, token) => token).filter((token) => token !== "x".charCodeAt(0) + 1),
  );
});

/** Grammars with all kinds of rules, and what their texts look like. */
const GRAMMARS: [grammar: string, sample: RegExp][] = [
  ["root ::= [ab1cé]*", /^[ab1cé]*$/],
  ['root ::= x ("," x)*\nx ::= "a" x "b" | "1" | "c"', /./],
  ['root ::= "[" (root ("," root)*)? "]" | "é" [ab]* | "1"', /./],
  ['root ::= root [ab] | "a" "1"?', /./],
];

test("within a grammar: exactly the grammar's texts that have no phrase", () => {
  let impossible = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...GRAMMARS),
      phrases,
      fc.array(text, { minLength: 10 }),
      fc.nat(),
      ([grammar], bannedPhrases, texts, seed) => {
        const free = (one: string) => !bannedPhrases.some((banned) => one.includes(banned));
        const plain = compileConstraint({ grammar });
        const own = Array.from({ length: 10 }, (_, i) => walk(matcher(plain, mixed), mixed, random(seed + i), 6, 30));
        const samples = [...texts, ...own.filter(({ ended }) => ended).map((one) => one.text)];
        let program: typeof plain;
        try {
          program = compileConstraint({ grammar, bannedPhrases });
        } catch (error) {
          assert.match((error as Error).message, /each would contain one of the bannedPhrases/);
          for (const one of samples) assert.not(follows(matcher(plain), one) && free(one), one);
          impossible++;
          return;
        }
        for (const one of samples)
          assert.is(
            follows(matcher(program), one),
            free(one) && follows(matcher(plain), one),
            `${one} of ${grammar} without ${bannedPhrases}`,
          );
        for (const trie of [bytesOnly, mixed]) {
          const { text: one, ended } = walk(matcher(program, trie), trie, random(seed), 8, 60);
          assert.ok(free(one), one);
          if (ended) assert.ok(follows(matcher(plain), one), one);
        }
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(impossible > 0 && impossible < 200, `${impossible} were impossible`);
});

test("within a schema, across what tokens, strings and brackets keep apart", async () => {
  const schema = {
    type: "object",
    properties: { a: { type: "string" }, b: { type: "array", items: { $ref: "#" } } },
    required: ["a"],
  };
  const bannedPhrases = ["the", '",', 'e"', "[]", "}}", "é"];
  const program = compileConstraint({ schema, bannedPhrases });
  const plain = compileConstraint({ schema });
  let ended = 0;
  for (const trie of [bytesOnly, mixed, await worldTrie()])
    for (let seed = 0; seed < 30; seed++) {
      const result = walk(matcher(program, trie), trie, random(seed), 20, 400);
      for (const banned of bannedPhrases) assert.not(result.text.includes(banned), result.text);
      if (!result.ended) continue;
      ended++;
      assert.ok(follows(matcher(plain), result.text), result.text);
    }
  assert.ok(ended > 30, `${ended} ended`);
  for (const one of ['{"a":"x" }', '{"a":"x" \n}'.replace(" \n", " "), '{"a":"abc"}'])
    assert.ok(follows(matcher(program), one), one);
  for (const one of ['{"a":"the"}', '{"a":"e"}', '{"a":"x","b":[]}']) assert.not(follows(matcher(program), one), one);
});

test("what leaves nothing, or is no phrase, is an error", () => {
  wrong(
    () => compileConstraint({ regex: "ab+c", bannedPhrases: ["bc"] }),
    "input",
    /No text can follow regex: each would contain/,
  );
  wrong(() => compileConstraint({ bannedPhrases: [""] }), "input", /bannedPhrases\[0\]/);
  wrong(() => compileConstraint({ bannedPhrases: ["a", 5 as never] }), "input", /bannedPhrases\[1\]/);
  wrong(() => compileConstraint({ bannedPhrases: ["\ud800"] }), "input", /bannedPhrases\[0\]/);
  wrong(() => compileConstraint({ bannedPhrases: "a" as never }), "input", /must be a list/);
  wrong(
    () => compileConstraint({ bannedPhrases: Array(1001).fill("a") }),
    "unsupported",
    /1001 bannedPhrases; the limit is 1000/,
  );
  wrong(() => compileConstraint({ bannedPhrases: ["a".repeat(30_000)] }), "unsupported", /the limit is 20000/);
  wrong(() => compileConstraint({}), "input", /needs a grammar, a regex, a schema or bannedPhrases/);
  wrong(
    () => compileConstraint({ regex: "a", grammar: "b", schema: {} }),
    "input",
    /grammar and regex and schema exclude each other/,
  );
});

test("no phrases are no constraint", () => {
  assert.ok(follows(matcher({ bannedPhrases: [] }), "anything"));
  assert.ok(follows(matcher({ regex: "a+", bannedPhrases: [] }), "aa"));
});

test.run();
