// From logits to a token, against a plain reference that sorts everything: any logits, any options, one token after another.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SAMPLE_NAN, SAMPLE_NOTHING, SAMPLER_MU } from "../../assembly/ops.ts";
import type { Sampling } from "../../src/engine/sampler.ts";
import { runs } from "../runs.ts";
import { everywhere, once, same } from "./harness.ts";
import { Random } from "./random.ts";
import { OFF, Sampler } from "./sampled.ts";
import { Reference, random } from "./sampler.ts";

const f = Math.fround;
const INFINITY = Number.POSITIVE_INFINITY;

/** Logits of many tempers. */
const KINDS: Record<string, (vocab: number, random: Random) => Float32Array> = {
  bells: (vocab, random) => random.bells(vocab, 3),
  ties: (vocab, random) => random.bells(vocab, 3).map(Math.round),
  "one that towers": (vocab, random) => random.bells(vocab, 3).fill(60, vocab >> 1, (vocab >> 1) + 1),
  "all equal": (vocab) => new Float32Array(vocab).fill(-7.25),
  "all equal but one": (vocab) => new Float32Array(vocab).fill(2).fill(2.5, vocab >> 2, (vocab >> 2) + 1),
  "some impossible": (vocab, random) => random.bells(vocab, 3).map((v, i) => (random.below(3) && i ? -INFINITY : v)),
  "far apart": (vocab, random) => random.bells(vocab, 3e4),
  flat: (vocab, random) => random.bells(vocab, 0.01),
  "next to each other": (vocab, random) => {
    const bits = Uint32Array.from({ length: vocab }, () => 0x40000000 + random.below(9));
    return new Float32Array(bits.buffer);
  },
  "of any size": (vocab, random) =>
    Float32Array.from({ length: vocab }, () => random.bell() * 10 ** (random.below(78) - 40)),
  "like a model's": (vocab, random) => {
    const x = random.bells(vocab, 2).map((v) => v - 12);
    for (let rank = 0; rank < Math.min(vocab, 300); rank++) x[random.below(vocab)] = 10 - 2 * Math.log(rank + 1);
    return x;
  },
};
const kinds = Object.keys(KINDS);
const VOCABS = [1, 2, 3, 4, 5, 12, 13, 31, 32, 33, 63, 500, 3001];

/** Any combination of options. What `samplingOf` would refuse works here as well. */
const sometimes = <T>(one: fc.Arbitrary<T>, off: T) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(off) }, { weight: 1, arbitrary: one });
const anySampling = (vocab: number): fc.Arbitrary<Sampling> => {
  const share = fc.constantFrom(0.999, 0.9, 0.5, 0.1, 1e-6, Number.MIN_VALUE);
  const token = fc.nat(vocab - 1);
  return fc.record({
    temperature: fc.constantFrom(0, 1, 0.7, 1.5, 0.01, 50, 1e-40),
    topP: sometimes(share, 1),
    topK: sometimes(fc.constantFrom(1, 2, 3, 40, 1000, 2 ** 31 - 1), 0),
    minP: sometimes(fc.constantFrom(1, 0.5, 0.05, 1e-3, 1e-9, 1e-30, Number.MIN_VALUE), 0),
    typicalP: sometimes(share, 1),
    topNSigma: sometimes(fc.constantFrom(0.1, 1, 2.5, 100, Number.MIN_VALUE), 0),
    repetitionPenalty: sometimes(fc.constantFrom(1.3, 0.5, 100), 1),
    presencePenalty: sometimes(fc.constantFrom(0.5, -0.25), 0),
    frequencyPenalty: sometimes(fc.constantFrom(0.1, -2), 0),
    penaltyDecay: fc.constantFrom(1, 0.9, 0),
    penalizePrompt: fc.constant(false),
    dry: sometimes(
      fc.record({
        multiplier: fc.constantFrom(0.8, 100),
        base: fc.constantFrom(1, 1.75, 100),
        allowedLength: fc.constantFrom(1, 2, 5),
        breakers: fc.array(token, { maxLength: 2 }).map((tokens) => {
          const bits = new Uint32Array(Math.ceil(vocab / 32));
          for (const t of tokens) bits[t >> 5] |= 1 << (t & 31);
          return bits;
        }),
        range: fc.constantFrom(1, 2, 10, 4096),
      }),
      undefined,
    ),
    xtc: sometimes(
      fc.record({ probability: fc.constantFrom(1, 0.5), threshold: fc.constantFrom(0.1, 0, 0.01, 1) }),
      undefined,
    ),
    mirostat: fc.oneof(
      { weight: 6, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.record({ tau: fc.constantFrom(3, 0.01, 20), eta: fc.constantFrom(0.1, 1, 0) }) },
    ),
    dynamicTemperature: sometimes(
      fc.record({ range: fc.constantFrom(0.5, 100), exponent: fc.constantFrom(1, 0.3, 4) }),
      undefined,
    ),
    bias: sometimes(
      fc.uniqueArray(token, { minLength: 1, maxLength: 5 }).chain((tokens) =>
        fc
          .array(fc.constantFrom(-100, 5, -INFINITY), { minLength: tokens.length, maxLength: tokens.length })
          .map((values) => ({
            tokens: Uint32Array.from(tokens),
            values: Float32Array.from(values),
          })),
      ),
      undefined,
    ),
    seed: fc.tuple(fc.nat(), fc.nat()),
  });
};

const anything = fc.constantFrom(...VOCABS).chain((vocab) =>
  fc.record({
    vocab: fc.constant(vocab),
    sampling: anySampling(vocab),
    kind: fc.constantFrom(...kinds),
    seed: fc.nat(1e6),
    // What was said before, in which repetitions are likely.
    before: fc.array(fc.nat(Math.min(vocab - 1, 4)), { maxLength: 40 }),
    masked: fc.constantFrom(false, false, true),
    steps: fc.integer({ min: 1, max: 4 }),
  }),
);

everywhere("any logits and any options: the reference's tokens", (setting) => {
  fc.assert(
    fc.property(anything, ({ vocab, sampling, kind, seed, before, masked, steps }) => {
      const chance = new Random(seed);
      const sampler = new Sampler(setting, sampling, vocab);
      const reference = new Reference(sampling, vocab);
      for (const token of before) {
        sampler.accept(token);
        reference.accept(token);
      }
      const mask = masked ? Uint32Array.from({ length: Math.ceil(vocab / 32) }, () => chance.u32()) : undefined;
      if (mask) sampler.mask().set(mask);
      for (let step = 0; step < steps; step++) {
        const logits = KINDS[kind](vocab, chance);
        const token = sampler.sample(logits, step);
        assert.is(token, reference.sample(logits, step, mask));
        if (token < 0) return;
        sampler.accept(token);
        reference.accept(token);
      }
    }),
    { numRuns: runs(600), seed: 4 },
  );
});

/** One option, or a few that belong together. */
const SETTINGS: Record<string, Partial<Sampling>> = {
  nothing: {},
  "top-p 0.9": { topP: 0.9 },
  "top-p 0.99999": { topP: 0.99999 },
  "top-k 50": { topK: 50 },
  "top-k 40000": { topK: 40000 },
  "top-k and top-p": { topP: 0.3, topK: 100, temperature: 0.8 },
  "min-p 0.05": { minP: 0.05 },
  "typical 0.9": { typicalP: 0.9 },
  "typical 0.2": { typicalP: 0.2 },
  "top-n-sigma 1": { topNSigma: 1 },
  xtc: { xtc: { probability: 1, threshold: 0.01 } },
  "dynamic temperature": { dynamicTemperature: { range: 0.7, exponent: 0.5 } },
  mirostat: { mirostat: { tau: 3, eta: 0.1 } },
  "mirostat, even": { mirostat: { tau: 15, eta: 0.1 } },
  many: { topK: 30000, typicalP: 0.95, topP: 0.8, minP: 1e-4, topNSigma: 3, temperature: 0.6 },
};

everywhere("a vocabulary of 65,536 and one of 70,001", (setting) => {
  for (const [name, options] of Object.entries(SETTINGS))
    for (const vocab of [65536, 70001])
      for (const kind of ["bells", "ties", "all equal", "all equal but one", "flat", "like a model's"]) {
        const key = `${name}, ${vocab}, ${kind}`;
        const sampling = { ...OFF, ...options, seed: [vocab, 1] as const };
        const { logits, expected } = once(key, () => {
          const logits = KINDS[kind](vocab, new Random(vocab));
          const reference = new Reference(sampling, vocab);
          const scores = reference.scores(logits) as number[];
          const { ids, weights } = reference.choice(scores, 0);
          return { logits, expected: { ids, weights } };
        });
        const sampler = new Sampler(setting, sampling, vocab);
        const sample = sampler.of(logits);
        // The same weights for every draw, or nearly: XTC throws its dice anew, but here it always happens.
        const sums = new Float64Array(expected.weights.length);
        expected.weights.reduce((sum, weight, i) => (sums[i] = sum + weight), 0);
        for (let step = 0; step < 5; step++) {
          const target = random(sampler.seed, step) * sums[sums.length - 1];
          assert.is(sample(step), expected.ids[sums.findIndex((sum) => sum > target)], `${key}, step ${step}`);
        }
      }
});

everywhere("greedy is the largest, the lowest id of equals, whatever else is asked for", (setting) => {
  const filters = { topP: 0.5, topK: 3, minP: 0.5, typicalP: 0.1, topNSigma: 0.5 };
  const rest = { xtc: { probability: 1, threshold: 0 }, dynamicTemperature: { range: 5, exponent: 1 } };
  for (const vocab of [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 100, 65536]) {
    const x = KINDS.ties(vocab, new Random(vocab));
    const best = x.indexOf(x.reduce((a, b) => Math.max(a, b)));
    for (const options of [{}, filters, rest, { mirostat: { tau: 9, eta: 1 } }])
      assert.is(new Sampler(setting, { ...OFF, ...options, temperature: 0 }, vocab).sample(x, 0), best);
    for (const options of [{ topK: 1 }, { topP: 1e-9 }, { topP: Number.MIN_VALUE }])
      assert.is(new Sampler(setting, { ...OFF, ...options }, vocab).sample(x, 0), best);
    assert.is(setting.kernels.argmax(setting.arena.input(x).at, vocab), best);
  }
  const zeros = Float32Array.from([-0, 0, -0]);
  assert.is(new Sampler(setting, { ...OFF, temperature: 0 }, 3).sample(zeros, 0), 0);
});

everywhere("a temperature so small that its inverse overflows still draws one of the best", (setting) => {
  const x = Float32Array.from([1, 3, 2, 3, 1]);
  for (const options of [{}, { topP: 0.9 }, { topK: 3 }, { dynamicTemperature: { range: 1e-40, exponent: 1 } }])
    for (let step = 0; step < 20; step++) {
      const id = new Sampler(setting, { ...OFF, temperature: 1e-42, ...options }, 5).sample(x, step);
      assert.ok(id === 1 || id === 3, `${id}`);
    }
});

everywhere("NaN anywhere, infinity on top, or nothing possible: logits that are not numbers", (setting) => {
  const several: Partial<Sampling>[] = [
    { temperature: 0 },
    {},
    { topP: 0.5 },
    { topK: 3 },
    { typicalP: 0.5 },
    { mirostat: { tau: 3, eta: 0.1 } },
    { presencePenalty: 1 },
  ];
  for (const vocab of [1, 3, 4, 5, 64, 1003]) {
    for (let at = 0; at < vocab; at += 1 + (vocab >> 3))
      for (const bad of [Number.NaN, INFINITY]) {
        const x = KINDS.bells(vocab, new Random(1)).fill(bad, at, at + 1);
        for (const options of several) {
          const sampler = new Sampler(setting, { ...OFF, ...options }, vocab);
          assert.is(sampler.sample(x, 0), SAMPLE_NAN, `${bad} at ${at} of ${vocab}`);
          // Forbidding the token does not hide it.
          sampler.mask().fill(-1)[at >> 5] ^= 1 << (at & 31);
          assert.is(sampler.sample(x, 0), SAMPLE_NAN);
        }
      }
    assert.is(new Sampler(setting, OFF, vocab).sample(new Float32Array(vocab).fill(-INFINITY), 0), SAMPLE_NAN);
  }
});

everywhere("mask and bans that leave nothing say so; what they leave is all that comes", (setting) => {
  for (const vocab of [1, 4, 33, 1000]) {
    const x = KINDS.bells(vocab, new Random(vocab));
    const masked = new Sampler(setting, OFF, vocab);
    masked.mask();
    assert.is(masked.sample(x, 0), SAMPLE_NOTHING);
    const tokens = Uint32Array.from(x.keys());
    const banned = { ...OFF, bias: { tokens, values: new Float32Array(vocab).fill(-INFINITY) } };
    assert.is(new Sampler(setting, banned, vocab).sample(x, 0), SAMPLE_NOTHING);
    // The mask allows what is banned, and nothing else.
    const some = { tokens: tokens.slice(0, 1), values: Float32Array.of(-INFINITY) };
    const both = new Sampler(setting, { ...OFF, bias: some }, vocab);
    both.mask()[0] = 1;
    assert.is(both.sample(x, 0), SAMPLE_NOTHING);
    for (const last of [vocab - 1, vocab >> 1]) {
      const one = new Sampler(setting, { ...OFF, topP: 0.5, typicalP: 0.5, topNSigma: 1, minP: 0.1 }, vocab);
      one.mask()[last >> 5] = 1 << (last & 31);
      assert.is(one.sample(x, 0), last);
    }
  }
});

everywhere("a token with -Infinity never comes", (setting) => {
  const x = Float32Array.from({ length: 30 }, (_, i) => (i % 3 === 1 ? 0 : -INFINITY));
  for (const options of [{}, { topP: 0.99 }, { topK: 25 }, { temperature: 100 }, { minP: 1e-9 }, { typicalP: 0.99 }]) {
    const sample = new Sampler(setting, { ...OFF, ...options }, 30).of(x);
    for (let step = 0; step < 100; step++) assert.is(sample(step) % 3, 1);
  }
});

everywhere("random is SplitMix64, for any seed and step", ({ kernels }) => {
  const known = [6457827717110365317n, 3203168211198807973n, 9817491932198370423n, 4593380528125082431n];
  known.forEach((value, step) => void assert.is(kernels.random(1234567n, step), Number(value >> 11n) / 2 ** 53));
  const any = fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(4294967294));
  fc.assert(
    fc.property(any, ([seed, step]) => assert.is(kernels.random(seed, step), random(seed, step))),
    { numRuns: runs(500), seed: 5 },
  );
  assert.is(kernels.random(5n, 4294967295), random(5n, 4294967295));
});

// --- What came before -----------------------------------------------------------------------------------------------------

everywhere("accept: all occurrences fade, the token's own goes up; without penalties nothing is counted", (setting) => {
  for (const vocab of [1, 3, 4, 12, 13, 999])
    for (const penaltyDecay of [1, 0.996, 0.5, 0]) {
      const sampler = new Sampler(setting, { ...OFF, presencePenalty: 1, penaltyDecay }, vocab);
      const counts = sampler.counts();
      counts.set(new Random(vocab).bells(vocab).map(Math.abs));
      for (const token of [0, vocab - 1, vocab >> 1]) {
        const expected = counts.map((n) => n * f(penaltyDecay));
        expected[token] += 1;
        sampler.accept(token);
        same(counts, expected, `${vocab} tokens, decay ${penaltyDecay}`);
      }
      const off = new Sampler(setting, { ...OFF, penaltyDecay }, vocab);
      off.accept(vocab - 1);
      same(off.counts(), new Float32Array(vocab), "no penalties");
    }
});

everywhere("penalised scores have the reference's bits", (setting) => {
  const random = new Random(8);
  // Greedy against a rival that has just the score, which loses as the higher id; and against the next number, which wins.
  for (let i = 0; i < 300; i++) {
    const [s, repetition, presence, frequency] = [
      random.bell() * 9,
      1 + Math.abs(random.bell()),
      random.bell(),
      random.bell(),
    ].map(f);
    const n = f(Math.abs(random.bell()) * 5 + 0.1);
    const divided = s > 0 ? f(s / repetition) : f(s * repetition);
    const rival = Float32Array.of(f(f(divided - presence) - f(n * frequency)));
    const sampler = new Sampler(
      setting,
      { ...OFF, temperature: 0, repetitionPenalty: repetition, presencePenalty: presence, frequencyPenalty: frequency },
      2,
    );
    sampler.counts()[0] = n;
    assert.is(sampler.sample(Float32Array.of(s, rival[0]), 0), 0);
    new Int32Array(rival.buffer)[0] += rival[0] > 0 ? 1 : -1;
    assert.is(sampler.sample(Float32Array.of(s, rival[0]), 0), 1);
  }
});

everywhere("penalties push what was seen out of the way", (setting) => {
  const greedy = (logits: number[], counts: number[], options: Partial<Sampling>) => {
    const sampler = new Sampler(setting, { ...OFF, temperature: 0, ...options }, logits.length);
    sampler.counts().set(counts);
    return sampler.sample(Float32Array.from(logits), 0);
  };
  const [positive, negative] = [
    [2, 1.9],
    [-1, -1.1],
  ];
  assert.is(greedy(positive, [1, 0], {}), 0);
  assert.is(greedy(positive, [1, 0], { presencePenalty: 0.2 }), 1);
  assert.is(greedy(positive, [1, 0], { frequencyPenalty: 0.2 }), 1);
  assert.is(greedy(positive, [1, 0], { repetitionPenalty: 1.2 }), 1);
  // Negative logits are multiplied, so they go down as well.
  assert.is(greedy(negative, [3, 0], {}), 0);
  assert.is(greedy(negative, [3, 0], { repetitionPenalty: 1.2 }), 1);
  assert.is(greedy(negative, [3, 0], { frequencyPenalty: 0.05 }), 1);
});

const bits = (vocab: number, tokens: number[]) => {
  const words = new Uint32Array(Math.ceil(vocab / 32));
  for (const token of tokens) words[token >> 5] |= 1 << (token & 31);
  return words;
};

everywhere("dry: what would continue a repetition, the more the longer it is, and not across a breaker", (setting) => {
  const vocab = 12;
  const scoresAfter = (before: number[], dry: Partial<NonNullable<Sampling["dry"]>> = {}) => {
    const options = { multiplier: 0.8, base: 2, allowedLength: 2, breakers: bits(vocab, []), range: 4096, ...dry };
    const sampler = new Sampler(setting, { ...OFF, temperature: 0, dry: options }, vocab);
    for (const token of before) sampler.accept(token);
    return sampler.penalties();
  };
  const none = new Array(vocab - 1).fill(0);
  const only = (token: number, penalty: number) => none.map((_, i) => (i === token ? penalty : 0));
  const near = (actual: number[], expected: number[]) => {
    for (const [i, value] of actual.entries())
      assert.ok(Math.abs(value - expected[i]) < 1e-3, `${i}: ${value}, not ${expected[i]}`);
  };
  near(scoresAfter([]), none);
  near(scoresAfter([1, 1]), none);
  near(scoresAfter([1, 2, 3, 1]), none);
  near(scoresAfter([1, 2, 3, 1, 2]), only(3, 0.8));
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2]), only(3, 1.6));
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2], { allowedLength: 3 }), only(3, 0.8));
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2], { allowedLength: 4 }), none);
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2], { breakers: bits(vocab, [9]) }), only(3, 0.8));
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2], { breakers: bits(vocab, [1]) }), none);
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2], { breakers: bits(vocab, [3]) }), none);
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2], { range: 6 }), only(3, 0.8));
  near(scoresAfter([9, 1, 2, 3, 9, 1, 2], { range: 4 }), none);
  // The longest of several counts, once.
  near(scoresAfter([1, 2, 3, 9, 1, 2, 3, 7, 9, 1, 2]), only(3, 1.6));
  // A run of one token repeats itself; overlapping counts.
  near(scoresAfter([5, 5, 5, 5, 5]), only(5, 0.8 * 4));
  // However long, penalties are finite: only the others are drawn.
  const long = new Sampler(
    setting,
    { ...OFF, dry: { multiplier: 100, base: 100, allowedLength: 1, breakers: bits(2, []), range: 4096 } },
    2,
  );
  for (let i = 0; i < 5000; i++) long.accept(0);
  assert.is(long.sample(Float32Array.of(100, -100), 0), 1);
});

everywhere("dry looks back over the ring, whose end comes round", (setting) => {
  const vocab = 50;
  const random = new Random(3);
  const dry = { multiplier: 1, base: 1.1, allowedLength: 1, breakers: bits(vocab, [7]), range: 4096 };
  const sampler = new Sampler(setting, { ...OFF, temperature: 0, dry }, vocab);
  const reference = new Reference({ ...OFF, temperature: 0, dry }, vocab);
  for (let i = 0; i < 9500; i++) {
    const token = random.below(vocab);
    sampler.accept(token);
    reference.accept(token);
    if (i % 500) continue;
    const logits = random.bells(vocab, 0.1);
    assert.is(sampler.sample(logits, 0), reference.sample(logits, 0), `after ${i}`);
  }
});

everywhere("mirostat: mu follows the reference's, and forgets what was not drawn", (setting) => {
  const sampling = { ...OFF, mirostat: { tau: 4, eta: 0.2 } };
  const vocab = 777;
  const sampler = new Sampler(setting, sampling, vocab);
  const reference = new Reference(sampling, vocab);
  const mu = () => sampler.area.f32[SAMPLER_MU / 4];
  assert.is(mu(), 8);
  sampler.accept(5); // part of a prompt
  assert.is(mu(), 8);
  const random = new Random(6);
  for (let step = 0; step < 200; step++) {
    const logits = random.bells(vocab, 1 + (step % 4));
    const token = sampler.sample(logits, step);
    assert.is(token, reference.sample(logits, step));
    sampler.accept(token);
    reference.accept(token);
    assert.is(mu(), reference.mu);
  }
  // What was drawn, but not taken.
  const before = mu();
  sampler.sample(random.bells(vocab), 0);
  sampler.accept((sampler.sample(random.bells(vocab), 1) + 1) % vocab);
  assert.is(mu(), before);
});

test.run();
