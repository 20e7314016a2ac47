// Regular expressions, against those of JavaScript.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compileConstraint } from "../../src/grammar/compile.ts";
import { bytesOnly, follows, matcher, mixed, random, walk } from "./walk.ts";
import { wrong } from "./wrong.ts";

const ALPHABET = ["a", "b", "-", "é", "\u{1f600}", "\n", "1", "_", " ", "\u2028"];
const texts = fc.array(fc.constantFrom(...ALPHABET), { maxLength: 7 }).map((parts) => parts.join(""));

const atom = fc.oneof(
  ...[
    fc.constantFrom("a", "b", "é", "\u{1f600}", "-", "1"),
    fc.constantFrom(".", "\\d", "\\w", "\\W", "\\s", "\\S", "\\D"),
  ],
  fc.constantFrom(
    "[ab]",
    "[^a]",
    "[a-é]",
    "[\\w-]",
    "[^\\d\\s]",
    "[]",
    "[^]",
    "[\\u{1f600}\\-_]",
    "\\p{L}",
    "\\P{Ll}",
    "[\\p{Lu}1]",
  ),
  fc.constantFrom("\\n", "\\u00e9", "\\u{1F600}", "\\uD83D\\uDE00", "\\x61", "\\cJ", "\\.", "\\uD83D"),
);
const { source } = fc.letrec<{ source: string; term: string; part: string }>((tie) => ({
  part: fc.oneof(
    { depthSize: "small" },
    atom,
    tie("source").chain((inner) => fc.constantFrom(`(${inner})`, `(?:${inner})`)),
  ),
  term: fc.oneof(
    { weight: 3, arbitrary: tie("part") },
    fc
      .tuple(tie("part"), fc.constantFrom("*", "+", "?", "{2}", "{1,2}", "{2,}", "*?", "+?", "{0,3}?"))
      .map(([part, times]) => part + times),
    fc.constantFrom("^", "$"),
  ),
  source: fc
    .array(fc.array(tie("term"), { maxLength: 4 }), { minLength: 1, maxLength: 2 })
    .map((parts) => parts.map((terms) => terms.join("")).join("|")),
}));

test("random expressions match the texts that JavaScript's match, as a whole", () => {
  let matches = 0;
  let all = 0;
  fc.assert(
    fc.property(source, fc.array(texts, { minLength: 20, maxLength: 20 }), (regex, list) => {
      const reference = new RegExp(`^(?:${regex})$`, "u");
      let program: ReturnType<typeof compileConstraint>;
      try {
        program = compileConstraint({ regex });
      } catch (error) {
        // Rarely, what is random is also hard: limits have tests of their own.
        if (/becomes too large/.test((error as Error).message)) return;
        assert.match((error as Error).message, /No text can follow regex/);
        for (const text of list) assert.not(reference.test(text), `${regex} matches ${JSON.stringify(text)}`);
        return;
      }
      for (const text of ["", ...ALPHABET, ...list]) {
        const expected = reference.test(text);
        assert.is(follows(matcher(program), text), expected, `/${regex}/ and ${JSON.stringify(text)}`);
        matches += Number(expected);
        all++;
      }
      const { text, ended } = walk(matcher(program, mixed), mixed, random(list.length), 5, 200);
      if (ended) assert.ok(reference.test(text), `/${regex}/ and ${JSON.stringify(text)}`);
    }),
    { numRuns: 400 },
  );
  assert.ok(matches > all / 20 && matches < all * 0.9, `${matches} of ${all}`);
});

test("random expressions are found within the strings that a schema allows, where JavaScript finds them", () => {
  fc.assert(
    fc.property(source, fc.array(texts, { minLength: 15, maxLength: 15 }), (pattern, list) => {
      const reference = new RegExp(pattern, "u");
      let program: ReturnType<typeof compileConstraint>;
      try {
        program = compileConstraint({ schema: { type: "string", pattern } });
      } catch (error) {
        // Rarely, what is random is also hard: limits have tests of their own.
        if (/becomes too large/.test((error as Error).message)) return;
        assert.match((error as Error).message, /No text can follow the schema: no string has/);
        for (const text of list) assert.not(reference.test(text), `${pattern} matches ${JSON.stringify(text)}`);
        return;
      }
      for (const text of ["", ...ALPHABET, ...list])
        assert.is(
          follows(matcher(program), JSON.stringify(text)),
          reference.test(text),
          `/${pattern}/, ${JSON.stringify(text)}`,
        );
      const { text, ended } = walk(matcher(program, mixed), mixed, random(1), 5, 200);
      if (ended) assert.ok(reference.test(JSON.parse(text)), `/${pattern}/, ${text}`);
    }),
    { numRuns: 250 },
  );
});

test("only whole characters of UTF-8 pass a class", () => {
  const program = compileConstraint({ regex: "." });
  const sample = [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff];
  for (const point of sample) assert.ok(follows(matcher(program), String.fromCodePoint(point)), point.toString(16));
  const bad = [[0x80], [0xc0, 0x80], [0xc1, 0xbf], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf0, 0x80, 0x80, 0x80]];
  bad.push([0xf4, 0x90, 0x80, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80], [0xff], [0xc3], [0xe6, 0x97], [0xc3, 0x41]);
  for (const bytes of bad) assert.not(follows(matcher(program), Uint8Array.from(bytes)), bytes.join());
});

test("a property means what the runtime's Unicode has for it", () => {
  for (const regex of ["\\p{L}", "\\P{L}", "\\p{Script=Greek}", "[\\p{N}a]", "\\s", "\\w", "."]) {
    const program = compileConstraint({ regex });
    const reference = new RegExp(`^(?:${regex})$`, "u");
    for (let point = 0; point <= 0x10ffff; point += 1 + (point > 0x3000 ? 97 : 0)) {
      if (point >= 0xd800 && point <= 0xdfff) continue;
      const text = String.fromCodePoint(point);
      assert.is(follows(matcher(program), text), reference.test(text), `${regex} U+${point.toString(16)}`);
    }
  }
});

test("what is refused, and what is wrong, is named with its place", () => {
  const refused = (regex: string, what: RegExp) => wrong(() => compileConstraint({ regex }), "unsupported", what);
  refused("a(?=b)", /lookahead at character 2/);
  refused("a(?!b)", /lookahead/);
  refused("(?<=a)b", /lookbehind at character 1/);
  refused("(?<!a)b", /lookbehind/);
  refused("(a)\\1", /reference back to a group at character 4/);
  refused("(?<x>a)\\k<x>", /reference back/);
  refused("\\bword", /word border \(\\b\) at character 1/);
  refused("(?i:a)", /modifiers/);
  const bad = (regex: string, what: RegExp) => wrong(() => compileConstraint({ regex }), "input", what);
  bad("(a", /parenthesis that is not closed, at character 1/);
  bad("a)", /closing parenthesis/);
  bad("[a", /bracket that is not closed, at character 1/);
  bad("a**", /nothing to repeat, at character 3/);
  bad("a{2,1}", /ends below its start/);
  bad("a{", /no \{m,n\}/);
  bad("}", /with a \\ before it/);
  bad("\\q", /unknown escape \\q/);
  bad("\\p{Nothing}", /unknown property/);
  bad("[b-a]", /ends below its start/);
  bad("(?<x>a)(?<x>b)", /no regular expression/);
  bad("a\\", /\\ at the end/);
  bad("a^b", /No text can follow regex/);
  bad("[]", /No text can follow regex/);
  wrong(() => compileConstraint({ regex: 5 as never }), "input", /regex must be a string/);
});

test("an expression that is long but simple is no trouble", () => {
  const words = Array.from({ length: 500 }, (_, i) => `word${i}`).join("|");
  const program = compileConstraint({ regex: `((${words}), ){1,10}\\p{L}{0,300}\\d{1,10000}` });
  assert.ok(follows(matcher(program, bytesOnly), "word1, word499, étéыы0123"));
});

test.run();
