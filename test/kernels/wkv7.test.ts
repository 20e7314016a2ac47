// RWKV-7's time mixing: every head size, bit by bit and close to float64, in batches of sessions, in chunks, by several ranks.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runs } from "../runs.ts";
import { batch, padded } from "./batch.ts";
import { everywhere, near, once, type Setting, same } from "./harness.ts";
import { apply } from "./lanes.ts";
import { Random } from "./random.ts";
import { exactNorm, norm, sum4 } from "./reference.ts";

const EPS = 64e-5;
/** f32 before the matrices in a slot. */
const BEFORE = 16;
const ACTS = ["r", "k", "v", "w", "a", "v_lora", "g"] as const;
const PARAMS = ["w0", "a0", "v0", "k_k", "k_a", "r_k", "ln_weight", "ln_bias"] as const;

interface Inputs {
  channels: number;
  size: number;
  sessions: number[];
  isLayer0: boolean;
  /** Per name, per row. */
  acts: Record<(typeof ACTS)[number], Float32Array[]>;
  params: Record<(typeof PARAMS)[number], Float32Array>;
  firstValues: Float32Array[];
  /** Per session: heads x value x key. */
  states: Float32Array[];
}

interface Outputs {
  out: Float32Array[];
  firstValues: Float32Array[];
  states: Float32Array[];
}

function inputs(size: number, heads: number, sessions: number[], isLayer0: boolean, seed: number): Inputs {
  const random = new Random(seed);
  const channels = size * heads;
  const n = sessions.reduce((a, b) => a + b, 0);
  const rows = () => Array.from({ length: n }, () => random.bells(channels));
  return {
    channels,
    size,
    sessions,
    isLayer0,
    acts: Object.fromEntries(ACTS.map((name) => [name, rows()])) as Inputs["acts"],
    params: Object.fromEntries(PARAMS.map((name) => [name, random.bells(channels)])) as Inputs["params"],
    firstValues: rows(),
    states: sessions.map(() => random.bells(channels * size)),
  };
}

/** The arithmetic of a reference: as the kernels round, or not at all. */
interface Arithmetic {
  round: (x: number) => number;
  exp: (x: number[]) => ArrayLike<number>;
  sigmoid: (x: number[]) => ArrayLike<number>;
  /** Sum of `count` terms. */
  sum: (count: number, term: (i: number) => number) => number;
  norm: (x: Float32Array | number[], weight: Float32Array, bias: Float32Array) => ArrayLike<number>;
}

const KERNELS: Arithmetic = {
  round: Math.fround,
  exp: (x) => apply("exp4", x),
  sigmoid: (x) => apply("sigmoid4", x),
  sum: sum4,
  norm: (x, weight, bias) => norm(Float32Array.from(x), weight, bias, EPS),
};

const FLOAT64: Arithmetic = {
  round: (x) => x,
  exp: (x) => x.map(Math.exp),
  sigmoid: (x) => x.map((v) => 1 / (1 + Math.exp(-v))),
  sum: (count, term) => Array.from({ length: count }, (_, i) => term(i)).reduce((a, b) => a + b, 0),
  norm: (x, weight, bias) => exactNorm(x, weight, bias, EPS),
};

/** One head and token. `state` is changed. Answers the output and the value as the first layer would keep it. */
function step(
  { round: f, exp, sigmoid, sum, norm }: Arithmetic,
  { acts, params, firstValues, isLayer0, size }: Inputs,
  t: number,
  head: number,
  state: number[],
): { out: number[]; value: number[] } {
  const lanes = Array.from({ length: size }, (_, i) => i);
  const act = (name: (typeof ACTS)[number]) => Array.from(acts[name][t].subarray(head * size, (head + 1) * size));
  const param = (name: (typeof PARAMS)[number]) => params[name].subarray(head * size, (head + 1) * size);
  const [r, k, v, g] = [act("r"), act("k"), act("v"), act("g")];
  const gate = (bias: (typeof PARAMS)[number], lora: (typeof ACTS)[number]) => {
    const [p, x] = [param(bias), act(lora)];
    return sigmoid(lanes.map((i) => f(p[i] + x[i])));
  };
  const rate = gate("w0", "w");
  const w = exp(lanes.map((i) => f(f(-0.6065306597126334) * rate[i])));
  const a = gate("a0", "a");
  const [k_k, k_a, r_k] = [param("k_k"), param("k_a"), param("r_k")];
  const raw = lanes.map((i) => f(k[i] * k_k[i]));
  const length = Math.max(f(Math.sqrt(sum(size, (i) => f(raw[i] * raw[i])))), f(1e-12));
  const kk = raw.map((x) => f(x / length));
  const key = lanes.map((i) => f(k[i] * f(1 + f(f(a[i] - 1) * k_a[i]))));
  let value = v;
  if (!isLayer0) {
    const mix = gate("v0", "v_lora");
    const first = firstValues[t].subarray(head * size, (head + 1) * size);
    value = lanes.map((i) => f(v[i] + f(f(first[i] - v[i]) * mix[i])));
  }
  const y = lanes.map((i) => {
    const row = i * size;
    const removed = sum(size, (j) => f(state[row + j] * -kk[j]));
    for (const j of lanes) {
      const kept = f(f(state[row + j] * w[j]) + f(removed * f(kk[j] * a[j])));
      state[row + j] = f(kept + f(value[i] * key[j]));
    }
    return sum(size, (j) => f(state[row + j] * r[j]));
  });
  const bonus = sum(size, (i) => f(f(r[i] * key[i]) * r_k[i]));
  const normed = norm(y, param("ln_weight"), param("ln_bias"));
  return { out: lanes.map((i) => f(f(normed[i] + f(bonus * value[i])) * g[i])), value };
}

function reference(
  arithmetic: Arithmetic,
  given: Inputs,
): { out: number[][]; states: number[][]; firstValues: number[][] } {
  const { channels, size, sessions, states } = given;
  const out: number[][] = [];
  const firstValues: number[][] = [];
  const after = sessions.map((count, s) => {
    const heads = Array.from({ length: channels / size }, (_, h) =>
      Array.from(states[s].subarray(h * size * size, (h + 1) * size * size)),
    );
    for (let i = 0; i < count; i++) {
      const done = heads.map((state, h) => step(arithmetic, given, out.length, h, state));
      out.push(done.flatMap((head) => head.out));
      firstValues.push(done.flatMap((head) => head.value));
    }
    return heads.flat();
  });
  return {
    out,
    states: after,
    firstValues: given.isLayer0 ? firstValues : given.firstValues.map((row) => Array.from(row)),
  };
}

/** Runs the kernel over the whole batch, the heads in pieces that end at `cuts`. */
function kernel({ kernels, arena }: Setting, given: Inputs, cuts: number[] = [], inPlace = false): Outputs {
  const { channels, size, sessions, acts, params, isLayer0 } = given;
  const width = Math.ceil(channels / 32) * 32;
  arena.reset();
  const slots = given.states.map((state) => Float32Array.from([...new Float32Array(BEFORE).fill(7), ...state]));
  const rows = batch(arena, sessions, slots, inPlace);
  const stride = rows.n * width * 4 + 64;
  const all = new Float32Array((stride / 4) * ACTS.length).fill(Number.NaN);
  // The first layer has no LoRA of the value, and must not read one.
  ACTS.forEach((name, i) => void ((isLayer0 && name === "v_lora") || all.set(padded(acts[name]), (i * stride) / 4)));
  const input = arena.input(all);
  const vectors = arena.input(padded(PARAMS.map((name) => params[name])));
  const firstValues = isLayer0 ? arena.zeros(rows.n * width * 4) : arena.input(padded(given.firstValues));
  const out = arena.zeros(rows.n * width * 4);
  const scratch = arena.output(14 * size * 4);
  const ends = [0, ...cuts, channels / size];
  for (let i = 1; i < ends.length; i++) {
    kernels.wkv7(
      ...([rows.table, rows.n, input.at, stride, vectors.at, channels, size, EPS, BEFORE * 4, firstValues.at] as const),
      ...([Number(isLayer0), out.at, ends[i - 1], ends[i], scratch.at] as const),
    );
  }
  const split = (values: Float32Array) => acts.r.map((_, t) => values.slice(t * width, t * width + channels));
  for (let i = 0; i < out.f32.length; i++) assert.ok(i % width < channels || out.f32[i] === 0, "padding stays zero");
  for (const slot of rows.to) if (inPlace) assert.ok(slot.f32.subarray(0, BEFORE).every((v) => v === 7));
  return {
    out: split(out.f32),
    firstValues: split(firstValues.f32),
    states: rows.to.map((slot) => slot.f32.slice(BEFORE)),
  };
}

function equal(actual: Outputs, expected: { [name in keyof Outputs]: ArrayLike<number>[] }, what: string): void {
  for (const name of ["out", "firstValues", "states"] as const) {
    assert.is(actual[name].length, expected[name].length);
    expected[name].forEach((row, i) => void same(actual[name][i], Float32Array.from(row), `${what}: ${name} ${i}`));
  }
}

for (const size of [8, 16, 32, 64, 128]) {
  everywhere(`heads of ${size}: bit by bit, and close to float64`, (setting) => {
    // Widths that are no multiple of 32 as well: 24 channels, 48 channels.
    for (const [heads, sessions] of [
      [1, [1]],
      [3, [3, 1, 2]],
    ] as [number, number[]][]) {
      for (const isLayer0 of [true, false]) {
        const given = inputs(size, heads, sessions, isLayer0, size);
        const found = kernel(setting, given);
        const key = `${size} ${heads} ${isLayer0}`;
        equal(
          found,
          once(`f32 ${key}`, () => reference(KERNELS, given)),
          key,
        );
        const exact = once(`f64 ${key}`, () => reference(FLOAT64, given));
        found.states.forEach((state, s) => void near(state, exact.states[s], 2e-5, `state ${s}`));
        found.out.forEach((row, t) => void near(row, exact.out[t], 5e-4, `row ${t}`));
      }
    }
  });
}

everywhere("any batch, head by head or at once, in place or not: the reference's bits", (setting) => {
  const shape = fc.record({
    size: fc.constantFrom(4, 8, 12, 16, 32),
    heads: fc.integer({ min: 1, max: 4 }),
    sessions: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
    isLayer0: fc.boolean(),
    inPlace: fc.boolean(),
    cut: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(1e6),
  });
  fc.assert(
    fc.property(shape, ({ size, heads, sessions, isLayer0, inPlace, cut, seed }) => {
      const given = inputs(size, heads, sessions, isLayer0, seed);
      const found = kernel(setting, given, [Math.round(cut * heads)], inPlace);
      equal(found, reference(KERNELS, given), `heads of ${size}`);
    }),
    { numRuns: runs(40), seed: 3 },
  );
});

everywhere("a chunk gives the bits of its tokens one by one, the state included", (setting) => {
  const given = inputs(64, 2, [9], false, 5);
  const whole = kernel(setting, given);
  let states = given.states;
  const out = given.acts.r.map((_, t) => {
    const acts = Object.fromEntries(ACTS.map((name) => [name, [given.acts[name][t]]])) as Inputs["acts"];
    const one = kernel(setting, { ...given, sessions: [1], acts, firstValues: [given.firstValues[t]], states });
    states = one.states;
    return one.out[0];
  });
  equal({ out, firstValues: whole.firstValues, states }, whole, "one by one");
});

everywhere("keys of zero have no direction: the length's floor keeps them zero", (setting) => {
  const given = inputs(16, 2, [2], true, 6);
  for (const row of given.acts.k) row.fill(0);
  const found = kernel(setting, given);
  equal(found, reference(KERNELS, given), "zeros");
  assert.ok(found.out.flatMap((row) => [...row]).every(Number.isFinite));
});

everywhere("a NaN stays in its head and session", (setting) => {
  const given = inputs(16, 3, [2, 2], true, 7);
  given.acts.k[0][20] = Number.NaN;
  const { out, states } = kernel(setting, given);
  const spoilt = (row: Float32Array, part: number) => [0, 1, 2].map((h) => Number.isNaN(row[h * part]));
  assert.equal(
    out.map((row) => spoilt(row, 16)),
    [
      [false, true, false],
      [false, true, false],
      [false, false, false],
      [false, false, false],
    ],
  );
  assert.equal(
    states.map((state) => spoilt(state, 256)),
    [
      [false, true, false],
      [false, false, false],
    ],
  );
});

test.run();
