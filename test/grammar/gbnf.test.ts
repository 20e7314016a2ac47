// GBNF: grammars made at random against a slow recogniser, the notation, and errors that say where.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { compileConstraint } from "../../src/grammar/compile.ts";
import type { Program } from "../../src/grammar/program.ts";
import { type Choice, type Grammar, type Item, possible, recognise, toGbnf } from "./earley.ts";
import { bytesOnly, follows, matcher, mixed, random, walk } from "./walk.ts";
import { wrong } from "./wrong.ts";

const ALPHABET = ["a", "b", "é", "\u{1f600}"];
const NAMES = ["root", "x", "y", "z"];

/** All texts of up to four characters, and some longer ones. */
const TEXTS = ["", ...ALPHABET];
for (let from = 1, length = 2; length <= 4; length++) {
  const to = TEXTS.length;
  for (; from < to; from++) for (const c of ALPHABET.slice(0, length > 3 ? 2 : 4)) TEXTS.push(TEXTS[from] + c);
}
TEXTS.push("aaaaaa", "ababab", "aabbaa", "bbbbbbbb", "aaaaaaaaab");

const character = fc.constantFrom(...ALPHABET);
const range = fc.tuple(character, character).map(([a, b]): [string, string] => (a <= b ? [a, b] : [b, a]));
const { choice } = fc.letrec<{ item: Item; choice: Choice }>((tie) => ({
  item: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.array(character, { minLength: 1, maxLength: 3 }).map((text): Item => ({ kind: "text", text: text.join("") })),
    fc
      .record({ ranges: fc.array(range, { minLength: 1, maxLength: 2 }), negated: fc.boolean() })
      .map((set): Item => ({ kind: "set", ...set })),
    fc.constantFrom(...NAMES).map((name): Item => ({ kind: "rule", name })),
    fc.constantFrom(...NAMES).map((name): Item => ({ kind: "rule", name })),
    tie("choice").map((inner): Item => ({ kind: "group", choice: inner })),
    fc
      .tuple(tie("item"), fc.constantFrom([0, 1], [0, Infinity], [1, Infinity], [2, 2], [1, 3], [2, Infinity]))
      .map(([item, [min, max]]): Item => ({ kind: "repeat", item, min, max })),
  ),
  choice: fc.array(fc.array(tie("item"), { maxLength: 3 }), { minLength: 1, maxLength: 3 }),
}));
const grammars = fc
  .tuple(choice, choice, choice, choice)
  .map((rules): Grammar => Object.fromEntries(rules.map((rule, i) => [NAMES[i], rule])));

/** What `use` finds out about the grammar's program; undefined if it is too large or too ambiguous, which random grammars may be. */
let given = 0;
let refusals = 0;
function use(grammar: Grammar, check: (program: Program) => void): void {
  given++;
  try {
    check(compileConstraint({ grammar: toGbnf(grammar) }));
  } catch (error) {
    if (!(error instanceof RwkvError) || !/too large|so ambiguous/.test(error.message)) throw error;
    refusals++;
  }
}

test("random grammars, left recursion and ambiguity among them, accept what a slow recogniser accepts", () => {
  fc.assert(
    fc.property(grammars, (grammar) => {
      const gbnf = toGbnf(grammar);
      if (!possible(grammar)) {
        wrong(() => compileConstraint({ grammar: gbnf }), "input", /No text can follow the grammar/);
        return;
      }
      use(grammar, (program) => {
        const recogniser = recognise(grammar);
        for (const text of TEXTS) {
          const { whole, prefix } = recogniser(text);
          const reached = matcher(program);
          assert.is(follows(reached, text, true), prefix, `prefix ${JSON.stringify(text)} of\n${gbnf}`);
          if (prefix) assert.is(reached.complete, whole, `${JSON.stringify(text)} of\n${gbnf}`);
        }
      });
    }),
    { numRuns: 150 },
  );
});

test("walks at random end in texts that the slow recogniser accepts, with tokens of any shape", () => {
  let ends = 0;
  fc.assert(
    fc.property(grammars, fc.nat(), (grammar, seed) => {
      if (!possible(grammar)) return;
      use(grammar, (program) => {
        const recogniser = recognise(grammar);
        for (const trie of [bytesOnly, mixed]) {
          const { text, ended } = walk(matcher(program, trie), trie, random(seed), 5, 40);
          if (!ended) continue;
          ends++;
          assert.ok(recogniser(text).whole, `${JSON.stringify(text)} of\n${toGbnf(grammar)}`);
        }
      });
    }),
    { numRuns: 150 },
  );
  assert.ok(ends > 50, `only ${ends} ended`);
  assert.ok(refusals * 10 < given, `${refusals} of ${given} grammars were too much`);
});

const takes = (grammar: string, yes: string[], no: string[]): void => {
  const program = compileConstraint({ grammar });
  for (const text of yes) assert.ok(follows(matcher(program), text), `${JSON.stringify(text)} follows ${grammar}`);
  for (const text of no)
    assert.not(follows(matcher(program), text), `${JSON.stringify(text)} does not follow ${grammar}`);
};

test("texts, escapes, classes, the dot, groups, repetition, comments, rules over several lines", () => {
  takes(String.raw`root ::= "a\n\t\\\"\x41\u00e9\U0001F600"`, ['a\n\t\\"Aé\u{1f600}'], ["a"]);
  takes(String.raw`root ::= [a-c\]\-x^]+`, ["abc", "]-x^"], ["d", ""]);
  takes(String.raw`root ::= [^a-y\n]`, ["z", "A", "é", "\u{1f600}"], ["a", "y", "\n", ""]);
  takes("root ::= .", ["x", "\n", "\u{10ffff}"], ["", "xx"]);
  takes('root ::= ("a" | "b" "c")* "."', [".", "abc.", "bcbca."], ["b.", "c."]);
  takes('root ::= "a"{2} "b"{1,2} "c"{2,} "d"? "e"*', ["aabcc", "aabbcccdee"], ["abcc", "aabbbcc", "aabc"]);
  takes('root ::= "a"{,2}', ["", "a", "aa"], ["aaa"]);
  takes('# what it is\nroot ::= x # of x\n  # more\n\nx ::=\n  "a" |\n  "b"\r\n', ["a", "b"], ["ab"]);
  takes('root ::= (\n "a"\n "b"\n | # or\n "c"\n)', ["ab", "c"], ["abc"]);
  takes('root ::= "a" | ', ["a", ""], ["b"]);
  takes('root ::= my-rule_2\nmy-rule_2 ::= "a"', ["a"], []);
  takes('root ::= "a" +', ["a", "aa"], [""]);
});

test("recursion to the left, to the right, in the middle, hidden and in circles", () => {
  takes('root ::= root "a" | "b"', ["b", "ba", "baaa"], ["", "a", "ab"]);
  takes('root ::= "a" root "b" | ""', ["", "ab", "aabb"], ["aab", "abb", "ba"]);
  takes(
    'root ::= e\ne ::= e "+" t | t\nt ::= t "*" f | f\nf ::= "(" e ")" | "1"',
    ["1", "1+1*1", "(1+1)*(1)"],
    ["1+", "(1"],
  );
  takes('root ::= x "a" | "c"\nx ::= root "b" | "d"', ["c", "cba", "da", "daba"], ["cb", "a"]);
  takes('root ::= n root "a" | "b"\nn ::= "c" | ""', ["b", "ba", "cba", "ccbaa"], ["cb", "ca"]);
  takes('root ::= s\ns ::= s s | "a"', ["a", "aaaa"], ["", "b"]);
  takes('root ::= root | "a"', ["a"], ["", "aa"]);
});

test("errors say what is wrong, in which line and column", () => {
  const at = (grammar: string, ...patterns: RegExp[]) =>
    wrong(() => compileConstraint({ grammar }), "input", ...patterns);
  at('root ::= "a', /line 1, column 10: a text in quotes that is not closed/);
  at('x ::= "a"\n\nroot ::= x y', /line 3, column 12: the rule y is used here and defined nowhere/);
  at('root ::= "é" [b-a]', /line 1, column 18: a range that ends below/);
  at('root ::= ("a"', /line 1, column 10: a parenthesis that is not closed/);
  at('root ::= "a")', /line 1, column 13: a parenthesis is closed that was not opened/);
  at('root ::= "a"\nroot ::= "b"', /line 2, column 1: the rule root is defined a second time/);
  at('x ::= "a"', /no rule called root/);
  at("", /no rule called root/);
  at('root = "a"', /line 1, column 6: ::= should follow/);
  at('root ::= * "a"', /nothing to repeat/);
  at('root ::= "a"{2,1}', /ends below its start/);
  at('root ::= "a"{x}', /line 1, column 13: \{m\}/);
  at('root ::= "\\q"', /unknown escape \\q/);
  at('root ::= "\\uD800"', /half of a surrogate pair/);
  at('root ::= "\\U00110000"', /no character/);
  at('root ::= a b ::= "c"', /line 1, column 12: the rule b should begin on a line of its own/);
  at('root ::= "a" root', /: root never ends, since every way through it needs root again/);
  at('root ::= "a" x\nx ::= "b" y\ny ::= "c" x', /x never ends|y never ends/);
  at("root ::= []", /nothing at all follows it/);
  wrong(() => compileConstraint({ grammar: "root ::= <think>" }), "unsupported", /names a token at line 1, column 10/);
  wrong(() => compileConstraint({ grammar: 7 as never }), "input", /must be a string/);
});

test.run();
