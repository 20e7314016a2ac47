// The time mixing of RWKV-5 and 6: every head size and kind, bit by bit and close to float64, in batches, in chunks, by several ranks.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { WKV6_DECAY, WKV6_GATE } from "../../assembly/ops.ts";
import { runs } from "../runs.ts";
import { batch, padded } from "./batch.ts";
import { everywhere, near, once, type Setting, same } from "./harness.ts";
import { apply } from "./lanes.ts";
import { Random } from "./random.ts";
import { exactNorm, norm, sum4 } from "./reference.ts";

const EPS = 64e-5;
/** f32 before the matrices in a slot. */
const BEFORE = 16;
const ACTS = ["r", "k", "v", "g", "w"] as const;
const PARAMS = ["decay", "u", "ln_weight", "ln_bias"] as const;
/** Version 5.0; 5.1 and 5.2; 6. */
const KINDS = [0, WKV6_GATE, WKV6_GATE | WKV6_DECAY];

interface Inputs {
  channels: number;
  size: number;
  sessions: number[];
  /** WKV6_*. */
  parts: number;
  /** Per name, per row. */
  acts: Record<(typeof ACTS)[number], Float32Array[]>;
  params: Record<(typeof PARAMS)[number], Float32Array>;
  /** Per session: heads x key x value. */
  states: Float32Array[];
}

interface Outputs {
  out: Float32Array[];
  states: Float32Array[];
}

function inputs(size: number, heads: number, sessions: number[], parts: number, seed: number): Inputs {
  const random = new Random(seed);
  const channels = size * heads;
  const n = sessions.reduce((a, b) => a + b, 0);
  const rows = () => Array.from({ length: n }, () => random.bells(channels));
  const params = Object.fromEntries(PARAMS.map((name) => [name, random.bells(channels)])) as Inputs["params"];
  // Without a decay for every token it is given as it is, between 0 and 1.
  if (!(parts & WKV6_DECAY)) params.decay = params.decay.map((x) => Math.exp(-Math.exp(x)));
  return {
    channels,
    size,
    sessions,
    parts,
    acts: Object.fromEntries(ACTS.map((name) => [name, rows()])) as Inputs["acts"],
    params,
    states: sessions.map(() => random.bells(channels * size)),
  };
}

/** The arithmetic of a reference: as the kernels round, or not at all. */
interface Arithmetic {
  round: (x: number) => number;
  exp: (x: number[]) => ArrayLike<number>;
  /** Sum of `count` terms. */
  sum: (count: number, term: (i: number) => number) => number;
  norm: (x: number[], weight: Float32Array, bias: Float32Array) => ArrayLike<number>;
}

const KERNELS: Arithmetic = {
  round: Math.fround,
  exp: (x) => apply("exp4", x),
  sum: sum4,
  norm: (x, weight, bias) => norm(Float32Array.from(x), weight, bias, EPS),
};

const FLOAT64: Arithmetic = {
  round: (x) => x,
  exp: (x) => x.map(Math.exp),
  sum: (count, term) => Array.from({ length: count }, (_, i) => term(i)).reduce((a, b) => a + b, 0),
  norm: (x, weight, bias) => exactNorm(x, weight, bias, EPS),
};

/** One head and token. `state` is changed. */
function step(
  { round: f, exp, sum, norm }: Arithmetic,
  { acts, params, parts, size }: Inputs,
  t: number,
  head: number,
  state: number[],
): number[] {
  const lanes = Array.from({ length: size }, (_, i) => i);
  const act = (name: (typeof ACTS)[number]) => acts[name][t].subarray(head * size, (head + 1) * size);
  const param = (name: (typeof PARAMS)[number]) => params[name].subarray(head * size, (head + 1) * size);
  const [r, k, v, g, u] = [act("r"), act("k"), act("v"), act("g"), param("u")];
  let decay: ArrayLike<number> = param("decay");
  if (parts & WKV6_DECAY) {
    const [bias, lora] = [param("decay"), act("w")];
    decay = exp(Array.from(exp(lanes.map((i) => f(bias[i] + lora[i]))), (x) => -x));
  }
  const bonus = sum(size, (i) => f(f(r[i] * k[i]) * u[i]));
  const y = lanes.map((j) => {
    let total = 0;
    for (const i of lanes) {
      total = f(total + f(r[i] * state[i * size + j]));
      state[i * size + j] = f(f(decay[i] * state[i * size + j]) + f(k[i] * v[j]));
    }
    return f(total + f(bonus * v[j]));
  });
  const normed = norm(y, param("ln_weight"), param("ln_bias"));
  return lanes.map((i) => (parts & WKV6_GATE ? f(normed[i] * g[i]) : normed[i]));
}

function reference(arithmetic: Arithmetic, given: Inputs): { out: number[][]; states: number[][] } {
  const { channels, size, sessions, states } = given;
  const out: number[][] = [];
  const after = sessions.map((count, s) => {
    const heads = Array.from({ length: channels / size }, (_, h) =>
      Array.from(states[s].subarray(h * size * size, (h + 1) * size * size)),
    );
    for (let i = 0; i < count; i++) {
      out.push(heads.flatMap((state, h) => step(arithmetic, given, out.length, h, state)));
    }
    return heads.flat();
  });
  return { out, states: after };
}

/** Runs the kernel over the whole batch, the heads in pieces that end at `cuts`. */
function kernel({ kernels, arena }: Setting, given: Inputs, cuts: number[] = [], inPlace = false): Outputs {
  const { channels, size, sessions, acts, params, parts } = given;
  const width = Math.ceil(channels / 32) * 32;
  arena.reset();
  const slots = given.states.map((state) => Float32Array.from([...new Float32Array(BEFORE).fill(7), ...state]));
  const rows = batch(arena, sessions, slots, inPlace);
  const stride = rows.n * width * 4 + 64;
  // What a version does not have is not there to be read.
  const names = ACTS.slice(0, parts & WKV6_DECAY ? 5 : parts & WKV6_GATE ? 4 : 3);
  const all = new Float32Array((stride / 4) * names.length).fill(Number.NaN);
  names.forEach((name, i) => void all.set(padded(acts[name]), (i * stride) / 4));
  const input = arena.input(all);
  const vectors = arena.input(padded(PARAMS.map((name) => params[name])));
  const out = arena.zeros(rows.n * width * 4);
  const scratch = arena.output(2 * size * 4);
  const ends = [0, ...cuts, channels / size];
  for (let i = 1; i < ends.length; i++) {
    kernels.wkv6(
      ...([rows.table, rows.n, input.at, stride, vectors.at, channels, size, EPS, BEFORE * 4] as const),
      ...([parts, out.at, ends[i - 1], ends[i], scratch.at] as const),
    );
  }
  for (let i = 0; i < out.f32.length; i++) assert.ok(i % width < channels || out.f32[i] === 0, "padding stays zero");
  for (const slot of rows.to) if (inPlace) assert.ok(slot.f32.subarray(0, BEFORE).every((v) => v === 7));
  return {
    out: acts.r.map((_, t) => out.f32.slice(t * width, t * width + channels)),
    states: rows.to.map((slot) => slot.f32.slice(BEFORE)),
  };
}

function equal(actual: Outputs, expected: { [name in keyof Outputs]: ArrayLike<number>[] }, what: string): void {
  for (const name of ["out", "states"] as const) {
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
      for (const parts of KINDS) {
        const given = inputs(size, heads, sessions, parts, size);
        const found = kernel(setting, given);
        const key = `${size} ${heads} ${parts}`;
        equal(
          found,
          once(`f32 ${key}`, () => reference(KERNELS, given)),
          key,
        );
        const exact = once(`f64 ${key}`, () => reference(FLOAT64, given));
        found.states.forEach((state, s) => void near(state, exact.states[s], 2e-5, `state ${s}`));
        found.out.forEach((row, t) => void near(row, exact.out[t], 1e-4, `row ${t}`));
      }
    }
  });
}

everywhere("any batch, head by head or at once, in place or not: the reference's bits", (setting) => {
  const shape = fc.record({
    size: fc.constantFrom(8, 16, 24, 32),
    heads: fc.integer({ min: 1, max: 4 }),
    sessions: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
    parts: fc.constantFrom(...KINDS),
    inPlace: fc.boolean(),
    cut: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(1e6),
  });
  fc.assert(
    fc.property(shape, ({ size, heads, sessions, parts, inPlace, cut, seed }) => {
      const given = inputs(size, heads, sessions, parts, seed);
      const found = kernel(setting, given, [Math.round(cut * heads)], inPlace);
      equal(found, reference(KERNELS, given), `heads of ${size}`);
    }),
    { numRuns: runs(40), seed: 6 },
  );
});

everywhere("a chunk gives the bits of its tokens one by one, the state included", (setting) => {
  for (const parts of KINDS) {
    const given = inputs(64, 2, [9], parts, 5);
    const whole = kernel(setting, given);
    let { states } = given;
    const out = given.acts.r.map((_, t) => {
      const acts = Object.fromEntries(ACTS.map((name) => [name, [given.acts[name][t]]])) as Inputs["acts"];
      const one = kernel(setting, { ...given, sessions: [1], acts, states });
      states = one.states;
      return one.out[0];
    });
    equal({ out, states }, whole, "one by one");
  }
});

everywhere("decays that round to 0 and 1 forget all and nothing", (setting) => {
  const given = inputs(16, 1, [1], WKV6_GATE | WKV6_DECAY, 8);
  for (const [w, factor] of [
    [90, 0],
    [-90, 1],
  ]) {
    given.params.decay.fill(w);
    given.acts.k[0].fill(0);
    const { states } = kernel(setting, given);
    // Adding 0 leaves no sign to a zero.
    const [found, expected] = [states[0], given.states[0].map((x) => x * factor)].map((s) => s.map((x) => x + 0));
    same(found, expected, `decay ${factor}`);
  }
});

everywhere("a NaN stays in its head and session", (setting) => {
  const given = inputs(16, 3, [2, 2], WKV6_GATE, 7);
  given.acts.k[0][20] = Number.NaN;
  const { out, states } = kernel(setting, given);
  // In a state: what belongs to the head's fifth key.
  const spoilt = (row: Float32Array, part: number) => [0, 1, 2].map((h) => Number.isNaN(row[h * part + (64 % part)]));
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
