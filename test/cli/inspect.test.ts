// `rwkv inspect`, as a user would run it. What it finds is tested in test/api/inspect.test.ts.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fla } from "../weights/dialects.ts";
import { fixture } from "../weights/support.ts";
import { safetensors } from "../weights/writers.ts";
import { rwkv } from "./rwkv.ts";

const folder = "build/cli/inspect";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

test("files of all kinds in a few lines", async () => {
  for (const [name, version] of [
    ["v4.bf16.pth", "4"],
    ["v5.2.bf16.pth", "5.2"],
    ["v6.bf16.pth", "6"],
    ["v7.q8_0.gguf", "7"],
    ["v7.small.safetensors", "7"],
  ] as const) {
    const { code, stdout, stderr } = await rwkv(["inspect", `test/fixtures/${name}`]);
    assert.equal([code, stderr], [0, ""], name);
    assert.match(stdout, new RegExp(`^model .*: RWKV-${version.replace(".", "\\.")}, [\\d.]+ thousand parameters\n`));
    assert.match(stdout, /^sizes {7}\d layers, width (128|48)/m);
    assert.match(stdout, /^memory {6}[\d.]+ MiB with \d+ threads?, of which the weights take/m);
    assert.not.match(stdout, /undefined|NaN|\[object/);
  }
});

test("JSON is the whole report, and the tensors only if wanted", async () => {
  const plain = JSON.parse((await rwkv(["inspect", "test/fixtures/v7.q8_0.gguf", "--json"])).stdout);
  assert.is(plain.version, "7");
  assert.not("tensors" in plain);
  const all = JSON.parse((await rwkv(["inspect", "--json", "--tensors", "test/fixtures/v7.q8_0.gguf"])).stdout);
  assert.is(
    all.tensors.length,
    Object.values<{ tensors: number }>(all.types).reduce((sum, { tensors }) => sum + tensors, 0),
  );
  const { stdout } = await rwkv(["inspect", "test/fixtures/v7.bf16.pth", "--tensors"]);
  assert.match(stdout, /^blocks\.0\.att\.w1 +bf16 +32 x 128 \(turned\) +8\.0 KiB$/m);
});

test("memory is for the threads and weights that are asked for", async () => {
  const memory = async (...args: string[]) =>
    JSON.parse((await rwkv(["inspect", "test/fixtures/v7.f32.gguf", "--json", ...args])).stdout).memory;
  assert.is((await memory("--threads", "3")).threads, 3);
  assert.ok((await memory("--threads", "1", "--weights", "q8_0")).weights < (await memory("--threads", "1")).weights);
});

test("what a file calls its tensors does not steer the terminal, nor forge lines", async () => {
  const name = "\x1b[31mred\nmodel       forged\u009b";
  const bytes = safetensors([...(await fla()), { name, shape: [1], type: "F32", data: new Uint8Array(4) }]);
  writeFileSync(`${folder}/odd.safetensors`, bytes);
  const { stdout } = await rwkv(["inspect", `${folder}/odd.safetensors`]);
  assert.match(stdout, /^left out {4}\[31mred model {7}forged: names that mean nothing here$/m);
  const { unknownTensors } = JSON.parse((await rwkv(["inspect", `${folder}/odd.safetensors`, "--json"])).stdout);
  assert.equal(unknownTensors, [name]);
});

writeFileSync(`${folder}/cut.gguf`, fixture("v7.f32.gguf").subarray(0, 300_000));
writeFileSync(`${folder}/page.gguf`, "<!DOCTYPE html><html>");
const refusals: [args: string[], message: RegExp][] = [
  [[], /<MODEL> is missing/],
  [["none.gguf"], /none\.gguf cannot be opened: there is no such file/],
  [[folder], /./],
  [[`${folder}/cut.gguf`], /cut\.gguf is cut off/],
  [[`${folder}/page.gguf`], /page\.gguf is a web page/],
  [["test/fixtures/quants.gguf"], /architecture "none"/],
  [
    ["test/fixtures/v7.q8_0.gguf", "--threads", "many"],
    /--threads must be auto or an integer from 0 to 64, not "many"/,
  ],
  [["test/fixtures/v7.q8_0.gguf", "--weights", "q9"], /weights must be one of f32, .*, not "q9"/],
  [["test/fixtures/v7.q8_0.gguf", "--json=yes"], /--json takes no value/],
  [["test/fixtures/v7.q8_0.gguf", "--colour"], /unknown option --colour/],
];

for (const [args, message] of refusals)
  test(`refused in one sentence: rwkv inspect ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await rwkv(["inspect", ...args]);
    assert.match(stderr, message);
    assert.match(stderr, /^rwkv: [^\n]+\n$/);
    assert.is(stdout, "");
    assert.is(code, 1);
  });

test.run();
