// The model that comes with the package: what it writes, bit for bit, and what its 8 bits cost. And as it was before quantising,
// in f16: against the logits and texts of a float64 reference.
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Model } from "../../src/api/model.ts";
import { hashOf, open } from "../engine/setup.ts";
import { divergence } from "./divergence.ts";

const SHIPPED = "weights/stories-7m.q8_0.gguf";
const ORIGINAL = "test/fixtures/stories-7m.f16.gguf";

interface Case {
  prompt: string;
  tokens: number[];
  greedy: number[];
  text: string;
}

/** Computed in float64 by another program from the weights in f16; logits after the prompt, little-endian f32. */
const float: (Case & { lastLogits: string })[] = JSON.parse(
  readFileSync("test/fixtures/stories-7m.expected.json", "utf8"),
).cases;

/** What the shipped file writes, and a hash of the bits of its logits after each token of the prompt. */
const shipped: (Case & { logits: string })[] = JSON.parse(
  readFileSync("test/fixtures/stories-7m.q8_0.expected.json", "utf8"),
);

/** The greedy continuation, which stops at nothing. */
async function greedy(model: Model, prompt: string | number[], maxTokens: number) {
  const tokens: number[] = [];
  let text = "";
  for await (const part of model.generate(prompt, { maxTokens, temperature: 0, stopTokens: [] })) {
    tokens.push(part.token);
    text += part.text;
  }
  return { tokens, text };
}

test("the shipped model writes what it always wrote, with any number of threads", async () => {
  for (const threads of [0, 1, 2, 3]) {
    const model = await open({ threads }, SHIPPED);
    for (const { prompt, tokens, greedy: ids, text, logits } of shipped) {
      assert.equal([model.tokenizer.bos!, ...model.tokenizer.encode(prompt)], tokens);
      assert.is(hashOf(await model.forward(tokens)), logits, prompt);
      assert.equal(await greedy(model, prompt, ids.length), { tokens: ids, text });
    }
    await model.close();
  }
});

test("the shipped model's quantised activations cost at most 0.001 nats per token, and no first choice that was clear", async () => {
  const text = shipped.map(({ prompt, text }) => prompt + text).join("\n\n");
  const [integer, exact] = [await open({}, SHIPPED), await open({ weights: "f32" }, SHIPPED)];
  const tokens = [0, ...exact.tokenizer.encode(text)];
  const [found, right] = [await integer.forward(tokens), await exact.forward(tokens)];
  const cost = divergence(right, found);
  let agreed = 0;
  right.forEach((row, t) => {
    const [first, second] = [...row].sort((a, b) => b - a);
    const choice = found[t].indexOf(found[t].reduce((a, b) => Math.max(a, b)));
    if (row[choice] === first) agreed++;
    else assert.ok(row[choice] === second && first - second < 0.1, `token ${t}: ${first - row[choice]} apart`);
  });
  console.log(
    `stories-7m, ${tokens.length} tokens: quantised activations cost ${cost.toFixed(6)} nats per token, ${agreed} first choices agree`,
  );
  assert.ok(cost <= 0.001, `${cost}`);
  assert.ok(agreed >= tokens.length * 0.98, `${agreed}`);
  await integer.close();
  await exact.close();
});

test("the shipped model's logits are near those of float weights in float64", async () => {
  const model = await open({}, SHIPPED);
  const right = float.map(({ lastLogits }) => floats(lastLogits));
  const found: Float32Array[] = [];
  for (const { tokens } of float) found.push((await model.forward(tokens)).at(-1)!);
  const cost = divergence(right, found);
  console.log(`stories-7m: q8_0 costs ${cost.toFixed(6)} nats per token after the prompts`);
  assert.ok(cost <= 0.001, `${cost}`);
  await model.close();
});

const floats = (base64: string) => new Float32Array(new Uint8Array(Buffer.from(base64, "base64")).buffer);

test("in f16: logits after the prompts within 5e-5 of float64, and the same texts", async () => {
  for (const threads of [0, 2]) {
    const model = await open({ threads }, ORIGINAL);
    for (const { prompt, tokens, lastLogits, greedy: ids, text } of float) {
      assert.equal([model.tokenizer.bos!, ...model.tokenizer.encode(prompt)], tokens);
      const right = floats(lastLogits);
      const found = (await model.forward(tokens)).at(-1)!;
      const d = right.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i])), 0);
      assert.ok(d <= 5e-5, `${prompt}: ${d}`);
      assert.equal(await greedy(model, prompt, ids.length), { tokens: ids, text });
    }
    await model.close();
  }
});

test.run();
