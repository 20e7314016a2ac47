// That tokens come as often as they should: the probabilities are computed in float64 from the papers' definitions, and the draws of many
// steps held to them by chi-square. Seeds are fixed, so the outcome is always the same.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Sampling } from "../../src/engine/sampler.ts";
import { everywhere } from "./harness.ts";
import { OFF, Sampler } from "./sampled.ts";
import { total } from "./sampler.ts";

const X = [0.1, 2, -1, 0.5, 1.5, -3, 0, 2.2, 1, -0.5, 0.25, -2];
const DRAWS = 20000;

const softmax = (x: readonly number[], temperature = 1) => {
  const w = x.map((s) => Math.exp(s / temperature));
  return w.map((v) => v / total(w));
};
const P = softmax(X);
/** Ids, likeliest first. */
const ORDER = [...X.keys()].sort((a, b) => X[b] - X[a]);

/** The distribution over some of the tokens, at a temperature. */
const over = (kept: readonly number[], temperature = 1, x = X) =>
  softmax(
    x.map((s, id) => (kept.includes(id) ? s : Number.NEGATIVE_INFINITY)),
    temperature,
  );

/** The first of `order` that together have a probability. */
function upTo(order: readonly number[], mass: number): number[] {
  let sum = 0;
  const last = order.findIndex((id) => {
    sum += P[id];
    return sum >= mass;
  });
  return order.slice(0, last + 1);
}

const entropy = (p: readonly number[]) => -total(p.map((v) => (v ? v * Math.log(v) : 0)));

function typical(mass: number): number[] {
  const oddity = (id: number) => Math.abs(-Math.log(P[id]) - entropy(P));
  return upTo(
    [...X.keys()].sort((a, b) => oddity(a) - oddity(b)),
    mass,
  );
}

function sigmas(n: number): number[] {
  const mean = total(X) / X.length;
  const deviation = Math.sqrt(total(X.map((x) => (x - mean) ** 2)) / X.length);
  return ORDER.filter((id) => X[id] >= X[ORDER[0]] - n * deviation);
}

/** Half of the draws without the tokens above the threshold but the last, half with all. */
function xtc(probability: number, threshold: number): number[] {
  const likely = ORDER.filter((id) => P[id] >= threshold);
  const rest = over(ORDER.filter((id) => !likely.slice(0, -1).includes(id)));
  return P.map((p, id) => (1 - probability) * p + probability * rest[id]);
}

function dynamic(kept: readonly number[], temperature: number, range: number, exponent: number): number[] {
  const p = over(kept);
  const share = (entropy(p) / Math.log(kept.length)) ** exponent;
  const low = Math.max(0, temperature - range);
  return over(kept, low + (temperature + range - low) * share);
}

const biased = X.map((x, id) => (id === 3 ? x + 2 : id === 7 ? Number.NEGATIVE_INFINITY : x));

const CASES: [name: string, options: Partial<Sampling>, probabilities: number[]][] = [
  ["all", {}, P],
  ["temperature 0.6", { temperature: 0.6 }, softmax(X, 0.6)],
  ["temperature 2", { temperature: 2 }, softmax(X, 2)],
  ["top-k", { topK: 5 }, over(ORDER.slice(0, 5))],
  ["top-p", { topP: 0.8 }, over(upTo(ORDER, 0.8))],
  ["top-p, hot", { topP: 0.9, temperature: 1.4 }, over(upTo(ORDER, 0.9), 1.4)],
  [
    "min-p",
    { minP: 0.2, temperature: 1.3 },
    over(
      ORDER.filter((id) => P[id] >= 0.2 * P[ORDER[0]]),
      1.3,
    ),
  ],
  ["typical", { typicalP: 0.6 }, over(typical(0.6))],
  ["typical, little", { typicalP: 0.2 }, over(typical(0.2))],
  ["top-n-sigma", { topNSigma: 1, temperature: 1.5 }, over(sigmas(1), 1.5)],
  ["xtc, always", { xtc: { probability: 1, threshold: 0.1 } }, xtc(1, 0.1)],
  ["xtc, at times", { xtc: { probability: 0.4, threshold: 0.1 } }, xtc(0.4, 0.1)],
  ["xtc, nothing above", { xtc: { probability: 1, threshold: 0.6 } }, P],
  ["dynamic temperature", { dynamicTemperature: { range: 0.8, exponent: 1 } }, dynamic(ORDER, 1, 0.8, 1)],
  [
    "dynamic temperature after top-k, bent",
    { topK: 6, temperature: 0.7, dynamicTemperature: { range: 2, exponent: 2.5 } },
    dynamic(ORDER.slice(0, 6), 0.7, 2, 2.5),
  ],
  [
    "bias and ban",
    { bias: { tokens: Uint32Array.of(3, 7), values: Float32Array.of(2, Number.NEGATIVE_INFINITY) } },
    softmax(biased),
  ],
  [
    // 2 tau bits at first, which is what the draws are made with: `accept` is not called.
    "mirostat",
    { mirostat: { tau: 1.5, eta: 0.1 } },
    over(ORDER.filter((id) => -Math.log2(P[id]) <= 3)),
  ],
];

everywhere("tokens come as often as their probabilities say", (setting) => {
  for (const [name, options, probabilities] of CASES) {
    const sample = new Sampler(setting, { ...OFF, ...options, seed: [77, 0] }, X.length).of(Float32Array.from(X), true);
    const counts = new Array(X.length).fill(0);
    for (let step = 0; step < DRAWS; step++) counts[sample(step)]++;
    setting.arena.check("sample");
    const chi = total(
      probabilities.map((p, id) => {
        if (p === 0) assert.is(counts[id], 0, `${name}: ${id} came`);
        return p && (counts[id] - DRAWS * p) ** 2 / (DRAWS * p);
      }),
    );
    // With 11 degrees of freedom 31.3 is exceeded by one seed in a thousand; fewer tokens have fewer.
    assert.ok(chi < 31.3, `${name}: ${chi}, ${counts}`);
  }
});

everywhere("along the seeds as along the steps", (setting) => {
  for (const options of [{}, { topP: 0.9 }, { xtc: { probability: 0.5, threshold: 0.1 } }]) {
    const expected = "xtc" in options ? xtc(0.5, 0.1) : "topP" in options ? over(upTo(ORDER, 0.9)) : P;
    const counts = new Array(X.length).fill(0);
    const draws = 4000;
    for (let seed = 0; seed < draws; seed++)
      counts[
        new Sampler(setting, { ...OFF, ...options, seed: [seed, seed >> 3] }, X.length).sample(Float32Array.from(X), 0)
      ]++;
    const chi = total(expected.map((p, id) => p && (counts[id] - draws * p) ** 2 / (draws * p)));
    assert.ok(chi < 31.3, `${JSON.stringify(options)}: ${chi}`);
  }
});

everywhere("random fills [0, 1) evenly, along the steps and along the seeds", ({ kernels }) => {
  for (const value of [(i: number) => kernels.random(9n, i), (i: number) => kernels.random(BigInt(i), 0)]) {
    const bins = new Array(64).fill(0);
    for (let i = 0; i < 20000; i++) {
      const u = value(i);
      assert.ok(u >= 0 && u < 1);
      bins[Math.floor(u * 64)]++;
    }
    // 63 degrees of freedom: 104 is one in a thousand.
    assert.ok(total(bins.map((n) => (n - 20000 / 64) ** 2 / (20000 / 64))) < 104);
  }
});

everywhere("mirostat holds the average surprise at tau", (setting) => {
  // A Zipf-like distribution whose own surprise, its entropy, is 6.6 bits.
  const x = Float32Array.from({ length: 1000 }, (_, rank) => -1.1 * Math.log(rank + 1));
  const p = softmax([...x]);
  assert.ok(entropy(p) / Math.LN2 > 6.5);
  for (const tau of [3, 4, 5]) {
    const sampler = new Sampler(setting, { ...OFF, mirostat: { tau, eta: 0.1 } }, x.length);
    const sample = sampler.of(x, true);
    let surprise = 0;
    const steps = 3000;
    for (let step = 0; step < steps; step++) {
      const token = sample(step);
      surprise -= Math.log2(p[token]);
      sampler.accept(token);
    }
    assert.ok(Math.abs(surprise / steps - tau) < 0.05, `tau ${tau}: ${surprise / steps}`);
  }
});

test.run();
