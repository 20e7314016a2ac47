// Log-probabilities, ranks and the likeliest tokens, against float64 and a sort.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runs } from "../runs.ts";
import { everywhere, type Setting } from "./harness.ts";
import { Random } from "./random.ts";
import { total } from "./sampler.ts";

function logprobs({ arena, kernels }: Setting, logits: Float32Array, token: number, top: number) {
  arena.reset();
  const src = arena.input(logits);
  const dst = arena.output(8 + 8 * Math.min(top, logits.length));
  const work = arena.output(kernels.sampler_work(logits.length));
  kernels.logprobs(src.at, logits.length, token, dst.at, top, work.at);
  const list = Array.from({ length: Math.min(top, logits.length) }, (_, i) => ({
    id: dst.u32[2 + 2 * i],
    logprob: dst.f32[3 + 2 * i],
  }));
  return { logprob: dst.f32[0], rank: dst.u32[1], list };
}

function check(setting: Setting, logits: Float32Array, token: number, top: number): void {
  const { logprob, rank, list } = logprobs(setting, logits, token, top);
  const high = logits.reduce((a, b) => Math.max(a, b));
  const sum = Math.log(total(Array.from(logits, (x) => Math.exp(x - high))));
  const expected = (id: number) => logits[id] - high - sum;
  const near = (actual: number, id: number) =>
    assert.ok(
      actual === expected(id) || Math.abs(actual - expected(id)) <= 1e-6 * Math.max(1, Math.abs(expected(id))),
      `${id}: ${actual}, not ${expected(id)}`,
    );
  const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b);
  near(logprob, token);
  assert.is(rank, order.indexOf(token));
  assert.equal(
    list.map(({ id }) => id),
    order.slice(0, top),
  );
  for (const entry of list) near(entry.logprob, entry.id);
}

const shapes = fc.record({
  vocab: fc.constantFrom(1, 2, 3, 4, 5, 12, 13, 63, 500, 3001),
  seed: fc.nat(1e6),
  token: fc.nat(1e6),
  top: fc.constantFrom(0, 1, 2, 5, 20, 64),
  scale: fc.constantFrom(3, 0.01, 40),
  ties: fc.boolean(),
  impossible: fc.boolean(),
});

everywhere("any logits: probability and rank of a token, and the likeliest", (setting) => {
  fc.assert(
    fc.property(shapes, ({ vocab, seed, token, top, scale, ties, impossible }) => {
      const random = new Random(seed);
      const x = random.bells(vocab, scale);
      const logits = x.map((v, i) =>
        impossible && i && !random.below(4) ? Number.NEGATIVE_INFINITY : ties ? Math.round(v) : v,
      );
      check(setting, logits, token % vocab, top);
    }),
    { numRuns: runs(300), seed: 6 },
  );
});

everywhere("a vocabulary of 65,536, of any shape", (setting) => {
  const random = new Random(2);
  const flat = new Float32Array(65536).fill(0.5);
  const bells = random.bells(65536, 3);
  const rising = Float32Array.from({ length: 65536 }, (_, i) => i / 5000);
  for (const logits of [flat, bells, rising, rising.slice().reverse()])
    for (const token of [0, 65535, 30001]) check(setting, logits, token, 20);
  // All as likely: ln 65536 is 16 ln 2.
  assert.ok(Math.abs(logprobs(setting, flat, 77, 0).logprob + 16 * Math.LN2) < 2e-6);
  assert.is(logprobs(setting, flat, 77, 0).rank, 77);
});

everywhere("logits that are not numbers have no logarithms", (setting) => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const { logprob, list } = logprobs(setting, Float32Array.of(1, bad, 2, 3, 4), 0, 2);
    assert.ok(Number.isNaN(logprob));
    assert.ok(list.every((entry) => Number.isNaN(entry.logprob)));
  }
});

test.run();
