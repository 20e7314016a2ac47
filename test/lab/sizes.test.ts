// `rwkv lab sizes`, as a user runs it, with the smallest of the models.
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { rwkv } from "../cli/rwkv.ts";
import { elements } from "./svg.ts";

const folder = "build/lab/sizes";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

test("a table, figures and a picture; no file is left behind", async () => {
  const out = ["--json", `${folder}/sizes.json`, "--svg", `${folder}/sizes.svg`, "--folder", folder];
  const quick = ["--prompt", "8", "--tokens", "2", "--runs", "1"];
  const { code, stdout, stderr } = await rwkv(["lab", "sizes", "--sizes", "0.1B", "--types", "q4_0", ...quick, ...out]);
  assert.is(code, 0, stderr);
  assert.match(stdout, /^0\.1B {2}q4_0 +0\.19 B +0\.\d\d GiB +0\.\d\d GiB +[\d.]+ s +[\d.]+\/s +[\d.]+\/s/m);
  const { rows, leftOut } = JSON.parse(readFileSync(`${folder}/sizes.json`, "utf8"));
  assert.equal(leftOut, []);
  assert.is(rows.length, 1);
  // 0.19 billion weights at 4.5 bits; in memory scales are wider.
  const [{ parameters, file, memory, state }] = rows;
  assert.ok(file > parameters * 0.56 && file < parameters * 0.75, `${file} bytes`);
  assert.ok(memory > file && memory < file + (64 << 20), `${memory} bytes`);
  // 12 layers of 12 heads of 64 x 64 f32, and some vectors.
  assert.ok(state > 12 * 12 * 64 * 64 * 4 && state < 12 * 12 * 64 * 64 * 4 * 1.1);
  elements(readFileSync(`${folder}/sizes.svg`, "utf8"));
  assert.equal(readdirSync(folder).sort(), ["sizes.json", "sizes.svg"]);
});

test("what cannot be had is left out, and said why", async () => {
  const { code, stdout } = await rwkv(["lab", "sizes", "--sizes", "2.9B", "--types", "f16,f32", "--folder", folder]);
  assert.is(code, 0);
  assert.match(stdout, /^left out: 2\.9B in f16: 5\.\d\d GiB of memory are more than WebAssembly can address$/m);
  assert.match(stdout, /^left out: 2\.9B in f32: \d+\.\d\d GiB of memory/m);
});

test("a command line that makes no sense is told before anything is written", async () => {
  for (const [words, said] of [
    [["--sizes", "7B"], /--sizes must be some of 0\.1B, 0\.4B, 1\.5B, 2\.9B, not "7B"/],
    [["--types", "q2_k"], /--types must be some of f32, .*, not "q2_k"/],
    [["--runs", "0"], /--runs must be an integer from 1 to 100, not "0"/],
    [["--folder", `${folder}/none`], /no file can be written in .*none: /],
    [["--with", "package.json"], /package\.json is not what rwkv lab sizes writes with --json/],
  ] as const) {
    const { code, stdout, stderr } = await rwkv(["lab", "sizes", ...words]);
    assert.is(code, 1);
    assert.is(stdout, "");
    assert.match(stderr, said);
  }
  assert.ok(!readdirSync(folder).some((name) => name.startsWith("rwkv-lab-")));
});

test.run();
