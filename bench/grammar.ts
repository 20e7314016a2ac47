// What constraints cost: making the trie of a vocabulary, compiling, and a mask before each token, along texts that a model might
// write. "First" is the first text under a constraint, where every state is new; "again" are more texts after it.
import { readFileSync } from "node:fs";
import { type Constraint, compileConstraint } from "../src/grammar/compile.ts";
import { Matcher } from "../src/grammar/matcher.ts";
import { TokenTrie } from "../src/grammar/trie.ts";
import { unpackVocabulary } from "../src/text/packed.ts";
import { WorldTokenizer } from "../src/text/world.ts";
import { JSON_GRAMMAR } from "../test/grammar/json-grammar.ts";
import { median } from "./lib/measure.ts";
import { list, options } from "./lib/options.ts";
import { Report } from "./lib/report.ts";

const person = {
  name: "Zoë Müller",
  age: 34,
  email: "zoe@example.org",
  address: { street: "12 Garden Lane", city: "Basel", country: "CH" },
  interests: ["chess", "long walks", "bread"],
  bio: "She grew up by a river, learned to row before she could ride a bicycle, and still gets up early to be on the water when the fog lifts.",
};
const text = { type: "string" };
const schema = {
  type: "object",
  properties: {
    name: text,
    age: { type: "integer", minimum: 0, maximum: 150 },
    email: text,
    address: {
      type: "object",
      properties: { street: text, city: text, country: { enum: ["CH", "DE", "FR", "IT"] } },
      required: ["street", "city"],
    },
    interests: { type: "array", items: text, maxItems: 10 },
    bio: text,
  },
  required: ["name", "age"],
};
const bounded = structuredClone(schema) as typeof schema & { properties: Record<string, object> };
Object.assign(bounded.properties, {
  name: { type: "string", minLength: 1, maxLength: 80 },
  bio: { type: "string", maxLength: 500 },
});

const arithmetic = String.raw`
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] ws term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*`;

const written = [person, { ...person, name: "Ali", bio: 'Likes "quotes" and\nlines.' }].map((value) =>
  JSON.stringify(value, undefined, 2),
);
const prose = readFileSync("bench/stories.txt", "utf8").slice(0, 1500);
const cases: Record<string, { constraint: Constraint; texts: string[] }> = {
  schema: { constraint: { schema }, texts: written },
  "schema with lengths": { constraint: { schema: bounded }, texts: written },
  "any JSON": { constraint: { schema: true }, texts: written },
  "JSON in GBNF": { constraint: { grammar: JSON_GRAMMAR }, texts: written },
  arithmetic: {
    constraint: { grammar: arithmetic },
    texts: ["(alpha + 12) * (beta_2 / (3 - gamma)) = 144\nx = 7\n", "width*height - 2*(border + padding) = area\n"],
  },
  regex: {
    constraint: { regex: String.raw`(\d{4}-\d\d-\d\d \d\d:\d\d [A-Z]+ [\w .,'-]+\n)+` },
    texts: ["2024-05-17 09:31 INFO the engine started, all is well\n2024-05-17 09:32 WARN it is warm\n"],
  },
  "words of \\p{L}": {
    constraint: { regex: String.raw`(\p{L}+[ ,.]+)+` },
    texts: ["Once upon a time, in a small village, ", "Straße, façade, 日本語 и мир. "],
  },
  "banned phrases": {
    constraint: {
      bannedPhrases: ["delve", "tapestry", "As an AI", "in conclusion", "it is important to note", "\u2014"],
    },
    texts: [prose],
  },
  "schema phrases banned": { constraint: { schema, bannedPhrases: ["delve", "tapestry", "As an AI"] }, texts: written },
};

const chosen = options(
  {
    cases: Object.keys(cases).join(","),
    /** How often each constraint is compiled, and its texts are gone through. */
    runs: "20",
    json: undefined as string | undefined,
  },
  { cases: Object.keys(cases) },
);
const runs = Number(chosen.runs);

const vocabulary = await unpackVocabulary(new Uint8Array(readFileSync("weights/world.vocab")));
const tokenizer = new WorldTokenizer(vocabulary, 65536);
const report = new Report("Grammars", chosen.json);

const ms = (run: () => void): number => {
  const from = performance.now();
  run();
  return performance.now() - from;
};
const builds = Array.from({ length: runs }, () => ms(() => new TokenTrie(vocabulary.tokens)));
const trie = new TokenTrie(vocabulary.tokens);
const tries = report.table("The trie of World's tokens", [
  "vocabulary",
  "tokens",
  "nodes",
  "MB",
  "first, ms",
  "median, ms",
]);
tries("World", trie.size, trie.nodes, trie.memory / 1e6, builds[0], median(builds));

const compile = report.table("Compiling", ["constraint", "states", "kB", "first, ms", "median, ms"]);
const masks = report.table(`A mask over ${trie.size} tokens, microseconds`, [
  "constraint",
  "tokens",
  "first",
  "first p99",
  "first max",
  "again",
  "again p99",
  "accept",
  "fork",
]);
const quantile = (values: number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];

for (const name of list(chosen.cases)) {
  const found = cases[name];
  if (!found) throw new Error(`There is no case ${name}; there are ${Object.keys(cases).join(", ")}.`);
  const { constraint, texts } = found;
  const times = Array.from({ length: runs }, () => ms(() => compileConstraint(constraint)));
  const program = compileConstraint(constraint);
  const bytes = Object.values(program).reduce((sum, part) => sum + (typeof part === "number" ? 8 : part.byteLength), 0);
  compile(name, program.final.length, bytes / 1e3, times[0], median(times));

  // A trie of its own, which remembers nothing.
  const fresh = new TokenTrie(trie.tokens);
  const tokens = texts.map((one) => tokenizer.encode(one));
  const mask = new Uint32Array((trie.size + 31) >>> 5);
  const [first, again, accept, fork]: number[][] = [[], [], [], []];
  for (let run = 0; run < runs; run++)
    for (const [i, ids] of tokens.entries()) {
      const matcher = new Matcher(program, fresh, [0]);
      for (const id of ids) {
        (run === 0 && i === 0 ? first : again).push(1e3 * ms(() => matcher.mask(mask)));
        fork.push(1e3 * ms(() => matcher.fork()));
        accept.push(1e3 * ms(() => matcher.accept(id)));
      }
    }
  const count = tokens.reduce((sum, ids) => sum + ids.length, 0);
  masks(
    ...[name, count, median(first), quantile(first, 0.99), quantile(first, 1)],
    ...[median(again), quantile(again, 0.99), median(accept), median(fork)],
  );
}
report.end();
