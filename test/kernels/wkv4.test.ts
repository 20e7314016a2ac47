// RWKV-4's time mixing: bit by bit and close to float64, in batches, in chunks, by several ranks, with exponents that would overflow.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runs } from "../runs.ts";
import { batch, padded } from "./batch.ts";
import { everywhere, near, type Setting, same } from "./harness.ts";
import { apply } from "./lanes.ts";
import { Random } from "./random.ts";

/** f32 before the state in a slot. */
const BEFORE = 16;
const ACTS = ["r", "k", "v"] as const;
const STATE = ["aa", "bb", "pp"] as const;
/** The largest exponent that a fresh session has seen: none. */
const NONE = -1e30;

interface Inputs {
  channels: number;
  sessions: number[];
  /** Per name, per row. */
  acts: Record<(typeof ACTS)[number], Float32Array[]>;
  u: Float32Array;
  w: Float32Array;
  /** Per session. */
  states: Record<(typeof STATE)[number], Float32Array>[];
}

interface Outputs {
  out: ArrayLike<number>[];
  states: Record<(typeof STATE)[number], ArrayLike<number>>[];
}

function inputs(channels: number, sessions: number[], seed: number, keys = 1): Inputs {
  const random = new Random(seed);
  const n = sessions.reduce((a, b) => a + b, 0);
  const rows = (scale = 1) => Array.from({ length: n }, () => random.bells(channels, scale));
  return {
    channels,
    sessions,
    acts: { r: rows(), k: rows(keys), v: rows() },
    u: random.bells(channels),
    w: random.bells(channels).map((x) => -Math.exp(x)),
    // Every other session is fresh.
    states: sessions.map((_, s) =>
      s % 2 === 0
        ? { aa: new Float32Array(channels), bb: new Float32Array(channels), pp: new Float32Array(channels).fill(NONE) }
        : {
            aa: random.bells(channels),
            bb: random.bells(channels).map((x) => Math.abs(x) + 1),
            pp: random.bells(channels),
          },
    ),
  };
}

interface Arithmetic {
  round: (x: number) => number;
  exp: (x: number[]) => ArrayLike<number>;
}

const KERNELS: Arithmetic = { round: Math.fround, exp: (x) => apply("exp4", x) };
const FLOAT64: Arithmetic = { round: (x) => x, exp: (x) => x.map(Math.exp) };

function reference({ round: f, exp }: Arithmetic, { sessions, acts, u, w, states }: Inputs): Outputs {
  const out: number[][] = [];
  const after = sessions.map((count, s) => {
    const aa = Array.from(states[s].aa);
    const bb = Array.from(states[s].bb);
    const pp = Array.from(states[s].pp);
    for (let i = 0; i < count; i++) {
      const t = out.length;
      const [r, k, v] = [acts.r[t], acts.k[t], acts.v[t]];
      const channels = aa.map((_, c) => c);
      const now = channels.map((c) => f(u[c] + k[c]));
      let q = channels.map((c) => Math.max(pp[c], now[c]));
      let e = exp(channels.map((c) => f(pp[c] - q[c])));
      let g = exp(channels.map((c) => f(now[c] - q[c])));
      out.push(
        channels.map((c) => {
          const over = f(f(e[c] * aa[c]) + f(g[c] * v[c]));
          return f(r[c] * f(over / f(f(e[c] * bb[c]) + g[c])));
        }),
      );
      const later = channels.map((c) => f(pp[c] + w[c]));
      q = channels.map((c) => Math.max(later[c], k[c]));
      e = exp(channels.map((c) => f(later[c] - q[c])));
      g = exp(channels.map((c) => f(k[c] - q[c])));
      for (const c of channels) {
        aa[c] = f(f(e[c] * aa[c]) + f(g[c] * v[c]));
        bb[c] = f(f(e[c] * bb[c]) + g[c]);
        pp[c] = q[c];
      }
    }
    return { aa, bb, pp };
  });
  return { out, states: after };
}

/** Runs the kernel over the whole batch, the blocks in pieces that end at `cuts`. */
function kernel({ kernels, arena }: Setting, given: Inputs, cuts: number[] = [], inPlace = false): Outputs {
  const { channels, sessions, acts, u, w, states } = given;
  const width = Math.ceil(channels / 32) * 32;
  arena.reset();
  const slots = states.map((state) =>
    Float32Array.from([...new Float32Array(BEFORE).fill(7), ...padded(STATE.map((name) => state[name]))]),
  );
  const rows = batch(arena, sessions, slots, inPlace);
  const stride = rows.n * width * 4 + 64;
  const all = new Float32Array((stride / 4) * 3);
  ACTS.forEach((name, i) => void all.set(padded(acts[name]), (i * stride) / 4));
  const input = arena.input(all);
  const params = arena.input(padded([u, w]));
  const out = arena.output(rows.n * width * 4);
  const [aa, bb, pp] = STATE.map((_, i) => (BEFORE + i * width) * 4);
  const ends = [0, ...cuts, width / 32];
  for (let i = 1; i < ends.length; i++) {
    kernels.wkv4(
      ...([rows.table, rows.n, input.at, stride, params.at, channels, aa, bb, pp, out.at] as const),
      ...([ends[i - 1], ends[i]] as const),
    );
  }
  for (let i = 0; i < out.f32.length; i++) assert.ok(i % width < channels || out.f32[i] === 0, "padding is zero");
  for (const slot of rows.to) if (inPlace) assert.ok(slot.f32.subarray(0, BEFORE).every((v) => v === 7));
  return {
    out: acts.r.map((_, t) => out.f32.slice(t * width, t * width + channels)),
    states: rows.to.map((slot) => {
      const part = (i: number) => slot.f32.slice(BEFORE + i * width, BEFORE + i * width + channels);
      return { aa: part(0), bb: part(1), pp: part(2) };
    }),
  };
}

const f32 = (x: ArrayLike<number>) => Float32Array.from(x);

function equal(actual: Outputs, expected: Outputs, what: string): void {
  assert.is(actual.out.length, expected.out.length);
  expected.out.forEach((row, t) => void same(f32(actual.out[t]), f32(row), `${what}: row ${t}`));
  expected.states.forEach((state, s) => {
    for (const name of STATE) same(f32(actual.states[s][name]), f32(state[name]), `${what}: ${name} ${s}`);
  });
}

everywhere("bit by bit as the reference: any width, batch and split among ranks, in place or not", (setting) => {
  const shape = fc.record({
    channels: fc.constantFrom(4, 7, 24, 32, 48, 100, 160),
    sessions: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
    keys: fc.constantFrom(1, 30, 1000),
    inPlace: fc.boolean(),
    cut: fc.double({ min: 0, max: 1, noNaN: true }),
    seed: fc.nat(1e6),
  });
  fc.assert(
    fc.property(shape, ({ channels, sessions, keys, inPlace, cut, seed }) => {
      const given = inputs(channels, sessions, seed, keys);
      const found = kernel(setting, given, [Math.round(cut * Math.ceil(channels / 32))], inPlace);
      equal(found, reference(KERNELS, given), `${channels} channels`);
    }),
    { numRuns: runs(60), seed: 4 },
  );
});

everywhere("close to float64, also where e^k is beyond f32", (setting) => {
  for (const keys of [1, 200]) {
    const given = inputs(96, [6, 3], 9, keys);
    const found = kernel(setting, given);
    const exact = reference(FLOAT64, given);
    found.out.forEach((row, t) => {
      assert.ok(Array.from(row).every(Number.isFinite));
      near(row, exact.out[t], 1e-5 * keys, `keys of ${keys}, row ${t}`);
    });
  }
});

everywhere("a chunk gives the bits of its tokens one by one, the state included", (setting) => {
  const given = inputs(64, [9], 5);
  const whole = kernel(setting, given);
  let states = given.states;
  const out = given.acts.r.map((_, t) => {
    const acts = Object.fromEntries(ACTS.map((name) => [name, [given.acts[name][t]]])) as Inputs["acts"];
    const one = kernel(setting, { ...given, sessions: [1], acts, states });
    states = one.states as Inputs["states"];
    return one.out[0];
  });
  equal({ out, states }, whole, "one by one");
});

everywhere("a fresh session's first output is r * v", (setting) => {
  const given = inputs(32, [1], 3);
  const { out } = kernel(setting, given);
  same(
    f32(out[0]),
    given.acts.v[0].map((v, c) => v * given.acts.r[0][c]),
    "first token",
  );
});

test.run();
