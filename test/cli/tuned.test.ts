// `rwkv run` with a LoRA or a tuned state.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LORA } from "../../src/cli/model.ts";
import { checkScale } from "../../src/model/lora.ts";
import { modelOf, pairs, part, pthOf, safetensorsOf } from "../model/tuned.ts";
import { rwkv } from "./rwkv.ts";

const folder = "build/cli/tuned";
mkdirSync(folder, { recursive: true });
const { matrices } = await modelOf("7");
writeFileSync(`${folder}/lora.pth`, pthOf(pairs(matrices, 4)));
const states = [0, 1].map((i) => part(`blocks.${i}.att.time_state`, [2, 64, 64], i + 1, 4, "BFloat16"));
writeFileSync(`${folder}/state.safetensors`, safetensorsOf(states));

const RUN = ["run", "--model", "test/fixtures/v7.f16.gguf", "--temp", "0", "--max-tokens", "20", "Hello"];
const LORA_FILE = ["--lora", `${folder}/lora.pth`];
const text = async (...more: string[]) => {
  const { code, stdout, stderr } = await rwkv([...RUN, ...more]);
  assert.is(code, 0, stderr);
  return stdout;
};

test("a LoRA, more of it, less of it, and a state each make another text; strength 0 makes none", async () => {
  const texts = [
    await text(),
    await text(...LORA_FILE),
    await text(...LORA_FILE, "--lora-strength", "-3"),
    await text(...LORA_FILE, "--lora-alpha", "90"),
    await text("--state", `${folder}/state.safetensors`),
    await text(...LORA_FILE, "--state", `${folder}/state.safetensors`),
  ];
  assert.is(new Set(texts).size, texts.length);
  assert.is(await text(...LORA_FILE, "--lora-strength=0"), texts[0]);
  assert.is(await text(...LORA_FILE, "--lora-strength=0.5", "--lora-alpha=8"), texts[1]);
});

const refusals: [args: string[], message: RegExp][] = [
  [["--lora", "none.pth"], /none\.pth cannot be opened/],
  [["--lora", "test/fixtures/v7.f16.gguf"], /v7\.f16\.gguf is not what a training program/],
  [["--lora", `${folder}/state.safetensors`], /state\.safetensors holds nothing to merge/],
  [["--state", `${folder}/lora.pth`], /lora\.pth holds no tuned state/],
  [["--lora-strength", "1"], /--lora-strength needs --lora; see rwkv run --help/],
  [["--lora-alpha", "1"], /--lora-alpha needs --lora/],
  [[...LORA_FILE, "--lora-alpha", "0"], /--lora-alpha must be a number above 0 to 1000000, not "0"/],
  [[...LORA_FILE, "--lora-strength", "x"], /--lora-strength must be a number from -100 to 100, not "x"/],
];
for (const [args, message] of refusals)
  test(`refused in one sentence: rwkv run ${args.join(" ")}`, async () => {
    const { code, stdout, stderr } = await rwkv([...RUN, ...args]);
    assert.match(stderr, message);
    assert.match(stderr, /^rwkv: [^\n]+\n$/);
    assert.is(stdout, "");
    assert.is(code, 1);
  });

test("the ranges are those of the interface, and the options are in the help and on the page", async () => {
  const accepts = (name: string, value: number) => {
    try {
      checkScale(name === "lora-alpha" ? { alpha: value } : { strength: value });
      return true;
    } catch {
      return false;
    }
  };
  for (const [name, { low, high, above }] of Object.entries(LORA)) {
    assert.is(accepts(name, low), !above, `${name} ${low}`);
    assert.is(accepts(name, high), true, `${name} ${high}`);
    assert.is(accepts(name, low - 1e-6), false, `below ${name}`);
    assert.is(accepts(name, high + 1e-6), false, `above ${name}`);
  }
  const { stdout } = await rwkv(["run", "--help"]);
  const page = readFileSync("docs/cli.md", "utf8");
  for (const name of ["lora", "state", ...Object.keys(LORA)]) {
    assert.match(stdout, new RegExp(`--${name}=`));
    assert.match(page, `| \`--${name}\` |`);
  }
});

test.run();
