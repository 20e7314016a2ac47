// Constraints made to take long or much: each ends soon, in a program or in one clear error.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { type Constraint, compileConstraint } from "../../src/grammar/compile.ts";
import { LIMITS } from "../../src/grammar/limits.ts";
import { matcher, mixed, random, walk } from "./walk.ts";
import { wrong } from "./wrong.ts";

const nested = (depth: number, open: string, close: string, inner = "a"): string =>
  open.repeat(depth) + inner + close.repeat(depth);
const list = (count: number, item: (i: number) => string, between: string): string =>
  Array.from({ length: count }, (_, i) => item(i)).join(between);
const deep = (depth: number, wrap: (inner: unknown) => unknown, inner: unknown = {}): unknown => {
  let schema = inner;
  for (let i = 0; i < depth; i++) schema = wrap(schema);
  return schema;
};

const circle: Record<string, unknown> = { type: "object" };
circle.properties = { circle };
// Unfolds to 2^60 values.
const folded = deep(60, (inner) => ({ allOf: [inner, inner] }));

const CASES: Record<string, Constraint | { schema: unknown }> = {
  "groups within groups": { regex: nested(100_000 / 16, "(", ")") },
  "groups, in a grammar": { grammar: `root ::= ${nested(50_000, "(", ")", '"a"')}` },
  "repetition of repetition": { regex: "((((a{1000}){1000}){1000}){1000}){1000}" },
  "repetition of nothing": { regex: "((((){1000}){1000}){1000}){1000}" },
  "repetition of repetition, in a grammar": { grammar: 'root ::= (((("a"{1000}){1000}){1000}){1000}){1000}' },
  "repetition of nothing, in a grammar": { grammar: 'root ::= (((""{1000}){1000}){1000}){1000}' },
  "stars upon stars": { grammar: `root ::= "a"${"*".repeat(100_000)}` },
  "a number of repetitions": { regex: "a{99999999999999999999}" },
  "choices, repeated": { regex: `(${list(2000, (i) => `a${i}`, "|")}){10000}` },
  "the automaton has 2^30 states": { regex: "(a|b)*a(a|b){30}" },
  "the automaton has 2^30 states, in a grammar": { grammar: 'root ::= [ab]* "a" [ab]{30}' },
  "properties of Unicode": { regex: list(200, (i) => `\\p{L}{${i}}\\p{N}*\\p{Lu}`, "") },
  "ten thousand rules in a row": {
    grammar: `root ::= r0\n${list(9_990, (i) => `r${i} ::= "a" r${i + 1}`, "\n")}\nr9990 ::= "b"`,
  },
  "ten thousand rules within each other": {
    grammar: `root ::= r0\n${list(9_990, (i) => `r${i} ::= "(" r${i + 1} ")" | r${i + 1} "x"`, "\n")}\nr9990 ::= "b"`,
  },
  "more rules than there may be": { grammar: list(20_000, (i) => `${i ? `r${i}` : "root"} ::= "a"`, "\n") },
  "rules that all need each other": {
    grammar: list(
      100,
      (i) => `${i ? `r${i}` : "root"} ::= ${list(100, (j) => (j ? `"${i}" r${j}` : '"a"'), " | ")}`,
      "\n",
    ),
  },
  "rules that all begin with each other": {
    grammar: list(
      60,
      (i) => `${i ? `r${i}` : "root"} ::= ${list(60, (j) => (j ? `r${j} "${i}"` : '"a"'), " | ")}`,
      "\n",
    ),
  },
  "two thousand rules that begin with each other in a circle": {
    grammar: list(2000, (i) => `${i ? `r${i}` : "root"} ::= "a" | ${i === 1999 ? "root" : `r${i + 1}`} "b"`, "\n"),
  },
  "rules that double": {
    grammar: `root ::= r0\n${list(60, (i) => `r${i} ::= r${i + 1} r${i + 1}`, "\n")}\nr60 ::= "a" | "b"`,
  },
  "an unclosed bracket, long": { grammar: `root ::= [${"a".repeat(200_000)}` },
  "a grammar that is too long": { grammar: `root ::= "${"a".repeat(300_000)}"` },
  "a regex that is too long": { regex: "a".repeat(20_000) },
  "a long text": { grammar: `root ::= "${"ab".repeat(60_000)}"` },
  "schemas within schemas": { schema: deep(100_000, (inner) => ({ items: inner })) },
  "an object within itself": { schema: circle },
  "an object that unfolds without end": { schema: folded },
  "a reference to itself": { schema: { $ref: "#" } },
  "references in a circle": {
    schema: { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { allOf: [{ $ref: "#/$defs/a" }] } } },
  },
  "references that double": {
    schema: {
      $ref: "#/$defs/s0",
      $defs: Object.fromEntries(
        Array.from({ length: 60 }, (_, i) => [
          `s${i}`,
          i === 59 ? { type: "null" } : { anyOf: [{ $ref: `#/$defs/s${i + 1}` }, { $ref: `#/$defs/s${i + 1}` }] },
        ]),
      ),
    },
  },
  "anyOf of anyOf": {
    schema: {
      allOf: Array.from({ length: 20 }, () => ({ anyOf: [{ minLength: 1 }, { maxLength: 5 }, { pattern: "a" }] })),
    },
  },
  "oneOf of many": {
    schema: { oneOf: Array.from({ length: 300 }, (_, i) => ({ type: "string", pattern: `^${i}a*$` })) },
  },
  "oneOf of many, told apart by a tag": {
    schema: {
      oneOf: Array.from({ length: 300 }, (_, i) => ({
        properties: { tag: { const: i } },
        required: ["tag"],
        type: "object",
      })),
    },
  },
  lengths: { schema: { type: "array", maxItems: 1e9, items: { type: "string", maxLength: 1e9 } } },
  "lists of lists of a thousand": { schema: deep(20, (inner) => ({ type: "array", minItems: 1000, items: inner })) },
  properties: {
    schema: { properties: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`p${i}`, { type: "integer" }])) },
  },
  "properties, counted": {
    schema: {
      properties: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`p${i}`, {}])),
      minProperties: 500,
    },
  },
  patterns: {
    schema: { allOf: Array.from({ length: 30 }, (_, i) => ({ type: "string", pattern: `(a|b)*a(a|b){${i}}` })) },
  },
  "patterns of keys": {
    schema: { patternProperties: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`a${i}`, {}])) },
  },
  divisors: { schema: { type: "integer", allOf: [991, 997, 983].map((multipleOf) => ({ multipleOf })) } },
  bounds: { schema: { type: "number", minimum: -1e308, maximum: 1e308, exclusiveMinimum: 5e-324 } },
  "phrases in a grammar": {
    grammar: 'root ::= "(" root ")" root | [a-z]*',
    bannedPhrases: Array.from({ length: 1000 }, (_, i) => `${i.toString(26).replace(/\d/g, "q")}xy`),
  },
  "phrases in a long automaton": {
    regex: "[ab]{0,10000}",
    bannedPhrases: Array.from({ length: 200 }, (_, i) => "ab".repeat(i + 1) + i),
  },
};

/** Of the processor, in this process, which others on the machine do not change much; ten times what it takes. */
const SECONDS = 10;

for (const [name, constraint] of Object.entries(CASES)) {
  test(`${name}: a program or an error, and soon`, () => {
    const before = process.cpuUsage();
    try {
      const program = compileConstraint(constraint as Constraint);
      assert.ok(program.final.length <= LIMITS.states && program.next.length <= LIMITS.table);
      walk(matcher(program, mixed), mixed, random(1), 5, 20);
    } catch (error) {
      if (!(error instanceof RwkvError)) throw error;
      assert.ok(error.code === "unsupported" || error.code === "input", error.message);
      assert.ok(error.message.length < 400, error.message);
    }
    const { user, system } = process.cpuUsage(before);
    const seconds = (user + system) / 1e6;
    if (process.env.SHOW) console.log(name, seconds.toFixed(2));
    assert.ok(seconds < SECONDS, `${seconds} seconds`);
  });
}

test("limits are named", () => {
  const limited = (constraint: Constraint, what: RegExp) =>
    wrong(() => compileConstraint(constraint), "unsupported", what);
  limited({ regex: "a".repeat(20_000) }, /regex has 20000 characters; the limit is 16384/);
  limited({ regex: "a{10001}" }, /10001 times; the limit is 10000/);
  limited({ regex: "(a|b)*a(a|b){30}" }, /regex becomes too large/);
  limited({ regex: nested(300, "(", ")") }, /nests its groups too deep; the limit is 200/);
  limited(
    { grammar: `root ::= ${nested(300, "(", ")", '"a"')}` },
    /nests groups too deep at line 1, column 210; the limit is 200/,
  );
  limited({ schema: deep(200, (inner) => ({ items: inner })) as object }, /nested too deep/);
  limited({ schema: folded as object }, /too many values|can be combined in too many ways/);
});

test("a grammar so ambiguous that it cannot be followed says so, at the latest when it is followed", () => {
  const program = compileConstraint({ grammar: 'root ::= s\ns ::= s s s | s s | "a" | "aa" | ""' });
  try {
    walk(matcher(program, mixed), mixed, random(3), 10_000, 3000);
  } catch (error) {
    assert.match((error as Error).message, /so ambiguous/);
  }
});

test.run();
