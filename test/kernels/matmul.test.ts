// Matrix products: every (row, token) is one chain in a fixed order, so the results are compared bit by bit.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SCRATCH_BYTES, T_BF16, T_F16, T_F32, T_Q8_0 } from "../../assembly/ops.ts";
import { everywhere, once, type Setting, same } from "./harness.ts";
import { Random } from "./random.ts";
import { BF16, chain, decode, F16, quantizeActivations } from "./reference.ts";

const ROWS = 32;
const TOKENS = [1, 2, 3, 4, 5, 7, 8, 16, 33, 64];
const INPUTS = [1, 31, 32, 33, 48, 63, 64, 65, 127, 1000];
/** Widths and token counts; the widest only with few tokens, to keep the reference quick. */
const SHAPES = [
  ...INPUTS.flatMap((inputs) => TOKENS.map((n) => ({ inputs, n }))),
  ...[1, 2, 3, 4].map((n) => ({ inputs: 20000, n })),
];

/** A matrix of 32 rows: as files store it, and the numbers that means. */
interface Matrix {
  file: Uint8Array;
  meant: Float32Array;
}

function floats(type: number, inputs: number, random: Random): Matrix {
  if (type === T_F32) {
    const meant = random.bells(ROWS * inputs);
    return { file: new Uint8Array(meant.buffer), meant };
  }
  const format = type === T_F16 ? F16 : BF16;
  // Exponents around 1 and, now and then, anything finite: subnormal numbers, zeros of both signs.
  const halves = Uint16Array.from({ length: ROWS * inputs }, () => {
    const bits = random.u32() & 0xffff;
    const one = (2 ** (format.exponent - 1) - 1) << format.mantissa;
    if (random.below(20) === 0) return bits & 0x8000 ? bits & 0xbfff : bits & 0x3fff;
    return (bits & 0x8000) | (one + (bits & 0xff) - 0x80);
  });
  return { file: new Uint8Array(halves.buffer), meant: Float32Array.from(halves, (bits) => decode(format, bits)) };
}

/** Packs 32 rows and multiplies. `input` and `stride` as the kernel wants them. Answers n x 32 sums. */
function multiply(
  { kernels, arena }: Setting,
  { type, file, rows = ROWS, inputs, n }: { type: number; file: Uint8Array; rows?: number; inputs: number; n: number },
  input: number,
  stride: number,
): Float32Array {
  const weights = arena.output(kernels.piece_bytes(type, inputs));
  kernels.pack(weights.at, arena.input(file).at, type, rows, inputs, arena.output(384).at);
  const packed = arena.input(weights.u8);
  const out = arena.output(n * ROWS * 4);
  const scratch = arena.output(SCRATCH_BYTES);
  kernels.matmul(type, out.at, packed.at, input, stride, inputs, n, scratch.at);
  return out.f32;
}

for (const [name, type] of [
  ["f32", T_F32],
  ["f16", T_F16],
  ["bf16", T_BF16],
] as const) {
  everywhere(`${name}: one chain per row and token, for any shape`, (setting) => {
    for (const { inputs, n } of SHAPES) {
      const stride = inputs + (n % 3) * 32;
      const { matrix, x, expected } = once(`${name} ${inputs} x ${n}`, () => {
        const random = new Random(inputs * 100 + n);
        const matrix = floats(type, inputs, random);
        const x = random.spiky(n * stride);
        const expected = new Float32Array(n * ROWS);
        for (let i = 0; i < expected.length; i++) {
          const [t, row] = [Math.floor(i / ROWS), i % ROWS];
          expected[i] = chain(matrix.meant, row * inputs, x, t * stride, inputs);
        }
        return { matrix, x, expected };
      });
      setting.arena.reset();
      const input = setting.arena.input(x);
      const found = multiply(setting, { type, file: matrix.file, inputs, n }, input.at, stride * 4);
      same(found, expected, `${inputs} inputs x ${n} tokens`);
    }
  });
}

everywhere(
  "f16: activations of any size, so large that a power of two too many would make them infinite",
  (setting) => {
    const inputs = 40;
    for (const n of [1, 2, 3, 4, 5]) {
      for (const size of [65504, 65536, 1e20, 3e38, 1e-20, 1e-40]) {
        const random = new Random(n);
        const { file, meant } = floats(T_F16, inputs, random);
        // Only one token's are large, and only one of those.
        const x = Float32Array.from({ length: n * inputs }, (_, i) => random.bell() * (i === inputs - 1 ? size : 1e-3));
        setting.arena.reset();
        const input = setting.arena.input(x);
        const found = multiply(setting, { type: T_F16, file, inputs, n }, input.at, inputs * 4);
        const expected = Float32Array.from(found, (_, i) =>
          chain(meant, (i % ROWS) * inputs, x, Math.floor(i / ROWS) * inputs, inputs),
        );
        same(found, expected, `${size} x ${n} tokens`);
      }
    }
  },
);

// --- q8_0 ------------------------------------------------------------------------------------------------------------------

interface Q8 {
  file: Uint8Array;
  scales: Float32Array;
  codes: Int8Array;
}

/** Rows of q8_0 blocks in the file's layout. `scale` gives bits of an f16. */
function q8(rows: number, inputs: number, scale: (row: number, b: number) => number, code: (i: number) => number): Q8 {
  const blocks = Math.ceil(inputs / 32);
  const count = rows * blocks;
  const file = new Uint8Array(count * 34);
  const view = new DataView(file.buffer);
  const scales = new Float32Array(count);
  const codes = new Int8Array(count * 32);
  for (let b = 0; b < count; b++) {
    const bits = scale(Math.floor(b / blocks), b % blocks);
    scales[b] = decode(F16, bits);
    view.setUint16(b * 34, bits, true);
    for (let i = 0; i < 32; i++) {
      // What lies beyond the last input is padding, which quantisers fill with zeros.
      codes[b * 32 + i] = (b % blocks) * 32 + i < inputs ? code(b * 32 + i) : 0;
      view.setInt8(b * 34 + 2 + i, codes[b * 32 + i]);
    }
  }
  return { file, scales, codes };
}

interface Case {
  matrix: Q8;
  x: Float32Array;
  expected: Float32Array;
}

/** The chains over blocks, sum + f32(integer) * (d * s), every operation rounded, for all rows and tokens. Each token's activations are quantised once. */
function answers(matrix: Q8, rows: number, inputs: number, x: Float32Array, n: number): Case {
  const f = Math.fround;
  const blocks = Math.ceil(inputs / 32);
  const expected = new Float32Array(n * ROWS);
  for (let t = 0; t < n; t++) {
    for (let b = 0; b < blocks; b++) {
      const q = quantizeActivations(x, (t * blocks + b) * 32);
      for (let row = 0; row < rows; row++) {
        const block = row * blocks + b;
        let integer = 0;
        for (let i = 0; i < 32; i++) integer += matrix.codes[block * 32 + i] * q.codes[i];
        const term = f(f(integer) * f(matrix.scales[block] * q.scale));
        expected[t * ROWS + row] = f(expected[t * ROWS + row] + term);
      }
    }
  }
  return { matrix, x, expected };
}

/** n rows of activations in whole blocks, the padding zeros. */
function activations(inputs: number, n: number, value: (i: number) => number): Float32Array {
  const width = Math.ceil(inputs / 32) * 32;
  return Float32Array.from({ length: n * width }, (_, i) => (i % width < inputs ? value(i % width) : 0));
}

function compare(setting: Setting, { matrix, x, expected }: Case, rows: number, inputs: number, n: number): void {
  const { arena, kernels } = setting;
  arena.reset();
  const width = Math.ceil(inputs / 32) * 32;
  const quantized = arena.output(kernels.quantized_bytes(width, n));
  kernels.quantize_q8(quantized.at, arena.input(x).at, width * 4, 0, width / 32, n);
  const input = arena.input(quantized.u8);
  const found = multiply(setting, { type: T_Q8_0, file: matrix.file, rows, inputs, n }, input.at, 0);
  same(found, expected, `${rows} rows, ${inputs} inputs x ${n} tokens`);
}

const ONE = 0x3c00;

everywhere("q8_0: exact sums per block and one chain over the blocks, for any shape", (setting) => {
  for (const { inputs, n } of SHAPES) {
    const found = once(`q8_0 ${inputs} x ${n}`, () => {
      const random = new Random(inputs * 100 + n);
      // Scales from 2^-10 to 2^-3, of both signs, some 0.
      const scale = () => (random.below(40) ? (random.u32() & 0x83ff) + (random.below(8) + 5) * 1024 : 0);
      const matrix = q8(ROWS, inputs, scale, () => random.below(256) - 128);
      return answers(
        matrix,
        ROWS,
        inputs,
        activations(inputs, n, () => random.bell()),
        n,
      );
    });
    compare(setting, found, ROWS, inputs, n);
  }
});

// The largest sums there are, at a width beyond any model's, on scales from the smallest subnormal to the largest f16.
for (const [name, scale] of [
  ["2^-24", 0x0001],
  ["65504", 0x7bff],
  ["a subnormal one", 0x83ff],
  ["0", 0],
  ["-0", 0x8000],
] as const) {
  everywhere(`q8_0: codes -128 and 127 everywhere, scale ${name}`, (setting) => {
    const inputs = 65536;
    for (const n of [1, 3]) {
      const found = once(`worst ${scale} ${n}`, () => {
        // Rows of -128, of 127, and of both in turn, against activations whose codes are all 127 or all -127.
        const code = (i: number) => [-128, 127, i % 2 ? -128 : 127, i % 3 ? 127 : -128][Math.floor(i / inputs) % 4];
        const matrix = q8(ROWS, inputs, () => scale, code);
        const x = activations(inputs, n, () => 1).map((v, i) => (Math.floor(i / inputs) === 1 ? -v : v * 3));
        return answers(matrix, ROWS, inputs, x, n);
      });
      compare(setting, found, ROWS, inputs, n);
    }
  });
}

everywhere("q8_0: tiny activations against tiny scales, and blocks of zeros", (setting) => {
  const inputs = 320;
  for (const n of [1, 2, 5]) {
    const found = once(`tiny ${n}`, () => {
      const random = new Random(n);
      const matrix = q8(
        ROWS,
        inputs,
        (row) => [1, 0x8001, 0x3ff, 0x400, ONE, 0][row % 6],
        () => random.below(256) - 128,
      );
      const sizes = [1e-38, 1e-36, 2 ** -149, 0, -0, 1e-30, 1, 1e-44, 1e-20, 1e30];
      return answers(
        matrix,
        ROWS,
        inputs,
        activations(inputs, n, (i) => random.bell() * sizes[i >> 5]),
        n,
      );
    });
    compare(setting, found, ROWS, inputs, n);
  }
});

everywhere("pack: rows that do not exist are zeros, for every type", (setting) => {
  const random = new Random(9);
  const x = new Float32Array(5 * 64).map(() => random.bell());
  for (const rows of [1, 7, 8, 9, 15, 16, 31]) {
    for (const n of [1, 5]) {
      const matrix = q8(
        rows,
        48,
        () => ONE,
        () => random.below(256) - 128,
      );
      compare(
        setting,
        answers(
          matrix,
          rows,
          48,
          activations(48, n, () => random.bell()),
          n,
        ),
        rows,
        48,
        n,
      );
      for (const type of [T_F32, T_F16, T_BF16]) {
        setting.arena.reset();
        const { file, meant } = floats(type, 48, random);
        const part = file.subarray(0, (file.length / ROWS) * rows);
        const input = setting.arena.input(x);
        const found = multiply(setting, { type, file: part, rows, inputs: 48, n }, input.at, 256);
        for (let i = 0; i < found.length; i++) {
          const [t, row] = [Math.floor(i / ROWS), i % ROWS];
          assert.is(found[i], row < rows ? chain(meant, row * 48, x, t * 64, 48) : 0);
        }
      }
    }
  }
});

everywhere("infinities and NaN among the activations reach every sum", (setting) => {
  const { arena, kernels } = setting;
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const n of [1, 3]) {
      const x = activations(96, n, (i) => (i === 40 ? bad : 1));
      const random = new Random(11);
      for (const type of [T_F32, T_F16, T_BF16, T_Q8_0]) {
        arena.reset();
        const file =
          type === T_Q8_0
            ? q8(
                ROWS,
                96,
                () => ONE,
                () => 0,
              ).file
            : floats(type, 96, random).file;
        let input = arena.input(x).at;
        if (type === T_Q8_0) {
          const quantized = arena.output(kernels.quantized_bytes(96, n));
          kernels.quantize_q8(quantized.at, input, 384, 0, 3, n);
          input = quantized.at;
        }
        const sums = multiply(setting, { type, file, inputs: 96, n }, input, 384);
        assert.ok(sums.every((sum) => !Number.isFinite(sum)));
      }
    }
  }
});

test.run();
