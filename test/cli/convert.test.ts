// `rwkv convert` and `rwkv quantize`, as a user would run them. What they do to the numbers is tested in test/model/convert.test.ts.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fla } from "../weights/dialects.ts";
import { fixture } from "../weights/support.ts";
import { safetensors } from "../weights/writers.ts";
import { rwkv } from "./rwkv.ts";

const folder = "build/cli/convert";
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
    assert.match(stderr, /^rwkv: build\/cli\/convert[^\n]+\n$/);
    assert.is(code, 1);
  }
  assert.is(readFileSync(at("kept.gguf"), "utf8"), "precious");
  assert.equal(readdirSync(folder), before);
});

writeFileSync(at("in.gguf"), fixture("v7.f16.gguf"));
symlinkSync("in.gguf", at("also-in.gguf"));
mkdirSync(at("folder.gguf"));
const out = at("out.gguf");
const pth = "test/fixtures/v7.bf16.pth";
const refusals: [args: string[], message: RegExp][] = [
  [["quantize", at("in.gguf"), at("in.gguf"), "q8_0"], /in\.gguf is the input itself/],
  [["quantize", at("in.gguf"), at("also-in.gguf"), "q8_0"], /also-in\.gguf is the input itself/],
  [["convert", at("in.gguf"), at("in.gguf")], /in\.gguf is the input itself/],
  [["quantize", input, at("folder.gguf"), "q8_0"], /is not a file that can be replaced/],
  [["quantize", input, at("no/where.gguf"), "q8_0"], /cannot write a file in .*no: there is no such folder/],
  [["quantize", input, at("in.gguf/out.gguf"), "q8_0"], /cannot write a file in .*in\.gguf: it is not in a folder/],
  [
    ["quantize", input, out, "q4_k"],
    /<TYPE> must be one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, q4_mix, not "q4_k"/,
  ],
  [["convert", input, out, "--type", "q4_k"], /--type must be one of f32, .*, not "q4_k"; see rwkv convert --help/],
  [
    ["convert", input, at("out.pth")],
    /<OUTPUT> must end in \.gguf or \.safetensors, .*, not "build\/cli\/convert\/out\.pth"/,
  ],
  [["convert", input, folder], /<OUTPUT> must end in/],
  [["quantize", input, out], /<TYPE> is missing/],
  [["quantize", input], /<OUTPUT> is missing/],
  [["convert"], /<INPUT> is missing/],
  [["quantize", input, out, "q8_0", "more"], /"more" is one word too many/],
  [["convert", input, out, "q8_0"], /"q8_0" is one word too many/],
  [["quantize", input, out, "--fast", "q8_0"], /unknown option --fast/],
  [
    ["convert", pth, out, "--vocab", at("none.txt")],
    /the vocabulary .*none\.txt cannot be read: there is no such file/,
  ],
  [["convert", pth, out, "--vocab", folder], /the vocabulary .* cannot be read: it is a folder/],
  [["convert", pth, out, "--vocab", pth], /the vocabulary: not UTF-8 text/],
  [["convert", pth, out, "--vocab", "world"], /65530 ids but the model only 260/],
  [["convert", "test/fixtures/v4.bf16.pth", out], /v4\.bf16\.pth cannot become GGUF: it is RWKV-4/],
  [["quantize", pth, at("out.safetensors"), "q8_0"], /safetensors files hold f32, f16, bf16, not q8_0/],
  [["quantize", "test/fixtures/quants.gguf", out, "q8_0"], /architecture "none"/],
];

for (const [args, message] of refusals)
  test(`refused in one sentence: rwkv ${args.join(" ")}`, async () => {
    const before = readdirSync(folder);
    const { code, stdout, stderr } = await rwkv(args);
    assert.match(stderr, message);
    assert.match(stderr, /^rwkv: [^\n]+\n$/);
    assert.is(stdout, "");
    assert.is(code, 1);
    assert.equal(readdirSync(folder), before);
  });

test("a checkpoint becomes GGUF with its vocabulary, and safetensors", async () => {
  const vocab = "test/fixtures/stories-7m.vocab.txt";
  const small = readFileSync(vocab, "utf8").split("\n").slice(0, 259).join("\n");
  writeFileSync(at("small.vocab.txt"), small);
  const args = ["convert", pth, at("new.gguf"), "--type", "q5_1", "--vocab", at("small.vocab.txt")];
  assert.equal(await rwkv(args), { code: 0, stdout: "", stderr: "" });
  const { stdout } = await rwkv(["run", "--model", at("new.gguf"), "--temp", "0", "--max-tokens", "2", "abc"]);
  assert.match(stdout, /^abc.+/s);
  assert.is((await rwkv(["convert", at("new.gguf"), at("new.st"), "--type", "f16"])).code, 0);
  assert.is((await rwkv(["convert", pth, at("none.gguf"), "--vocab", "none"])).code, 0);
  const refused = await rwkv(["convert", pth, at("in.gguf"), "--vocab", vocab]);
  assert.match(refused.stderr, /has 4096 ids but the model only 260/);
});

test("none of a model's files is written over", async () => {
  const files = {
    "model-00001-of-00002.safetensors": 30,
    "model-00002-of-00002.safetensors": Number.POSITIVE_INFINITY,
  };
  const all = await fla();
  const map: Record<string, string> = {};
  let first = 0;
  mkdirSync(at("sharded"));
  for (const [name, last] of Object.entries(files)) {
    const part = all.slice(first, last);
    first = last;
    for (const one of part) map[one.name] = name;
    writeFileSync(at(`sharded/${name}`), safetensors(part));
  }
  writeFileSync(at("sharded/model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
  for (const name of Object.keys(files)) {
    const before = readFileSync(at(`sharded/${name}`));
    const { stderr, code } = await rwkv(["convert", at("sharded"), at(`sharded/${name}`)]);
    assert.match(stderr, /is the input itself/);
    assert.is(code, 1);
    assert.equal(readFileSync(at(`sharded/${name}`)), before);
  }
  assert.is((await rwkv(["convert", at("sharded"), at("sharded/whole.gguf")])).code, 0);
});

test("the shipped model is the one that its card describes", () => {
  const sha256 = createHash("sha256").update(readFileSync("weights/stories-7m.q8_0.gguf")).digest("hex");
  assert.match(readFileSync("weights/README.md", "utf8"), sha256);
});

test.run();
