// `rwkv quantize`, as a user would run it. What it does to the numbers is tested in test/model/quantize.test.ts.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fixture } from "../weights/support.ts";
import { rwkv } from "./rwkv.ts";

const folder = "build/cli/quantize";
const input = "test/fixtures/v7.f16.gguf";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const at = (name: string) => `${folder}/${name}`;

test("writes a smaller model that runs, the same bytes each time", async () => {
  for (const name of ["one.gguf", "two.gguf"])
    assert.equal(await rwkv(["quantize", input, at(name), "q8_0"]), { code: 0, stdout: "", stderr: "" });
  const one = readFileSync(at("one.gguf"));
  assert.is(Buffer.compare(one, readFileSync(at("two.gguf"))), 0);
  assert.ok(one.length < fixture("v7.f16.gguf").length * 0.8);
  const { code, stdout } = await rwkv(["run", "--model", at("one.gguf"), "--temp", "0", "--max-tokens", "5", "abc"]);
  assert.match(stdout, /^abc.+/s);
  assert.is(code, 0);
});

test("a file that exists is replaced, through links too", async () => {
  writeFileSync(at("old.gguf"), "old");
  symlinkSync("old.gguf", at("link.gguf"));
  await rwkv(["quantize", input, at("link.gguf"), "bf16"]);
  assert.is(readFileSync(at("old.gguf")).toString("latin1", 0, 4), "GGUF");
});

test("a failure leaves what was there, and nothing else", async () => {
  const damaged = fixture("v7.f16.gguf");
  damaged.fill(0xff, damaged.length - 64); // NaN at the end of the last tensor
  writeFileSync(at("damaged.gguf"), damaged);
  writeFileSync(at("kept.gguf"), "precious");
  const before = readdirSync(folder);
  for (const source of [at("damaged.gguf"), at("none.gguf"), folder]) {
    const { code, stderr } = await rwkv(["quantize", source, at("kept.gguf"), "q8_0"]);
    assert.match(stderr, /^rwkv: build\/cli\/quantize[^\n]+\n$/);
    assert.is(code, 1);
  }
  assert.is(readFileSync(at("kept.gguf"), "utf8"), "precious");
  assert.equal(readdirSync(folder), before);
});

writeFileSync(at("in.gguf"), fixture("v7.f16.gguf"));
symlinkSync("in.gguf", at("also-in.gguf"));
const refusals: [args: string[], message: RegExp][] = [
  [[at("in.gguf"), at("in.gguf"), "q8_0"], /in\.gguf is the input itself/],
  [[at("in.gguf"), at("also-in.gguf"), "q8_0"], /also-in\.gguf is the input itself/],
  [[input, folder, "q8_0"], /is not a file that can be replaced/],
  [[input, "/dev/null", "q8_0"], /null is not a file that can be replaced/],
  [[input, at("no/where.gguf"), "q8_0"], /cannot write a file in .*no: there is no such folder/],
  [[input, at("in.gguf/out.gguf"), "q8_0"], /cannot write a file in .*in\.gguf: it is not in a folder/],
  [[input, at("out.gguf"), "q4_0"], /<TYPE> must be one of f32, f16, bf16, q8_0, not "q4_0"/],
  [[input, at("out.gguf")], /<TYPE> is missing/],
  [[input], /<OUTPUT> is missing/],
  [[], /<INPUT> is missing/],
  [[input, at("out.gguf"), "q8_0", "more"], /"more" is one word too many/],
  [[input, at("out.gguf"), "--fast", "q8_0"], /unknown option --fast/],
  [["test/fixtures/quants.gguf", at("out.gguf"), "q8_0"], /architecture "none"/],
];

for (const [args, message] of refusals)
  test(`refused in one sentence: rwkv quantize ${args.join(" ")}`, async () => {
    const before = readdirSync(folder);
    const { code, stdout, stderr } = await rwkv(["quantize", ...args]);
    assert.match(stderr, message);
    assert.match(stderr, /^rwkv: [^\n]+\n$/);
    assert.is(stdout, "");
    assert.is(code, 1);
    assert.equal(readdirSync(folder), before);
  });

test("the shipped model is the one that its card describes", () => {
  const sha256 = createHash("sha256").update(readFileSync("weights/stories-7m.q8_0.gguf")).digest("hex");
  assert.match(readFileSync("weights/README.md", "utf8"), sha256);
});

test.run();
