// exp, log, sigmoid, tanh and softplus against float64, in units in the last place (ulp), over the whole range of f32.
import { createHash } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { NUMERICS } from "../../assembly/ops.ts";
import { builds, everywhere, type Setting, same, setting } from "./harness.ts";

type Name = "exp4" | "log4" | "sigmoid4" | "tanh4" | "softplus4";

/** The docstrings of assembly/math.ts promise `normal` for normal results, `subnormal` below; found by trying every f32. */
const FUNCTIONS: Record<Name, { exact: (x: number) => number; normal: number; subnormal: number }> = {
  exp4: { exact: Math.exp, normal: 1.03, subnormal: 0.76 },
  log4: { exact: Math.log, normal: 0.98, subnormal: 0 },
  sigmoid4: { exact: (x) => 1 / (1 + Math.exp(-x)), normal: 2.5, subnormal: 1 },
  tanh4: { exact: Math.tanh, normal: 2.5, subnormal: 0 },
  softplus4: {
    exact: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    normal: 2.8,
    subnormal: 1.5,
  },
};
const names = Object.keys(FUNCTIONS) as Name[];

const COUNT = 1 << 20;
const SMALLEST_NORMAL = 2 ** -126;
/** Distance of neighbouring f32, by their exponent's bits. */
const ULP = Float64Array.from({ length: 256 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 150));

/** The function's values at `inputs`, whose count is a multiple of 4. */
function values({ kernels, arena }: Setting, name: Name, inputs: Float32Array): Float32Array {
  arena.reset();
  const src = arena.input(inputs);
  const dst = arena.output(inputs.byteLength);
  kernels[name](dst.at, src.at, inputs.length);
  return dst.f32;
}

/** Every `stride`th f32 whose bits lie in [from, to), in arrays of at most `COUNT`. */
function* sweep(from: number, to: number, stride: number): Generator<Float32Array> {
  for (let base = from; base < to; base += COUNT * stride) {
    const count = Math.min(COUNT, Math.ceil((to - base) / stride));
    // Whole vectors: the last number fills them up.
    const bits = Uint32Array.from({ length: (count + 3) & ~3 }, (_, i) => base + Math.min(i, count - 1) * stride);
    yield new Float32Array(bits.buffer);
  }
}

/** Bits of 2^e; with both signs these are the limits of the sweeps. */
const power = (e: number) => (e + 127) * 2 ** 23;
/** Densely where functions bend, thinly where they are their limit, x, 1, or 2x; strides are odd, to meet all mantissas. */
const RANGES = [
  [0, power(-26), 8191],
  [power(-26), power(7), 63],
  [power(7), 2 ** 31, 8191],
];
function* everything(factor = 1): Generator<Float32Array> {
  for (const sign of [0, 2 ** 31]) {
    for (const [from, to, stride] of RANGES) yield* sweep(sign + from, sign + to, stride * factor);
  }
}

for (const name of names) {
  const { exact, normal, subnormal } = FUNCTIONS[name];
  test(`${name} is within ${normal} ulp of float64 (${subnormal} where the result is subnormal)`, () => {
    const rounded = new Float32Array(1);
    const bits = new Uint32Array(rounded.buffer);
    const worst = { normal: 0, subnormal: 0 };
    for (const inputs of everything()) {
      const found = values(setting(builds[0]), name, inputs);
      for (let i = 0; i < inputs.length; i++) {
        const x = inputs[i];
        if (name === "log4" && !(x >= SMALLEST_NORMAL)) continue;
        // Where e^-x is too large for f32 the sigmoid is 0 instead of a subnormal number.
        if (name === "sigmoid4" && x < -88.72 && found[i] === 0) continue;
        const expected = exact(x);
        if (Number.isNaN(expected) ? Number.isNaN(found[i]) : found[i] === expected) continue;
        rounded[0] = expected;
        if (rounded[0] === found[i]) continue;
        const exponent = (bits[0] >>> 23) & 255;
        const error = Math.abs(found[i] - expected) / ULP[exponent];
        const kind = exponent === 0 ? "subnormal" : "normal";
        if (error > worst[kind]) worst[kind] = error;
        // A NaN that should be a number, or the reverse, is no error of so many ulp.
        if (!(error <= { normal, subnormal }[kind]))
          assert.unreachable(`${name}(${x}) is ${found[i]}, not ${expected}: ${error} ulp`);
      }
    }
    // The bound is not generous: an improvement should be written down.
    assert.ok(worst.normal > normal * 0.8, `the worst error is ${worst.normal} ulp`);
  });
}

/** What the logarithm is defined for. */
const positive = (x: number) => (Math.abs(x) < Number.POSITIVE_INFINITY ? Math.max(Math.abs(x), SMALLEST_NORMAL) : 1);

/** Digests of the functions' results over a sweep. Other bits mean another NUMERICS, and other digests to write down here. */
const BITS: Record<Name | "numerics", number | string> = {
  numerics: 1,
  exp4: "f245115de0fdb983",
  log4: "869a4a4af075370e",
  sigmoid4: "ac266450f50250fa",
  tanh4: "345373da3f0d99d6",
  softplus4: "7bcd840a8f88feba",
};

everywhere("the functions have the bits of this NUMERICS", (setting) => {
  const bits: typeof BITS = { ...BITS, numerics: NUMERICS };
  for (const name of names) {
    const hash = createHash("sha256");
    for (const inputs of everything(61)) {
      const found = values(setting, name, name === "log4" ? inputs.map(positive) : inputs);
      // Engines are free in a NaN's bits.
      for (let i = 0; i < found.length; i++) if (Number.isNaN(found[i])) found[i] = Number.NaN;
      hash.update(new Uint8Array(found.buffer, found.byteOffset, found.byteLength));
    }
    bits[name] = hash.digest("hex").slice(0, 16);
  }
  assert.equal(bits, BITS);
});

everywhere("the functions at infinities, NaN, zeros and the ends of their ranges", (setting) => {
  const at = (name: Name, ...inputs: number[]) => {
    const padded = Float32Array.from({ length: (inputs.length + 3) & ~3 }, (_, i) => inputs[i] ?? 0);
    return [...values(setting, name, padded)].slice(0, inputs.length);
  };
  const [inf, nan] = [Number.POSITIVE_INFINITY, Number.NaN];
  const tiny = 2 ** -149;
  assert.equal(at("exp4", 0, -0, inf, -inf, nan, 88.7229, -103.97, -103.98), [1, 1, inf, 0, nan, inf, tiny, 0]);
  assert.ok(at("exp4", 88.7228)[0] < inf);
  assert.equal(at("sigmoid4", 0, -0, inf, -inf, nan, 17, -88.8), [0.5, 0.5, 1, 0, nan, 1, 0]);
  assert.equal(at("tanh4", 0, inf, -inf, nan, 10, -10, tiny), [0, 1, -1, nan, 1, -1, tiny]);
  assert.ok(Object.is(at("tanh4", -0)[0], -0));
  assert.equal(at("softplus4", inf, -inf, nan, 20, 3e38), [inf, 0, nan, 20, Math.fround(3e38)]);
  assert.equal(at("log4", 1, SMALLEST_NORMAL), [0, Math.fround(Math.log(SMALLEST_NORMAL))]);
});

everywhere("tanh is odd, exp never falls", (setting) => {
  const inputs = Float32Array.from({ length: 40000 }, (_, i) => (i - 20000) / 211);
  const curve = values(setting, "tanh4", inputs).slice();
  same(
    values(
      setting,
      "tanh4",
      inputs.map((x) => -x),
    ).map((y) => -y),
    curve,
    "tanh",
  );
  const growth = values(setting, "exp4", inputs);
  for (let i = 1; i < growth.length; i++) assert.ok(growth[i] >= growth[i - 1], `exp near ${inputs[i]}`);
});

test.run();
