// Layer norm, token shift and mixes: norm_mix, and lerp for mixes that depend on the token. Bit by bit, in batches of several sessions, in chunks, and by several ranks.
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runs } from "../runs.ts";
import { batch, padded } from "./batch.ts";
import { everywhere, near, type Setting, same } from "./harness.ts";
import { blockAt, layoutOf } from "./quantized.ts";
import { Random } from "./random.ts";
import { exactNorm, norm, quantizeActivations } from "./reference.ts";

const EPS = 1e-5;
/** f32 before the shift vector in a slot: it is not alone there. */
const BEFORE = 16;

interface Inputs {
  channels: number;
  /** Rows per session. */
  sessions: number[];
  x: Float32Array[];
  weight: Float32Array;
  bias: Float32Array;
  mu: Float32Array[];
  /** The sessions' shift vectors before. */
  shifts: Float32Array[];
  /** Bit j: output j is quantised as well. */
  mask: number;
}

interface Outputs {
  /** Per mix, per row. */
  mixed: Float32Array[][];
  shifts: Float32Array[];
}

function inputs(channels: number, sessions: number[], mixes: number, mask: number, seed: number): Inputs {
  const random = new Random(seed);
  const rows = (count: number) => Array.from({ length: count }, () => random.spiky(channels));
  const n = sessions.reduce((a, b) => a + b, 0);
  const [weight, bias] = rows(2);
  return { channels, sessions, x: rows(n), weight, bias, mu: rows(mixes), shifts: rows(sessions.length), mask };
}

function reference({ sessions, x, weight, bias, mu, shifts }: Inputs): Outputs {
  const f = Math.fround;
  const mixed: Float32Array[][] = mu.map(() => []);
  const kept = sessions.map((count, s) => {
    let before = shifts[s];
    const start = mixed[0].length;
    for (const row of x.slice(start, start + count)) {
      const now = norm(row, weight, bias, EPS);
      mu.forEach((m, j) => void mixed[j].push(now.map((v, c) => v + f(f(before[c] - v) * m[c]))));
      before = now;
    }
    return before;
  });
  return { mixed, shifts: kept };
}

/** The same in float64, one session's outputs. */
function exact({ x, weight, bias, mu, shifts }: Inputs): number[][][] {
  const normed = x.map((row) => exactNorm(row, weight, bias, EPS));
  return mu.map((m) =>
    normed.map((row, t) => row.map((v, c) => v + ((t ? normed[t - 1][c] : shifts[0][c]) - v) * m[c])),
  );
}

/** Runs the kernel over the whole batch, the blocks in pieces that end at `cuts`. */
function kernel({ kernels, arena }: Setting, given: Inputs, cuts: number[] = [], inPlace = false): Outputs {
  const { channels, sessions, x, mu, shifts, mask } = given;
  const width = Math.ceil(channels / 32) * 32;
  arena.reset();
  const slots = shifts.map((shift) => Float32Array.from([...new Float32Array(BEFORE).fill(7), ...padded([shift])]));
  const rows = batch(arena, sessions, slots, inPlace);
  const input = arena.input(padded(x));
  const [weight, bias, vectors] = [[given.weight], [given.bias], mu].map((values) => arena.input(padded(values)));
  const stride = rows.n * width * 4 + 64;
  const dst = arena.output(stride * mu.length);
  const layout = layoutOf(kernels);
  const stride8 = (width / 32) * rows.n * layout.bytes + 48;
  const q8 = arena.output(stride8 * mu.length);
  const quantizedBefore = q8.u8.slice();
  const ends = [0, ...cuts, width / 32];
  for (let i = 1; i < ends.length; i++) {
    kernels.norm_mix(
      ...([
        rows.table,
        rows.n,
        input.at,
        channels,
        weight.at,
        bias.at,
        EPS,
        BEFORE * 4,
        vectors.at,
        mu.length,
      ] as const),
      ...([dst.at, stride, q8.at, stride8, mask, ends[i - 1], ends[i]] as const),
    );
  }
  const mixed = mu.map((_, j) =>
    x.map((_, t) => dst.f32.slice((j * stride) / 4 + t * width, (j * stride) / 4 + (t + 1) * width)),
  );
  mixed.forEach((rows, j) => {
    const found = q8.u8.subarray(j * stride8, (j + 1) * stride8);
    if (!((mask >> j) & 1)) {
      assert.is(Buffer.compare(found, quantizedBefore.subarray(j * stride8, (j + 1) * stride8)), 0, "not asked for");
      return;
    }
    rows.forEach((row, t) => {
      for (let b = 0; b < width / 32; b++) {
        const block = blockAt(layout, found, (b * x.length + t) * layout.bytes);
        const expected = quantizeActivations(row, b * 32);
        assert.is(block.scale, expected.scale);
        for (const codes of block.codes) assert.equal(codes, [...expected.codes]);
      }
    });
  });
  for (const row of mixed.flat())
    assert.ok(
      row.subarray(channels).every((v) => v === 0),
      "padding stays zero",
    );
  for (const slot of rows.to) if (inPlace) assert.ok(slot.f32.subarray(0, BEFORE).every((v) => v === 7));
  return {
    mixed: mixed.map((rows) => rows.map((row) => row.slice(0, channels))),
    shifts: rows.to.map((slot) => slot.f32.slice(BEFORE, BEFORE + channels)),
  };
}

function equal(actual: Outputs, expected: Outputs, what: string): void {
  expected.mixed.forEach(
    (rows, j) => void rows.forEach((row, t) => void same(actual.mixed[j][t], row, `${what}: mix ${j}, row ${t}`)),
  );
  expected.shifts.forEach((shift, s) => void same(actual.shifts[s], shift, `${what}: session ${s}`));
}

everywhere("bit by bit as the reference, for any width, batch, count of mixes, and split among ranks", (setting) => {
  const shape = fc.record({
    channels: fc.constantFrom(4, 7, 24, 32, 48, 64, 96, 160, 768),
    sessions: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
    mixes: fc.constantFrom(1, 2, 6),
    mask: fc.integer({ min: 0, max: 63 }),
    seed: fc.nat(1e6),
    inPlace: fc.boolean(),
    cut: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(shape, ({ channels, sessions, mixes, mask, seed, inPlace, cut }) => {
      const given = inputs(channels, sessions, mixes, mask, seed);
      const blocks = Math.ceil(channels / 32);
      const found = kernel(setting, given, [Math.round(cut * blocks)], inPlace);
      equal(found, reference(given), `${channels} channels`);
    }),
    { numRuns: runs(60), seed: 2 },
  );
});

everywhere("a chunk gives the bits of its tokens one by one", (setting) => {
  const given = inputs(96, [7], 6, 0b101011, 3);
  const whole = kernel(setting, given);
  let { shifts } = given;
  const mixed: Float32Array[][] = given.mu.map(() => []);
  for (const row of given.x) {
    const one = kernel(setting, { ...given, sessions: [1], x: [row], shifts });
    one.mixed.forEach(([out], j) => void mixed[j].push(out));
    shifts = one.shifts;
  }
  equal({ mixed, shifts }, whole, "one by one");
});

everywhere("without mixes: xx and dx, which lerp mixes to the same bits", ({ kernels, arena }) => {
  for (const channels of [24, 64, 100]) {
    const given = inputs(channels, [3, 1, 2], 5, 0, channels);
    const expected = reference(given);
    const width = Math.ceil(channels / 32) * 32;
    arena.reset();
    const rows = batch(
      arena,
      given.sessions,
      given.shifts.map((shift) => padded([shift])),
    );
    const [x, weight, bias] = [given.x, [given.weight], [given.bias]].map((values) => arena.input(padded(values)).at);
    const stride = rows.n * width * 4 + 64;
    const both = arena.output(stride * 2);
    const cut = Math.floor(width / 64);
    for (const [first, last] of [
      [0, cut],
      [cut, width / 32],
    ]) {
      const norm = [x, channels, weight, bias, EPS, 0] as const;
      kernels.norm_mix(rows.table, rows.n, ...norm, 0, 0, both.at, stride, 0, 0, 0, first, last);
    }
    given.sessions.forEach((_, s) => void same(rows.to[s].f32.slice(0, channels), expected.shifts[s], `session ${s}`));

    const random = new Random(channels);
    const m = given.mu.map(() => given.x.map(() => random.bells(channels)));
    const f = Math.fround;
    for (const withM of [false, true]) {
      const input = arena.copy(new Float32Array((m.length * stride) / 4));
      m.forEach((values, j) => void input.f32.set(padded(values), (j * stride) / 4));
      const dst = arena.output(stride * m.length);
      const mu = arena.input(padded(given.mu)).at;
      for (const [first, last] of [
        [0, cut],
        [cut, width / 32],
      ]) {
        const from = [both.at, both.at + stride, channels, mu, m.length, withM ? input.at : 0, stride] as const;
        kernels.lerp(rows.n, ...from, dst.at, stride, first, last);
      }
      m.forEach((values, j) => {
        values.forEach((added, t) => {
          const at = t * width;
          const xx = both.f32.subarray(at, at + channels);
          const dx = both.f32.subarray(stride / 4 + at, stride / 4 + at + channels);
          const row = xx.map((v, c) => v + f(dx[c] * (withM ? f(given.mu[j][c] + added[c]) : given.mu[j][c])));
          same(dst.f32.slice((j * stride) / 4 + at, (j * stride) / 4 + at + channels), row, `mix ${j}, row ${t}`);
          if (!withM) same(row, expected.mixed[j][t], `as norm_mix: mix ${j}, row ${t}`);
        });
      });
    }
  }
});

everywhere("close to float64", (setting) => {
  const given = inputs(768, [5], 6, 0, 4);
  const calm = { ...given, x: given.x.map((_, t) => new Random(t).bells(768)) };
  const expected = exact(calm);
  kernel(setting, calm).mixed.forEach((rows, j) => {
    rows.forEach((row, t) => void near(row, expected[j][t], 1e-3, `mix ${j}, row ${t}`));
  });
});

test.run();
