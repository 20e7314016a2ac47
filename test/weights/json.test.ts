import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseJson } from "../../src/bytes/json.ts";
import type { RwkvError } from "../../src/errors.ts";
import { decodeState } from "../../src/model/state.ts";
import { readTokenizerJson } from "../../src/text/tokenizer-json.ts";
import { openWeights } from "../../src/weights/open.ts";
import { refused } from "../refused.ts";
import { entry } from "./dialects.ts";
import { source } from "./numbers.ts";
import { joined, u32 } from "./support.ts";
import { safetensors, safetensorsOf } from "./writers.ts";

const IDENTITY = { model: "m", version: "7", layers: 1, width: 8, fingerprint: "", numerics: 1 };
const utf8 = (text: string) => new TextEncoder().encode(text);
const parse = (text: string) => parseJson("some.json", utf8(text));
const parsing = async (text: string) => parse(text);

/** Texts beyond the limits, as members of an object. */
const EXCESSIVE: [what: string, members: string, pattern: RegExp][] = [
  [
    "brackets",
    `"a":${"[".repeat(2_000_000)}`,
    /its JSON is nested deeper than 8 \(byte \d+ of it\), unlike any model's/,
  ],
  ["nested objects", `"a":${'{"a":'.repeat(9)}1${"}".repeat(9)}`, /nested deeper than 8/],
  ["objects", `"a":[${"{},".repeat(200_000)}0]`, /more than 200000 objects and lists/],
  ["lists", `"a":[${"[],".repeat(200_000)}0]`, /more than 200000 objects and lists/],
  ["keys", `${'"a":0,'.repeat(350_000)}"b":0`, /more than 350000 keys/],
  ["values", `"a":[${"0,".repeat(1_000_001)}0]`, /more than 1000000 values/],
];

for (const [what, members, pattern] of EXCESSIVE)
  test(`too many ${what}: in a header, an index and a config.json`, async () => {
    const text = `{${members}}`;
    await refused(parsing(text), "weights", /^some\.json: /, pattern);
    assert.throws(
      () => readTokenizerJson(text, "tokenizer.json"),
      (error: RwkvError) => error.code === "weights" && pattern.test(error.message),
    );
    const state = joined(new TextEncoder().encode("RWKVSTA2"), Uint8Array.from(u32(text.length)), utf8(text));
    await refused((async () => decodeState(state, IDENTITY, []))(), "state", /header/);
    const header = openWeights(source("some.safetensors", safetensorsOf(text)));
    await refused(header, "weights", /^some\.safetensors \(header\): /, pattern);
    const index = openWeights(source("model.safetensors.index.json", utf8(text)));
    await refused(index, "weights", /^model\.safetensors\.index\.json: /, pattern);
    if (text.length > 1 << 20) return; // no config.json may be that long
    const tiny = safetensors([entry("model.layers.0.attn.k_k", [4], [1, 2, 3, 4])]);
    const config = openWeights(source("some.safetensors", tiny, { "config.json": utf8(text) }));
    await refused(config, "weights", /^config\.json: /, pattern);
  });

test("what is inside strings is not counted, whatever is escaped there", () => {
  for (const value of [
    "[".repeat(300_000),
    '"[{'.repeat(100),
    '\\"[{'.repeat(100),
    "\\".repeat(99),
    ",:".repeat(1_100_000),
    "é\u2028[😀".repeat(50),
  ])
    assert.equal(parse(JSON.stringify({ [value]: [value, { value }] })), { [value]: [value, { value }] });
});

test("a string that ends counts no longer: an escaped backslash before the quote", async () => {
  await refused(parsing(`["\\\\",${"[".repeat(9)}`), "weights", /nested deeper than 8/);
});

test("what is at the limits is read", () => {
  assert.equal(parse(`${"[".repeat(8)}1${"]".repeat(8)}`), [[[[[[[[1]]]]]]]]);
  assert.is((parse(`[${"[],".repeat(199_998)}[]]`) as unknown[]).length, 199_999);
  assert.is((parse(`[${"0,".repeat(1_000_000)}0]`) as unknown[]).length, 1_000_001);
  assert.equal(parse(`{${'"a":0,'.repeat(349_999)}"b":0}`), { a: 0, b: 0 });
});

test("what is no JSON", async () => {
  for (const text of ["", "]]]", '"', '"\\', "{]", "nul", "[1,]"])
    await refused(parsing(text), "weights", /^some\.json: what should be JSON is not; the file is damaged$/);
});

test.run();
