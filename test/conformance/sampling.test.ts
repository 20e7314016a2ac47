// Every sampler gives the same texts everywhere: in each runtime, alone and in company. The hashes change only when a sampler does, which
// is a promise broken to everybody who kept a seed.
import { type GenerateOptions, load } from "rwkv-wasm";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { hex8, xxhash32 } from "../../src/bytes/hash.ts";
import { at } from "../files.ts";

const PENALTIES = { presencePenalty: 0.4, frequencyPenalty: 0.3, repetitionPenalty: 1.1, penaltyDecay: 0.99 };
const TEXTS: [options: GenerateOptions, hash: string][] = [
  [{ temperature: 0 }, "84667f26"],
  [{ topP: 1 }, "2cb7cb91"],
  [{ temperature: 1.5, topP: 0.95 }, "3cbcb99c"],
  [{ topK: 40, topP: 1 }, "34e14ef4"],
  [{ minP: 0.02, topP: 1, temperature: 2 }, "2a0f8b2a"],
  [{ typicalP: 0.8, topP: 1 }, "239976e5"],
  [{ topNSigma: 1.5, topP: 1, temperature: 1.5 }, "189628dd"],
  [{ ...PENALTIES, penalizePrompt: true }, "02f4ed5c"],
  [{ dry: { multiplier: 5, allowedLength: 1 }, penalizePrompt: true, temperature: 0 }, "03a5df9e"],
  [{ xtc: { probability: 0.7, threshold: 0.05 } }, "4b6d3e2a"],
  [{ mirostat: { tau: 1.2 } }, "6dc11bfe"],
  [{ dynamicTemperature: { range: 0.7, exponent: 1.3 }, topP: 1 }, "05509c70"],
  [{ logitBias: { 496: -3, 32: 1.5 }, bannedTokens: [10, 11, 44] }, "11f7b9d7"],
  [
    { ...PENALTIES, dry: {}, topNSigma: 3, topK: 500, typicalP: 0.99, minP: 0.001, xtc: {}, temperature: 1.1 },
    "c7017f7f",
  ],
];

test("the texts of all samplers", async () => {
  for (const threads of [0, 2]) {
    const model = await load(at("weights/stories-7m.q8_0.gguf"), { threads });
    const write = async ([options]: (typeof TEXTS)[number]) => {
      const prompt = "Lily had a dog. The dog had a ball. One day, Lily";
      const text = await model.generate(prompt, { maxTokens: 48, seed: 3, stopTokens: [], ...options }).text();
      return hex8(xxhash32(new TextEncoder().encode(text)));
    };
    const expected = TEXTS.map(([, hash]) => hash);
    const alone: string[] = [];
    if (threads === 0) for (const one of TEXTS) alone.push(await write(one));
    else alone.push(...(await Promise.all(TEXTS.map(write))));
    assert.equal(alone, expected, `${threads} threads`);
    await model.close();
  }
});

test.run();
