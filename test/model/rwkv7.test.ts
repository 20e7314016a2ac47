// RWKV-7 against numbers computed in float64 by another program (test/fixtures/README.md).
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LoadOptions } from "../../src/api/load.ts";
import { hashOf, open, parse } from "../engine/setup.ts";
import { fixture } from "../weights/support.ts";
import { divergence } from "./divergence.ts";
import { reference } from "./reference.ts";

interface Expected {
  vocab: number;
  prompt: number[];
  logits: string;
  state: { att: string; ffn: string; S: string }[];
}

const expected: Expected = JSON.parse(readFileSync("test/fixtures/v7.expected.json", "utf8"));
const floats = (base64: string) => new Float32Array(new Uint8Array(Buffer.from(base64, "base64")).buffer);
const { vocab, prompt } = expected;
const wanted = floats(expected.logits);

/** Logits after every token of the prompt, and the state after the last. */
async function run(file: string, options?: LoadOptions) {
  const model = await open(options, `test/fixtures/${file}`);
  const session = model.session();
  const logits = await session.forward(prompt);
  const { parts } = parse(await session.save());
  await model.close();
  return { logits, parts };
}

/** The largest difference; NaN counts as one. */
function apart(found: ArrayLike<number>, right: ArrayLike<number>): number {
  assert.is(found.length, right.length);
  let most = 0;
  for (let i = 0; i < right.length; i++) {
    const d = Math.abs(found[i] - right[i]);
    if (!(d <= most)) most = d;
  }
  return most;
}

const largest = (numbers: Float32Array) => numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

function logitsWithin(logits: Float32Array[], bound: number): void {
  assert.is(logits.length, prompt.length);
  logits.forEach((row, t) => {
    const d = apart(row, wanted.subarray(t * vocab, (t + 1) * vocab));
    assert.ok(d <= bound, `token ${t}: ${d}`);
  });
}

function stateWithin(parts: Map<string, Float32Array>, bound: number): void {
  expected.state.forEach((layer, i) => {
    const right = { "att.shift": floats(layer.att), "ffn.shift": floats(layer.ffn), "att.S": floats(layer.S) };
    for (const [name, numbers] of Object.entries(right)) {
      const d = apart(parts.get(`blocks.${i}.${name}`)!, numbers);
      assert.ok(d <= bound * Math.max(1, largest(numbers)), `layer ${i}, ${name}: ${d}`);
    }
  });
}

for (const threads of [0, 1, 2, 3])
  test(`f32, ${threads} threads: logits within 5e-5 after every token, the final state within 2e-5`, async () => {
    const { logits, parts } = await run("v7.f32.gguf", { threads });
    logitsWithin(logits, 5e-5);
    stateWithin(parts, 2e-5);
  });

test("bf16: the weights are exact in it, so every bit is that of f32", async () => {
  const [f32, bf16] = [await run("v7.f32.gguf"), await run("v7.f32.gguf", { weights: "bf16" })];
  assert.is(hashOf(bf16.logits), hashOf(f32.logits));
  assert.is(hashOf(bf16.parts.values()), hashOf(f32.parts.values()));
});

test("f16: logits and state within 2e-3, and the bits of the same numbers in f32", async () => {
  const f16 = await run("v7.f16.gguf");
  logitsWithin(f16.logits, 2e-3);
  stateWithin(f16.parts, 2e-3);
  const widened = await run("v7.f16.gguf", { weights: "f32" });
  assert.is(hashOf(f16.logits), hashOf(widened.logits));
  assert.is(hashOf(f16.parts.values()), hashOf(widened.parts.values()));
});

test("f16: converted while loading, the matrices are those of a file in f16", async () => {
  const [file, converted] = [await run("v7.f16.gguf"), await run("v7.f32.gguf", { weights: "f16" })];
  // The file holds small matrices in f16 too, which converting leaves alone: close, but not the same bits.
  file.logits.forEach((row, t) => {
    assert.ok(apart(row, converted.logits[t]) <= 2e-3);
  });
});

for (const file of ["v7.f16.gguf", "v7.q8_0.gguf"])
  test(`${file}: the arithmetic is the documented one, within 5e-5 of it in float64`, async () => {
    const right = await reference(fixture(file), prompt, { activations: "quantised" });
    const { logits } = await run(file);
    logits.forEach((row, t) => {
      const d = apart(row, right[t]);
      assert.ok(d <= 5e-5, `token ${t}: ${d}`);
    });
  });

test("q8_0 weights computed in f32: within 5e-5 of float64", async () => {
  const right = await reference(fixture("v7.q8_0.gguf"), prompt, { activations: "exact" });
  const { logits } = await run("v7.q8_0.gguf", { weights: "f32" });
  logits.forEach((row, t) => {
    const d = apart(row, right[t]);
    assert.ok(d <= 5e-5, `token ${t}: ${d}`);
  });
});

// Random weights make the most of every rounding, chiefly in the first tokens; what a trained model loses is in stories.test.ts.
test("q8_0: what quantised activations cost", async () => {
  const [integer, float] = [await run("v7.q8_0.gguf"), await run("v7.q8_0.gguf", { weights: "f32" })];
  const cost = divergence(float.logits, integer.logits);
  console.log(`q8_0, random weights: quantised activations cost ${cost.toFixed(6)} nats per token`);
  assert.ok(cost > 0 && cost <= 0.015, `${cost}`);
});

test("info says what the model is", async () => {
  const model = await open();
  const { name, version, layers, width, heads, headSize, ffn, vocab, container, mode, threads, stateBytes } =
    model.info;
  assert.equal(
    { version, layers, width, heads, headSize, ffn, vocab, container, mode, threads },
    {
      version: "7",
      layers: 2,
      width: 128,
      heads: 2,
      headSize: 64,
      ffn: 256,
      vocab: 260,
      container: "gguf",
      mode: "team",
      threads: 2,
    },
  );
  assert.is(typeof name, "string");
  // Two token shifts and a matrix per head and layer, and the last layer's output.
  const numbers = 2 * (128 + 128 + 2 * 64 * 64) + 128;
  assert.ok(stateBytes >= numbers * 4 && stateBytes < numbers * 4 + 4096, `${stateBytes}`);
  assert.equal(model.info.unknownTensors, []);
  await model.close();
});

test.run();
