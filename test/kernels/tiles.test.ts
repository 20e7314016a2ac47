// Every quantised type through its tiles: packed, multiplied by 8-bit activations, and compared bit by bit with the sums that
// docs/numerics.md defines for weights of the form code * scale + minimum.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SCRATCH_BYTES, TILE_HALVES, TILE_SYMMETRIC } from "../../assembly/ops.ts";
import { tileKind } from "../../src/engine/weight-types.ts";
import { FORMATS, type Format, rowBytes, type Value, valueAt } from "./formats.ts";
import { everywhere, once, type Setting, same } from "./harness.ts";
import { Random } from "./random.ts";
import { quantizeActivations } from "./reference.ts";

const f = Math.fround;
const PIECE = 32;

interface Matrix {
  file: Uint8Array;
  rows: number;
  columns: number;
}

/** Rows of blocks: `byte` gives each byte that is no scale, `scale` the bits of each f16 (of q7_0: the scale). */
function matrix(
  format: Format,
  rows: number,
  columns: number,
  byte: (at: number) => number,
  scale: (row: number) => number,
): Matrix {
  const file = new Uint8Array(rows * rowBytes(format, columns)).map((_, i) => byte(i));
  const view = new DataView(file.buffer);
  for (let at = 0; at < file.length; at += format.bytes) {
    const row = Math.floor(at / rowBytes(format, columns));
    for (const place of format.scales) {
      if (format.name === "q7_0") view.setFloat32(at, scale(row), true);
      else view.setUint16(at + place, scale(row), true);
    }
  }
  return { file, rows, columns };
}

/** n rows of activations in whole blocks of 32, the padding zeros. */
function activations(columns: number, n: number, value: (i: number, t: number) => number): Float32Array {
  const width = Math.ceil(columns / 32) * 32;
  return Float32Array.from({ length: n * width }, (_, i) =>
    i % width < columns ? value(i % width, Math.floor(i / width)) : 0,
  );
}

/** The sums that the tiles' kernels promise: n x 32, zeros for rows that are not there. */
function reference(format: Format, { file, rows, columns }: Matrix, x: Float32Array, n: number): Float32Array {
  const view = new DataView(file.buffer);
  const blocks = Math.ceil(columns / 32);
  const out = new Float32Array(n * PIECE);
  const tokens = Array.from({ length: n }, (_, t) =>
    Array.from({ length: blocks }, (_, b) => quantizeActivations(x, (t * blocks + b) * 32)),
  );
  const under = format.tile === TILE_HALVES ? 16 : 32;
  for (let row = 0; row < rows; row++) {
    const at = row * rowBytes(format, columns);
    const values: Value[] = Array.from({ length: blocks * 32 }, (_, i) => valueAt(format, view, at, i));
    const codes = Int32Array.from(values, ({ code }) => code);
    for (let t = 0; t < n; t++) {
      let sum = 0;
      for (let first = 0; first < blocks * 32; first += under) {
        const { scale: s, codes: q } = tokens[t][first >> 5];
        const { scale, minimum } = values[first];
        let products = 0;
        let whole = 0;
        for (let i = 0; i < under; i++) {
          const code = q[(first % 32) + i];
          products += codes[first + i] * code;
          whole += code;
        }
        const part = f(products * f(scale * s));
        if (format.tile === TILE_SYMMETRIC) sum = f(sum + part);
        else sum = f(sum + f(part + f(whole * f(minimum * s))));
      }
      out[t * PIECE + row] = sum;
    }
  }
  return out;
}

function multiply({ arena, kernels }: Setting, format: Format, m: Matrix, x: Float32Array, n: number): Float32Array {
  arena.reset();
  const { id } = format;
  const width = Math.ceil(m.columns / 32) * 32;
  const quantized = arena.output(kernels.quantized_bytes(width, n));
  kernels.quantize_q8(quantized.at, arena.input(x).at, width * 4, 0, width / 32, n);
  const weights = arena.output(kernels.piece_bytes(id, m.columns));
  kernels.pack(weights.at, arena.input(m.file).at, id, m.rows, m.columns, arena.output(384).at);
  const [packed, input] = [arena.input(weights.u8), arena.input(quantized.u8)];
  const out = arena.output(n * PIECE * 4);
  kernels.matmul(id, out.at, packed.at, input.at, width * 4, m.columns, n, arena.output(SCRATCH_BYTES).at);
  return out.f32;
}

interface Case {
  m: Matrix;
  x: Float32Array;
  expected: Float32Array;
}

function compare(setting: Setting, format: Format, key: string, n: number, make: () => { m: Matrix; x: Float32Array }) {
  const { m, x, expected } = once(`${format.name} ${key} ${n}`, (): Case => {
    const { m, x } = make();
    return { m, x, expected: reference(format, m, x, n) };
  });
  same(multiply(setting, format, m, x, n), expected, `${format.name}, ${key} x ${n} tokens`);
}

const TOKENS = [1, 2, 3, 5, 8, 33, 64];

for (const format of FORMATS) {
  const { name, values } = format;
  /** q7_0 never comes from a file: its bytes are what its quantiser makes, codes from -63 to 63. */
  const byteOf = (byte: number) => (name === "q7_0" ? Math.max(-63, Math.min(63, (byte << 24) >> 24)) & 255 : byte);
  const widths = values === 32 ? [1, 32, 33, 48, 96, 256, 2048] : [256, 512, 2048];
  /** Scales around 2^-8, of both signs; some are 0. */
  const scales = (random: Random) => () => {
    if (name === "q7_0") return f(random.bell() / 256);
    return random.below(40) ? (random.u32() & 0x83ff) + (random.below(8) + 4) * 1024 : 0;
  };

  everywhere(`${name}: the sums of its tiles, for any width and number of tokens`, (setting) => {
    for (const columns of widths) {
      for (const n of columns === 2048 ? [1, 2, 3, 33] : TOKENS) {
        compare(setting, format, `${columns} columns`, n, () => {
          const random = new Random(columns + n);
          return {
            m: matrix(format, PIECE, columns, () => byteOf(random.below(256)), scales(random)),
            x: activations(columns, n, () => random.bell() * (random.below(30) ? 1 : 50)),
          };
        });
      }
    }
  });

  everywhere(`${name}: any number of rows, the others zeros`, (setting) => {
    for (let rows = 1; rows <= PIECE; rows++) {
      for (const n of [1, 3]) {
        compare(setting, format, `${rows} rows`, n, () => {
          const random = new Random(rows);
          return {
            m: matrix(format, rows, values, () => byteOf(random.below(256)), scales(random)),
            x: activations(values, n, () => random.bell()),
          };
        });
      }
    }
  });

  // The largest sums there are: every code at an end, against activations whose codes are all 127, all -127, or both in turn.
  everywhere(`${name}: codes and activations at their ends, on the largest, the smallest and no scale`, (setting) => {
    const columns = 2048;
    const size = name === "q7_0" ? [3e38, -3e38, 2 ** -149, 0] : [0x7bff, 0xfbff, 0x0001, 0x0000];
    for (const fill of [0x00, 0xff, 0x80, 0x7f, 0x0f, 0xf0]) {
      for (const n of [1, 2, 3]) {
        compare(setting, format, `all ${fill}`, n, () => ({
          m: matrix(
            format,
            PIECE,
            columns,
            () => byteOf(fill),
            (row) => size[row % size.length],
          ),
          x: activations(columns, n, (i, t) => [3, -3, i % 2 ? 3 : -3][t]),
        }));
      }
    }
  });

  everywhere(`${name}: activations of every size, blocks of zeros among them`, (setting) => {
    const sizes = [1e-38, 1e-36, 2 ** -149, 0, -0, 1e-30, 1, 1e-44, 1e-20, 1e30];
    for (const n of [1, 2, 5]) {
      compare(setting, format, "sizes", n, () => {
        const random = new Random(n);
        return {
          m: matrix(format, PIECE, 512, () => byteOf(random.below(256)), scales(random)),
          x: activations(512, n, (i) => random.bell() * sizes[(i >> 5) % sizes.length]),
        };
      });
    }
  });
}

test("no sum of products comes near to what 32 bits, or the 24 bits of f32, hold", () => {
  let largest = 0;
  for (const format of FORMATS) {
    let most = 0;
    const block = new DataView(new ArrayBuffer(format.bytes));
    // Every byte of the codes takes all its values at once: each format's codes are made of parts of bytes.
    for (let byte = 0; byte < 256; byte++) {
      for (const other of [0x00, 0xff]) {
        for (let i = 0; i < format.bytes; i++) block.setUint8(i, i < format.bytes / 2 ? byte : other);
        for (let i = 0; i < format.values; i++) most = Math.max(most, Math.abs(format.value(block, 0, i).code));
        for (let i = 0; i < format.bytes; i++) block.setUint8(i, i < format.bytes / 2 ? other : byte);
        for (let i = 0; i < format.values; i++) most = Math.max(most, Math.abs(format.value(block, 0, i).code));
      }
    }
    largest = Math.max(largest, most * 127 * (format.tile === TILE_HALVES ? 16 : 32));
  }
  assert.is(largest, 128 * 127 * 32);
  assert.ok(largest < 2 ** 24);
});

test("the planner knows the same kinds of tiles", () => {
  for (const { name, tile } of FORMATS) assert.is(tileKind(name), tile, name);
});

test.run();
