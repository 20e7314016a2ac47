// Between the ways files store numbers: f32, f16, bf16 and q8_0.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { T_BF16, T_F16, T_F32, T_Q8_0 } from "../../assembly/ops.ts";
import { everywhere, once, type Setting, same } from "./harness.ts";
import { Random } from "./random.ts";
import { BF16, decode, encode, F16, nearestAway, quantizeWeights, type SmallFloat } from "./reference.ts";

const TYPES = [T_F32, T_F16, T_BF16, T_Q8_0];
const blocks = (columns: number) => Math.ceil(columns / 32);
/** Bytes of a row. */
const bytes = (type: number, columns: number) =>
  type === T_F32 ? columns * 4 : type === T_Q8_0 ? blocks(columns) * 34 : columns * 2;

function convert(setting: Setting, to: number, from: number, src: ArrayBufferView, rows: number, columns: number) {
  const { arena, kernels } = setting;
  arena.reset();
  const input = arena.input(src);
  const dst = arena.output(rows * bytes(to, columns));
  const scratch = arena.output(blocks(columns) * 128 + 384);
  kernels.convert(dst.at, to, input.at, from, rows, columns, scratch.at);
  return dst;
}

/** f32 that try every rounding: random bits, ties and their neighbours, subnormals, both sides of overflow. */
function hard(format: SmallFloat): Float32Array {
  return once(`hard ${format.mantissa}`, () => {
    const random = new Random(2);
    const bits: number[] = [];
    for (let i = 0; i < 60000; i++) bits.push(random.u32());
    const drop = 23 - format.mantissa;
    for (let i = 0; i < 20000; i++) {
      // The bits that are dropped: a half, or one step off it, or nothing.
      const kept = (random.u32() >>> drop) << drop;
      for (const rest of [2 ** (drop - 1), 2 ** (drop - 1) - 1, 2 ** (drop - 1) + 1, 0]) bits.push((kept | rest) >>> 0);
    }
    const values = new Float32Array(Uint32Array.from(bits).buffer);
    const bias = 2 ** (format.exponent - 1) - 1;
    const step = 2 ** (1 - bias - format.mantissa);
    // What becomes subnormal in f16: quarters of its steps, so that every second one is a tie.
    const small = Float32Array.from({ length: 8192 }, (_, i) => (i - 4096) * step * 0.25);
    const edges = [
      65504,
      65519.996,
      65520,
      65536,
      1e6,
      2 ** -24,
      2 ** -25,
      2 ** -25 * 1.0001,
      2 ** -26,
      2 ** -14,
      1e-40,
    ];
    const others = [0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 3.4028234663852886e38];
    return Float32Array.from([...values, ...small, ...edges, ...edges.map((x) => -x), ...others]);
  });
}

for (const [name, type, format] of [
  ["f16", T_F16, F16],
  ["bf16", T_BF16, BF16],
] as const) {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const meant = Float32Array.from(all, (bits) => decode(format, bits));

  everywhere(`all 65,536 numbers of ${name} to f32 and back`, (setting) => {
    const wide = convert(setting, T_F32, type, all, 1, 65536).f32.slice();
    same(wide, meant, name);
    const back = convert(setting, type, T_F32, wide, 1, 65536).u16;
    for (let i = 0; i < 65536; i++) {
      if (Number.isNaN(meant[i])) assert.ok(Number.isNaN(decode(format, back[i])), `${name} ${i}`);
      else if (back[i] !== i) assert.unreachable(`${name} ${i} came back as ${back[i]}`);
    }
  });

  everywhere(`one number of ${name} at a time, and rows of odd lengths`, (setting) => {
    for (const columns of [1, 2, 3, 5, 31, 33]) {
      for (let i = 0; i + columns * 3 <= 65536; i += 1009) {
        const found = convert(setting, T_F32, type, all.slice(i, i + columns * 3), 3, columns).f32;
        same(found, meant.slice(i, i + columns * 3), name);
      }
    }
  });

  everywhere(`f32 to the nearest ${name}, ties to even`, (setting) => {
    const x = hard(format);
    const found = convert(setting, type, T_F32, x, 1, x.length).u16;
    const expected = once(`nearest ${name}`, () => Uint16Array.from(x, (v) => encode(format, v)));
    for (let i = 0; i < x.length; i++) {
      if (Number.isNaN(x[i])) assert.ok(Number.isNaN(decode(format, found[i])), `NaN gives ${found[i]}`);
      else if (found[i] !== expected[i]) assert.unreachable(`${x[i]} gives ${found[i]}, not ${expected[i]}`);
    }
  });
}

/** Rows for the quantiser: ordinary ones, ties, tiny and huge blocks, zeros. */
function weights(rows: number, columns: number): Float32Array {
  const random = new Random(columns);
  const x = random.spiky(rows * columns, 20);
  for (let r = 0; r < rows; r++) {
    const kind = r % 7;
    const scale = [1, 1e-4, 1e-7, 1e-30, 1e-44, 3e4, 1][kind];
    for (let i = 0; i < columns; i++) {
      const at = r * columns + i;
      x[at] = kind === 6 ? (i % 32 === 0 ? 127 : random.below(509) / 2 - 127) : x[at] * scale;
      if (kind === 5 && i % 64 < 32) x[at] = -0;
    }
  }
  return x;
}

/** Rows of q8_0, by the reference. */
function quantized(x: Float32Array, rows: number, columns: number): Uint8Array {
  const file = new Uint8Array(rows * bytes(T_Q8_0, columns));
  const view = new DataView(file.buffer);
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * columns, (r + 1) * columns);
    for (let b = 0; b < blocks(columns); b++) {
      const at = r * bytes(T_Q8_0, columns) + b * 34;
      const { scale, codes } = quantizeWeights(Float32Array.from({ length: 32 }, (_, i) => row[b * 32 + i] ?? 0));
      view.setUint16(at, scale, true);
      codes.forEach((code, i) => void view.setInt8(at + 2 + i, code));
    }
  }
  return file;
}

everywhere("f32 to q8_0 as GGML does it, and back exactly", (setting) => {
  for (const columns of [1, 24, 32, 33, 64, 96, 1000]) {
    const rows = 14;
    const x = weights(rows, columns);
    const expected = once(`q8_0 ${columns}`, () => quantized(x, rows, columns));
    const found = convert(setting, T_Q8_0, T_F32, x, rows, columns).u8.slice();
    assert.is(Buffer.compare(found, expected), 0, `${columns} columns`);
    const view = new DataView(expected.buffer);
    const meant = x.map((_, i) => {
      const [r, c] = [Math.floor(i / columns), i % columns];
      const at = r * bytes(T_Q8_0, columns) + Math.floor(c / 32) * 34;
      return decode(F16, view.getUint16(at, true)) * view.getInt8(at + 2 + (c % 32));
    });
    // 0 x a negative code is -0, which no one can tell from 0 by comparing.
    assert.equal([...convert(setting, T_F32, T_Q8_0, found, rows, columns).f32], [...meant], `${columns} columns`);
  }
});

test("the reference's rounding is half away from zero", () => {
  assert.equal([0.5, -0.5, 1.5, -2.5, 0.49999997, -126.5].map(nearestAway), [1, -1, 2, -3, 0, -127]);
});

everywhere("every type to every other goes through f32", (setting) => {
  const [rows, columns] = [3, 96];
  const x = new Random(3).spiky(rows * columns);
  for (const from of TYPES) {
    const source = convert(setting, from, T_F32, x, rows, columns).u8.slice();
    const wide = convert(setting, T_F32, from, source, rows, columns).u8.slice();
    for (const to of TYPES) {
      const direct = convert(setting, to, from, source, rows, columns).u8.slice();
      const expected = to === from ? source : convert(setting, to, T_F32, wide, rows, columns).u8;
      assert.is(Buffer.compare(direct, expected), 0, `type ${from} to ${to}`);
    }
  }
});

everywhere("a type converted to itself keeps its bits, NaN's payload too", (setting) => {
  const random = new Random(4);
  const noise = Uint8Array.from({ length: 4 * 2 * 136 }, () => random.below(256));
  for (const type of TYPES) {
    const src = noise.subarray(0, 4 * bytes(type, 64));
    assert.is(Buffer.compare(convert(setting, type, type, src, 4, 64).u8, src), 0, `type ${type}`);
  }
});

everywhere("hostile numbers convert to anything without a trap", (setting) => {
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38, -3e38, 1e-45];
  const x = Float32Array.from({ length: 320 }, (_, i) => (i % 7 === 3 ? bad[(i >> 5) % bad.length] : i));
  for (const type of TYPES) convert(setting, type, T_F32, x, 1, 320);
  assert.is(setting.kernels.not_finite(convert(setting, T_Q8_0, T_F32, x, 1, 320).at, T_Q8_0, 320), 0);
  const random = new Random(5);
  const noise = Uint8Array.from({ length: 34 * 100 }, () => random.below(256));
  for (const type of TYPES) convert(setting, type, T_Q8_0, noise, 10, 320);
});

everywhere("not_finite names the first infinity or NaN", ({ kernels, arena }) => {
  const inf = Number.POSITIVE_INFINITY;
  const f32 = arena.copy(Float32Array.from({ length: 101 }, (_, i) => (i % 2 ? 3.4028234663852886e38 : -1e-45)));
  const f16 = arena.copy(Uint16Array.from({ length: 101 }, (_, i) => (i % 2 ? 0x7bff : 0x83ff)));
  const bf16 = arena.copy(Uint16Array.from({ length: 101 }, (_, i) => (i % 2 ? 0x7f7f : 0x807f)));
  const q8 = arena.copy(Uint8Array.from({ length: 34 * 4 }, (_, i) => (i % 34 === 1 ? 0x7b : 0xff)));
  for (const [region, type] of [
    [f32, T_F32],
    [f16, T_F16],
    [bf16, T_BF16],
  ] as const)
    assert.is(kernels.not_finite(region.at, type, 101), -1);
  for (const columns of [97, 128]) assert.is(kernels.not_finite(q8.at, T_Q8_0, columns), -1);
  for (const value of [inf, -inf, Number.NaN]) {
    for (const at of [100, 37, 0]) {
      f32.f32[at] = value;
      f16.u16[at] = encode(F16, value);
      bf16.u16[at] = encode(BF16, value);
      assert.is(kernels.not_finite(f32.at, T_F32, 101), at);
      assert.is(kernels.not_finite(f16.at, T_F16, 101), at);
      assert.is(kernels.not_finite(bf16.at, T_BF16, 101), at);
    }
    assert.is(kernels.not_finite(f32.at + 4, T_F32, 36), -1);
    f32.f32.fill(1);
    f16.u16.fill(1);
    bf16.u16.fill(1);
    for (const block of [3, 1, 0]) {
      new DataView(q8.u8.buffer).setUint16(q8.at + block * 34, encode(F16, value), true);
      assert.is(kernels.not_finite(q8.at, T_Q8_0, 97), block);
    }
    for (const block of [3, 1, 0]) new DataView(q8.u8.buffer).setUint16(q8.at + block * 34, 0x7bff, true);
  }
});

everywhere("stored_bytes and piece_bytes, beyond 2 GiB as unsigned numbers", ({ kernels }) => {
  for (const columns of [1, 31, 32, 33, 768, 65536]) {
    for (const type of TYPES) {
      assert.is(kernels.stored_bytes(type, columns), bytes(type, columns));
      const piece = type === T_Q8_0 ? blocks(columns) * 1152 : columns * 32 * (type === T_F32 ? 4 : 2);
      assert.is(kernels.piece_bytes(type, columns), piece);
    }
  }
  assert.is(kernels.stored_bytes(T_F32, 1e9) >>> 0, 4e9);
  assert.is(kernels.stored_bytes(T_BF16, 2e9) >>> 0, 4e9);
  assert.is(kernels.piece_bytes(T_F32, 3e7) >>> 0, 3.84e9);
});

test.run();
