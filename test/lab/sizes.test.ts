// `rwkv lab sizes`: its models and its measurement on one that takes a moment, its command line as a user runs it.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { measure } from "../../src/lab/measure.ts";
import { synthetic, WORLD } from "../../src/lab/synthetic.ts";
import { writeSynthetic } from "../../src/lab/synthetic-file.ts";
import { rwkv } from "../cli/rwkv.ts";
import { elements } from "./svg.ts";

const folder = "build/lab/sizes";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

test("a synthetic file is a model of the size and type, and measured as one", async () => {
  const { load }: typeof import("../../src/index.ts") = await import(pathToFileURL(resolve("dist/index.js")).href);
  const size = { layers: 2, width: 64 };
  const path = `${folder}/small.gguf`;
  const kernels = new WebAssembly.Module(readFileSync("dist/kernels/plain.wasm"));
  const vocabulary = new Uint8Array(readFileSync("weights/world.vocab"));
  await writeSynthetic(path, "small", size, "q4_0", { kernels, vocabulary });
  const found = await measure(load, path, { threads: 1, prompt: 8, tokens: 2, runs: 1 });
  const numbers = [...synthetic("7", { ...size, vocab: WORLD }, "small").tensors.values()].map(
    ({ bytes }) => bytes / 2,
  );
  assert.is(
    found.parameters,
    numbers.reduce((a, b) => a + b, 0),
  );
  assert.ok(found.prefill > 0 && found.decode > 0 && found.loadSeconds > 0);
  assert.is(found.file, readFileSync(path).length);
  // 4.5 bits for nearly all; the rest is the vocabulary.
  assert.ok(found.file > (found.parameters * 4.5) / 8 && found.file < (found.parameters * 4.5) / 8 + 2e6);
  assert.ok(found.state > 2 * 64 * 64 * 4);
  rmSync(path);
});

const ROW = {
  size: "0.1B",
  type: "q8_0",
  parameters: 191e6,
  file: 2e8,
  memory: 3e8,
  state: 2432256,
  loadSeconds: 0.5,
  prefill: 500,
  decode: 100,
};
const EARLIER = { experiment: "sizes", threads: 2, build: "plain-threads", prompt: 128, tokens: 24, runs: 3 };

test("what cannot be had is left out, and said why; what was measured earlier is shown and drawn", async () => {
  writeFileSync(`${folder}/earlier.json`, JSON.stringify({ ...EARLIER, rows: [{ ...ROW, size: "0.4B" }, ROW] }));
  const out = ["--json", `${folder}/sizes.json`, "--svg", `${folder}/sizes.svg`, "--folder", folder];
  const given = ["--sizes", "2.9B", "--types", "f16,f32", "--with", `${folder}/earlier.json`];
  const { code, stdout, stderr } = await rwkv(["lab", "sizes", ...given, ...out]);
  assert.is(code, 0, stderr);
  assert.match(stdout, /^left out: 2\.9B in f16: 5\.\d\d GiB of memory are more than WebAssembly can address$/m);
  assert.match(stdout, /^left out: 2\.9B in f32: \d+\.\d\d GiB of memory/m);
  assert.match(stdout, /^0\.1B {2}q8_0 +0\.19 B +0\.19 GiB +0\.28 GiB +0\.500 s +500\/s +100\/s +2\.32 MiB$/m);
  const { rows, leftOut } = JSON.parse(readFileSync(`${folder}/sizes.json`, "utf8"));
  assert.equal(rows, [ROW, { ...ROW, size: "0.4B" }]);
  assert.is(leftOut.length, 2);
  const texts = elements(readFileSync(`${folder}/sizes.svg`, "utf8")).filter(({ name }) => name === "text");
  for (const word of ["Writing", "Reading", "Memory", "Loading", "q8_0"])
    assert.ok(
      texts.some(({ text }) => text === word),
      word,
    );
});

test("a command line that makes no sense is told before anything is written", async () => {
  writeFileSync(`${folder}/broken.json`, '{"experiment":"sizes","rows":[{"size":"0.1B"}]}');
  for (const [words, said] of [
    [["--sizes", "7B"], /--sizes must be some of 0\.1B, 0\.4B, 1\.5B, 2\.9B, not "7B"/],
    [["--types", "q2_k"], /--types must be some of f32, .*, not "q2_k"/],
    [["--runs", "0"], /--runs must be an integer from 1 to 100, not "0"/],
    [["--folder", `${folder}/none`], /no file can be written in .*none: /],
    [["--with", "package.json"], /package\.json is not what rwkv lab sizes writes with --json/],
    [["--with", `${folder}/broken.json`], /broken\.json is not what rwkv lab sizes writes with --json/],
  ] as const) {
    const { code, stdout, stderr } = await rwkv(["lab", "sizes", ...words]);
    assert.is(code, 1);
    assert.is(stdout, "");
    assert.match(stderr, said);
  }
  assert.ok(!readdirSync(folder).some((name) => name.startsWith("rwkv-lab-")), "temporary folders are gone");
});

test.run();
