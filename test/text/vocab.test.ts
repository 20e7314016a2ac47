// The World text format: what Python would read is read, anything else is refused with its line.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { byteVocabulary, parseVocabulary } from "../../src/text/vocab.ts";

const encoder = new TextEncoder();
const token = (literal: string, length: number) => [...parseVocabulary(`7 ${literal} ${length}\n`).tokens[7]];
const refuses = (text: string | Uint8Array, message: RegExp) =>
  assert.throws(
    () => parseVocabulary(text, "v.txt"),
    (error: unknown) => {
      assert.instance(error, RwkvError);
      assert.is((error as RwkvError).code, "weights");
      assert.match((error as RwkvError).message, message);
      return true;
    },
  );

test("the small model's vocabulary", () => {
  const { kind, tokens, bos, eos } = parseVocabulary(readFileSync("test/fixtures/stories-7m.vocab.txt"));
  assert.is(kind, "world");
  assert.is(tokens.length, 4096);
  assert.is(bos, 0);
  assert.equal(eos, [0]);
  for (let byte = 0; byte < 256; byte++) assert.equal([...tokens[byte + 1]], [byte]);
  assert.is(new TextDecoder().decode(tokens[4095]), " hurried");
});

test("quotes and spaces within the literal", () => {
  assert.equal(token("'a'", 1), [0x61]);
  assert.equal(token(`"'"`, 1), [0x27]);
  assert.equal(token(`'"'`, 1), [0x22]);
  assert.equal(token(`'\\''`, 1), [0x27]);
  assert.equal(token(`"\\""`, 1), [0x22]);
  assert.equal(token("'   '", 3), [32, 32, 32]);
  assert.equal(token("' 5 '", 3), [32, 53, 32]);
  assert.is(parseVocabulary("1 'a' 1\n2 '' 0\n3 b'' 0\n").tokens[2].length, 0);
  assert.equal(token("b'ab'", 2), [0x61, 0x62]);
  assert.equal(token(`B"'"`, 1), [0x27]);
});

test("every escape of a string", () => {
  assert.equal(token("'\\\\\\a\\b\\f\\n\\r\\t\\v'", 8), [0x5c, 7, 8, 12, 10, 13, 9, 11]);
  assert.equal(token("'\\x41\\xe9\\xff'", 5), [0x41, 0xc3, 0xa9, 0xc3, 0xbf]);
  assert.equal(token("'\\u00e9\\u20AC'", 5), [0xc3, 0xa9, 0xe2, 0x82, 0xac]);
  assert.equal(token("'\\U0001f642'", 4), [0xf0, 0x9f, 0x99, 0x82]);
  assert.equal(token("'\\0\\7\\101\\1018\\08'", 7), [0, 7, 0x41, 0x41, 0x38, 0, 0x38]);
  assert.equal(token("'\\777'", 2), [0xc7, 0xbf]);
  assert.equal(token("'\\q\\8'", 4), [0x5c, 0x71, 0x5c, 0x38]);
  assert.equal(token("'é€🙂'", 9), [...encoder.encode("é€🙂")]);
});

test("bytes take bytes, and know no \\u", () => {
  assert.equal(token("b'\\xff\\x00\\n\\377\\''", 5), [255, 0, 10, 255, 0x27]);
  assert.equal(token("b'\\u00e9\\U'", 8), [...encoder.encode("\\u00e9\\U")]);
});

test("line endings, missing last newline, byte order mark, empty lines, gaps, any order", () => {
  for (const text of [
    "2 'b' 1\n1 'a' 1\n",
    "1 'a' 1\r\n2 'b' 1",
    "\ufeff1 'a' 1\n\n\r\n2 'b' 1\r\n",
    "1 'a' 1\n2 'b' 1\r",
  ])
    for (const input of [text, encoder.encode(text)])
      assert.equal(
        parseVocabulary(input).tokens.map((bytes) => [...bytes]),
        [[], [0x61], [0x62]],
      );
  const { tokens } = parseVocabulary("5 'a' 1\n");
  assert.is(tokens.length, 6);
  assert.is(tokens[3].length, 0);
});

test("U+2028 and other unusual spaces are text, not line ends", () => {
  assert.equal(token("'\u2028\u0085\u00a0'", 7), [...encoder.encode("\u2028\u0085\u00a0")]);
});

test("what is wrong is said with its line", () => {
  refuses("1 'a' 1\n2 'b' 2\n", /^v\.txt, line 2: token 2 has 1 bytes, but the line says 2/);
  refuses("1 'a' 1\n\n1 'b' 1\n", /line 3: token 1 was already given on line 1/);
  refuses("1 'A' 1\n2 b'\\x41' 1\n", /line 2: token 2 has the same bytes as the one on line 1/);
  refuses("0 'a' 1", /token 0 separates documents/);
  refuses("1048576 'a' 1", /out of range/);
  refuses("999999999 'a' 1", /out of range/);
  for (const line of [
    "a",
    "1",
    "1 'a'",
    "'a' 1",
    "-1 'a' 1",
    "1 'a' x",
    "1 'a' 1 ",
    "1 'a\rb' 3",
    "1\t'a'\t1",
    "1e1 'a' 1",
  ])
    refuses(line, /line 1: not of the form/);
  refuses("1 a 1", /not in quotes/);
  refuses("1 r'a' 1", /not in quotes/);
  for (const literal of ["'", "'a", "'a\"", "'a\\'", "b'", 'b"']) refuses(`1 ${literal} 1`, /closing quote is missing/);
  for (const literal of ["'a'b'", "'''a'''", "'a' 'b'"]) refuses(`1 ${literal} 1`, /after the token's closing quote/);
  refuses("1 '\\x4' 1", /\\x needs 2 hexadecimal/);
  refuses("1 '\\x+1' 1", /\\x needs 2 hexadecimal/);
  refuses("1 b'\\x' 1", /\\x needs 2 hexadecimal/);
  refuses("1 '\\u12' 1", /\\u needs 4 hexadecimal/);
  refuses("1 '\\U0001f64' 1", /\\U needs 8 hexadecimal/);
  refuses("1 '\\U00110000' 4", /U\+110000 is no character/);
  refuses("1 '\\ud83d\\ude42' 4", /U\+D83D is no character/);
  refuses("1 '\ud83d' 3", /U\+D83D is no character/);
  refuses("1 '\\N{DASH}' 3", /by name/);
  refuses("1 b'é' 2", /not ASCII/);
  refuses("1 b'\\400' 1", /is no byte/);
  refuses("", /no tokens/);
  refuses("\n\n", /no tokens/);
  refuses("1 '' 0", /no tokens/);
  refuses(Uint8Array.of(0x31, 0x20, 0x27, 0xff, 0x27, 0x20, 0x31), /not UTF-8/);
});

test("limits", () => {
  assert.is(parseVocabulary(`1 '${"a".repeat(1024)}' 1024`).tokens[1].length, 1024);
  refuses(`1 '${"a".repeat(1025)}' 1025`, /limit is 1024/);
  refuses(`1 '${"a".repeat(20000)}' 20000`, /line 1: too long/);
  refuses("\n".repeat((1 << 24) + 1), /too large/);
});

/** The literal that Python's `repr` gives, for what it can be. */
function repr(bytes: Uint8Array): string {
  let text: string | undefined;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {}
  const quote = text?.includes("'") && !text.includes('"') ? '"' : "'";
  const hex = (n: number, digits: number) => n.toString(16).padStart(digits, "0");
  const written = (point: number): string => {
    const character = String.fromCodePoint(point);
    if (character === "\\" || character === quote) return `\\${character}`;
    if (point < 0x20 || point === 0x7f || (text === undefined && point > 0x7f)) return `\\x${hex(point, 2)}`;
    if (/[\p{C}\p{Z}]/u.test(character) && character !== " ")
      return point > 0xffff ? `\\U${hex(point, 8)}` : `\\u${hex(point, 4)}`;
    return character;
  };
  return text === undefined
    ? `b${quote}${[...bytes].map(written).join("")}${quote}`
    : `${quote}${[...text].map((c) => written(c.codePointAt(0)!)).join("")}${quote}`;
}

test("whatever repr writes is read back", () => {
  const text = fc.string({ unit: "binary", maxLength: 20 }).map((s) => encoder.encode(s));
  const quotes = fc.string({ unit: fc.constantFrom("'", '"', "\\", " ", "n", "\n"), maxLength: 8 });
  const bytes = fc.oneof(
    text,
    fc.uint8Array({ maxLength: 20 }),
    quotes.map((s) => encoder.encode(s)),
  );
  fc.assert(
    fc.property(bytes, (value) => {
      fc.pre(value.length > 0);
      assert.equal(token(repr(value), value.length), [...value]);
    }),
    { numRuns: 500 },
  );
});

test("damaged files give a typed error or a vocabulary, nothing else", () => {
  const lines = readFileSync("test/fixtures/stories-7m.vocab.txt", "latin1").split("\n").slice(0, 300).join("\n");
  const bytes = Uint8Array.from(Buffer.from(lines, "latin1"));
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, value, end) => {
      const damaged = bytes.slice(0, end);
      if (at < end) damaged[at] = value;
      try {
        assert.is(parseVocabulary(damaged).kind, "world");
      } catch (error) {
        assert.instance(error, RwkvError);
      }
    }),
    { numRuns: 300 },
  );
});

test("byte vocabularies", () => {
  const { kind, tokens, bos, eos } = byteVocabulary(320);
  assert.is(kind, "bytes");
  assert.is(bos, undefined);
  assert.equal(eos, []);
  assert.is(tokens.length, 320);
  for (const [id, bytes] of tokens.entries()) assert.equal([...bytes], id < 256 ? [id] : []);
  assert.is(byteVocabulary(100).tokens.length, 100);
  for (const size of [0, -1, 1.5, Number.NaN, (1 << 20) + 1])
    assert.throws(
      () => byteVocabulary(size),
      (error: unknown) => error instanceof RwkvError && error.code === "input",
    );
});

test.run();
